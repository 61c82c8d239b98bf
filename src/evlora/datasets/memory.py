"""Recordings that stay in memory once they were read, as far as they fit."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass

import numpy as np

from evlora.recordings import Recording

BYTES_IN_A_MB = 1_000_000


class RecordingMemory:
    """The first recordings that one process reads, up to a number of megabytes of all together.

    What is kept is never dropped for another one: epochs are shuffled, so that each recording is
    needed once before any is needed again, and which of them are kept makes no difference.
    Pixels of videos and picture files are read anew each time, where they are in the file is not.

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
        if size <= self._free:
            self._free -= size
            self._kept[number] = recording
        return recording


def bytes_of(held: object) -> int:
    """The bytes of all arrays that a recording, or a part of one, holds in memory.

    Pixels that are read when they are asked for lie in none; the index of a video does.
    """
    if isinstance(held, np.ndarray | memoryview):
        return held.nbytes
    if not is_dataclass(held):
        return 0
    return sum(bytes_of(getattr(held, each.name)) for each in fields(held))
