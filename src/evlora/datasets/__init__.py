"""Datasets as they lie on disk: layouts, manifests, and their samples as clips."""

from typing import TYPE_CHECKING

from evlora import deferring

if TYPE_CHECKING:
    from evlora.datasets.dataset import AllTestViews, ClipDataset
    from evlora.datasets.manifest import Manifest
    from evlora.datasets.preparing import prepare
    from evlora.datasets.storage import read_manifest
    from evlora.datasets.surveying import Survey, survey, survey_layout

__all__ = [
    "AllTestViews",
    "ClipDataset",
    "Manifest",
    "Survey",
    "prepare",
    "read_manifest",
    "survey",
    "survey_layout",
]

_HOMES = {
    "evlora.datasets.dataset": (
        "AllTestViews",
        "ClipDataset",
    ),
    "evlora.datasets.manifest": ("Manifest",),
    "evlora.datasets.preparing": ("prepare",),
    "evlora.datasets.storage": ("read_manifest",),
    "evlora.datasets.surveying": (
        "Survey",
        "survey",
        "survey_layout",
    ),
}

__getattr__ = deferring.names_on_demand("evlora.datasets", _HOMES)
