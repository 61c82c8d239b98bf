"""evlora: fine-tune vision foundation models for RGB + event cameras, images and video."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evlora.recordings import (
        EventStream as EventStream,
    )
    from evlora.recordings import (
        FrameSequence as FrameSequence,
    )
    from evlora.recordings import (
        Recording as Recording,
    )
    from evlora.recordings import (
        open_recording as open_recording,
    )

__version__ = "0.1.0"

_HOME = {
    "EventStream": "evlora.recordings",
    "FrameSequence": "evlora.recordings",
    "Recording": "evlora.recordings",
    "open_recording": "evlora.recordings",
}

__all__ = ["EventStream", "FrameSequence", "Recording", "open_recording"]


def __getattr__(name: str) -> Any:
    # Public names are imported when first used: torch alone takes longer than `evlora --help` may.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'evlora' has no attribute {name!r}")
