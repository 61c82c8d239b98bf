"""What filters remember of each pixel, and the events of a piece sorted by their pixels."""

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.events import EventStream

Numbers = NDArray[np.int64]

NEVER_US = np.iinfo(np.int64).min // 2
"""The time of what has not been; half of the range, so that differences do not overflow."""


class Sensor:
    """The size of the sensor whose events a filter has seen; the first piece sets it."""

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None

    def begins_with(self, events: EventStream) -> bool:
        """Whether these are the first events.

        Raises:
            RecordingError: They come from a sensor of another size than those before.
        """
        size = (events.width, events.height)
        is_first = self._size is None
        if not is_first and size != self._size:
            assert self._size is not None
            raise RecordingError(
                f"filter: expected events of a {self._size[0]}×{self._size[1]} sensor as before, "
                f"got {size[0]}×{size[1]}; begin another filter for another recording"
            )
        self._size = size
        return is_first


class ByPixel:
    """The events of a piece in the order of their pixels, and of time within each.

    A key is a pixel's number and an event's number behind one another in 64 bits: keys are sorted
    several times as fast as an order of pixels is found.
    """

    def __init__(self, pixel: Numbers) -> None:
        """Sort the events.

        Args:
            pixel: Number of each event's pixel, shape (N,).
        """
        self._bits = max(1, len(pixel).bit_length())
        self._keys = np.sort(pixel << self._bits | np.arange(len(pixel)))
        self.event: Numbers = self._keys & ((1 << self._bits) - 1)
        """Number of the event at each place, shape (N,)."""
        self.pixel: Numbers = self._keys >> self._bits
        """Number of the pixel at each place, shape (N,)."""
        self.begins: NDArray[np.bool_] = np.ones(len(pixel), np.bool_)
        """Whether a place is the first of its pixel, shape (N,)."""
        self.begins[1:] = self.pixel[1:] != self.pixel[:-1]

    def places_from(self, pixel: Numbers, event: Numbers) -> Numbers:
        """The place of the first event of a pixel from a number on; −1 where there is none."""
        place = np.searchsorted(self._keys, pixel << self._bits | event)
        found = np.minimum(place, len(self._keys) - 1)
        is_there = (place < len(self._keys)) & (self.pixel[found] == pixel)
        return np.where(is_there, place, -1)


def pixels_of(events: EventStream) -> Numbers:
    """The number of each event's pixel, row by row, shape (N,)."""
    return events.y.astype(np.int64) * events.width + events.x
