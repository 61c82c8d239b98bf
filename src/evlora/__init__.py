"""evlora: fine-tune vision foundation models for RGB + event cameras, images and video."""

from typing import TYPE_CHECKING

from evlora import deferring, moved, threads
from evlora.errors import (
    AdapterError,
    BackboneError,
    BundleError,
    CheckpointError,
    DatasetError,
    EvloraError,
    ExportError,
    RecipeError,
    RecordingError,
    RecordingWarning,
    RunError,
    SensorSizeError,
    ShapeError,
)

if TYPE_CHECKING:
    from evlora.answering import for_answers
    from evlora.bundle import copy_bundle, load_bundle, save_bundle
    from evlora.clips import ClipConfig
    from evlora.datasets import prepare, read_manifest
    from evlora.evaluation import evaluate
    from evlora.exporting import export
    from evlora.importing import import_published
    from evlora.live import StreamingRecognizer
    from evlora.models.adapters import (
        AdapterPlusConfig,
        AdaptFormerConfig,
        LvAdapterConfig,
        SsfConfig,
        VptConfig,
    )
    from evlora.packing import pack
    from evlora.plain_peft import from_peft
    from evlora.prediction import Prediction, predict
    from evlora.pretrained import Pretrained
    from evlora.profiling import profile
    from evlora.recipe import build, load_recipe
    from evlora.recognizer import Recognizer
    from evlora.recordings import (
        EventStream,
        FrameSequence,
        Recording,
        iterate_windows,
        open_recording,
        write_recording,
    )
    from evlora.recordings.live import open_stream
    from evlora.report import write_report
    from evlora.training.run import train

__version__ = "0.1.0"

__all__ = [
    "AdaptFormerConfig",
    "AdapterError",
    "AdapterPlusConfig",
    "BackboneError",
    "BundleError",
    "CheckpointError",
    "ClipConfig",
    "DatasetError",
    "EventStream",
    "EvloraError",
    "ExportError",
    "FrameSequence",
    "LvAdapterConfig",
    "Prediction",
    "Pretrained",
    "RecipeError",
    "Recognizer",
    "Recording",
    "RecordingError",
    "RecordingWarning",
    "RunError",
    "SensorSizeError",
    "ShapeError",
    "SsfConfig",
    "StreamingRecognizer",
    "VptConfig",
    "build",
    "copy_bundle",
    "evaluate",
    "export",
    "for_answers",
    "from_peft",
    "import_published",
    "iterate_windows",
    "load_bundle",
    "load_recipe",
    "open_recording",
    "open_stream",
    "pack",
    "predict",
    "prepare",
    "profile",
    "read_manifest",
    "save_bundle",
    "train",
    "write_recording",
    "write_report",
]

_HOMES = {
    "evlora.answering": ("for_answers",),
    "evlora.bundle": ("copy_bundle", "load_bundle", "save_bundle"),
    "evlora.clips": ("ClipConfig",),
    "evlora.datasets": ("prepare", "read_manifest"),
    "evlora.evaluation": ("evaluate",),
    "evlora.exporting": ("export",),
    "evlora.importing": ("import_published",),
    "evlora.live": ("StreamingRecognizer",),
    "evlora.models.adapters": (
        "AdaptFormerConfig",
        "AdapterPlusConfig",
        "LvAdapterConfig",
        "SsfConfig",
        "VptConfig",
    ),
    "evlora.packing": ("pack",),
    "evlora.plain_peft": ("from_peft",),
    "evlora.prediction": ("Prediction", "predict"),
    "evlora.pretrained": ("Pretrained",),
    "evlora.profiling": ("profile",),
    "evlora.recipe": ("build", "load_recipe"),
    "evlora.recognizer": ("Recognizer",),
    "evlora.recordings": (
        "EventStream",
        "FrameSequence",
        "Recording",
        "iterate_windows",
        "open_recording",
        "write_recording",
    ),
    "evlora.recordings.live": ("open_stream",),
    "evlora.report": ("write_report",),
    "evlora.training.run": ("train",),
}

moved.install()
deferring.install()
threads.let_waiting_threads_sleep()


__getattr__ = deferring.names_on_demand("evlora", _HOMES)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
