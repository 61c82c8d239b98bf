"""Run what evlora exported, without torch: an ONNX file and a recording in, ranked labels out."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("evlora") is None:
    # The wheel holds the modules of evlora that need numpy alone; an installed evlora goes first.
    sys.path.append(str(Path(__file__).parent / "reading"))

from evlora.errors import EvloraError
from evlora.recordings import EventStream, FrameSequence, Recording, open_recording
from evlora_runtime.live import LiveRunner, predict_live
from evlora_runtime.model import RuntimeFileError
from evlora_runtime.runner import Runner, load

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
