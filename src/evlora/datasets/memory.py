"""Recordings that stay in memory once they were read, as far as they fit."""

from collections.abc import Callable

from evlora.recordings import Recording
from evlora.recordings.frames import FileFrames, FrameSequence, MemoryFrames

BYTES_IN_A_MB = 1_000_000


class RecordingMemory:
    """The first recordings that one process reads, up to a number of megabytes of all together.

    What is kept is never dropped for another one: epochs are shuffled, so that each recording is
    needed once before any is needed again, and which of them are kept makes no difference.

    Args:
        limit_mb: Megabytes in all; 0 keeps nothing.
    """

    def __init__(self, limit_mb: float) -> None:
        self._free = limit_mb * BYTES_IN_A_MB
        self._kept: dict[int, Recording] = {}

    def read(self, number: int, read: Callable[[], Recording]) -> Recording:
        """The recording of this number, kept or read.

        Args:
            number: Of a sample.
            read: Reads its recording.
        """
        if number in self._kept:
            return self._kept[number]
        recording = read()
        size = bytes_of(recording)
        if size is not None and size <= self._free:
            self._free -= size
            self._kept[number] = recording
        return recording


def bytes_of(recording: Recording) -> int | None:
    """The bytes of a recording's arrays; None where its pixels are decoded from a video."""
    events = recording.events
    size = 0
    if events is not None:
        size += sum(array.nbytes for array in (events.t_us, events.x, events.y, events.polarity))
    for frames in (recording.frames, recording.event_images):
        pixels = 0 if frames is None else _pixel_bytes(frames)
        if pixels is None:
            return None
        size += pixels
    return size


def _pixel_bytes(frames: FrameSequence) -> int | None:
    if isinstance(frames.source, MemoryFrames):
        return frames.source.images.nbytes
    return 0 if isinstance(frames.source, FileFrames) else None
