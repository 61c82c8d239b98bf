"""From one recording to tensors. Knows nothing of datasets or models."""

from typing import TYPE_CHECKING

from evlora import deferring, moved

if TYPE_CHECKING:
    from evlora.clips.batch import Batch, Clip, collate
    from evlora.clips.config import ClipConfig, Modality
    from evlora.clips.making import make_clip, make_test_views

__all__ = [
    "Batch",
    "Clip",
    "ClipConfig",
    "Modality",
    "collate",
    "make_clip",
    "make_test_views",
]

_HOMES = {
    "evlora.clips.batch": (
        "Batch",
        "Clip",
        "collate",
    ),
    "evlora.clips.config": (
        "ClipConfig",
        "Modality",
    ),
    "evlora.clips.making": (
        "make_clip",
        "make_test_views",
    ),
}

__getattr__ = deferring.names_on_demand("evlora.clips", _HOMES, moved.names_of("evlora.clips"))
