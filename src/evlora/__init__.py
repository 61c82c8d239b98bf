"""evlora: fine-tune vision foundation models for RGB + event cameras, images and video."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evlora.bundle import Recognizer, load_bundle, save_bundle
    from evlora.clips import prepare
    from evlora.importing import import_published
    from evlora.live import StreamingRecognizer
    from evlora.models.adapters.adaptformer import AdaptFormerConfig
    from evlora.models.adapters.lv_adapter import LvAdapterConfig
    from evlora.prediction import Prediction, predict
    from evlora.profiling import profile
    from evlora.recipe import build, load_recipe, train
    from evlora.recordings import (
        EventStream,
        FrameSequence,
        Recording,
        iterate_windows,
        open_recording,
        write_recording,
    )
    from evlora.training.evaluation import evaluate

__version__ = "0.1.0"

__all__ = [
    "AdaptFormerConfig",
    "EventStream",
    "FrameSequence",
    "LvAdapterConfig",
    "Prediction",
    "Recognizer",
    "Recording",
    "StreamingRecognizer",
    "build",
    "evaluate",
    "import_published",
    "iterate_windows",
    "load_bundle",
    "load_recipe",
    "open_recording",
    "predict",
    "prepare",
    "profile",
    "save_bundle",
    "train",
    "write_recording",
]

_HOMES = {
    "evlora.bundle": ("Recognizer", "load_bundle", "save_bundle"),
    "evlora.clips": ("prepare",),
    "evlora.live": ("StreamingRecognizer",),
    "evlora.importing": ("import_published",),
    "evlora.models.adapters.adaptformer": ("AdaptFormerConfig",),
    "evlora.models.adapters.lv_adapter": ("LvAdapterConfig",),
    "evlora.prediction": ("Prediction", "predict"),
    "evlora.profiling": ("profile",),
    "evlora.recipe": ("build", "load_recipe", "train"),
    "evlora.recordings": (
        "EventStream",
        "FrameSequence",
        "Recording",
        "iterate_windows",
        "open_recording",
        "write_recording",
    ),
    "evlora.training.evaluation": ("evaluate",),
}


def __getattr__(name: str) -> Any:
    # A public name is imported when first used: torch alone takes longer than `--help` may.
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'evlora' has no attribute {name!r}")
