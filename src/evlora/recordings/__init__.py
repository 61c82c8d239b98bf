"""What a sensor wrote: events, frames, and the files that hold them. numpy only, no torch."""

from typing import TYPE_CHECKING

from evlora import deferring

if TYPE_CHECKING:
    from evlora.recordings.events import EventStream
    from evlora.recordings.frames import FrameSequence
    from evlora.recordings.opening import open_recording
    from evlora.recordings.recording import Recording
    from evlora.recordings.windows import Window, iterate_windows
    from evlora.recordings.writers import write_recording

__all__ = [
    "EventStream",
    "FrameSequence",
    "Recording",
    "Window",
    "iterate_windows",
    "open_recording",
    "write_recording",
]

_HOMES = {
    "evlora.recordings.events": ("EventStream",),
    "evlora.recordings.frames": ("FrameSequence",),
    "evlora.recordings.opening": ("open_recording",),
    "evlora.recordings.recording": ("Recording",),
    "evlora.recordings.windows": ("Window", "iterate_windows"),
    "evlora.recordings.writers": ("write_recording",),
}

__getattr__ = deferring.names_on_demand("evlora.recordings", _HOMES)
