"""Run what evlora exported, without torch: an ONNX file and a recording in, ranked labels out."""

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if importlib.util.find_spec("evlora") is None:
    # The wheel holds the modules of evlora that need numpy alone; an installed evlora goes first.
    sys.path.append(str(Path(__file__).parent / "reading"))

from evlora import deferring
from evlora.errors import EvloraError
from evlora.recordings import EventStream, FrameSequence, Recording, open_recording
from evlora_runtime.model import RuntimeFileError
from evlora_runtime.runner import Runner, load

if TYPE_CHECKING:
    from evlora_runtime.live import LiveRunner, predict_live

__all__ = [
    "EventStream",
    "EvloraError",
    "FrameSequence",
    "LiveRunner",
    "Recording",
    "Runner",
    "RuntimeFileError",
    "load",
    "open_recording",
    "predict_live",
]

# A recording that is answered once needs none of what plays it.
_HOMES = {"evlora_runtime.live": ("LiveRunner", "predict_live")}

__getattr__ = deferring.names_on_demand("evlora_runtime", _HOMES)
