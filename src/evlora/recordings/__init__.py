"""What a sensor wrote: events, frames, and the files that hold them. numpy only, no torch."""

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
