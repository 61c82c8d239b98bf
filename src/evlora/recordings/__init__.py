"""What a sensor wrote: events, frames, and the files that hold them. numpy only, no torch."""

from evlora.recordings.events import EventStream
from evlora.recordings.frames import FrameSequence
from evlora.recordings.recording import Recording, open_recording

__all__ = ["EventStream", "FrameSequence", "Recording", "open_recording"]
