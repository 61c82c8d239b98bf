"""Background activity: events that no neighbour explains.

The filter of Delbruck ("Frame-free dynamic digital vision", 2008), as jAER and dv-processing have
it: what moves sends events at neighbouring pixels within a short time, noise does not.
"""

import numpy as np
from numpy.typing import NDArray

from evlora.recordings.events import EventStream
from evlora.recordings.filters.pixels import NEVER_US, Numbers, Sensor

LATER = np.iinfo(np.int64).max
MOST_AT_ONCE = 1 << 15
"""Events that are looked at together; their neighbours' times fit a processor's cache."""


def filter_background_activity(events: EventStream, *, window_us: int = 5_000) -> EventStream:
    """The events that one of their eight neighbours explains.

    An event is kept where one of the eight pixels around its own sent an event before it, less than
    `window_us` ago. "Before" is the order of the stream, so that of two events of equal time the
    second one counts as explained by the first. Its own pixel and polarities do not matter, and an
    event that is not kept explains others as well.

    Args:
        events: Any number of events.
        window_us: Microseconds, at least 1.
    """
    return BackgroundActivity(window_us).push(events)


class BackgroundActivity:
    """`filter_background_activity` for a stream in pieces: they give what the whole gives."""

    def __init__(self, window_us: int) -> None:
        self._window_us = window_us
        self._sensor = Sensor()

    def push(self, events: EventStream) -> EventStream:
        """The events of a piece that a neighbour explains, in this piece or before it."""
        if self._sensor.begins_with(events):
            self._begin(events)
        # A border of one pixel around the sensor: every pixel has eight neighbours.
        pixel = (events.y.astype(np.int64) + 1) * self._row + events.x + 1
        is_kept = np.zeros(len(events), np.bool_)
        start = 0
        while start < len(events):
            # Within a part shorter than the window each event explains all that follow it.
            end_us = events.t_us[start] + self._window_us
            stop = start + int(
                np.searchsorted(events.t_us[start : start + MOST_AT_ONCE], end_us, side="left")
            )
            part = slice(start, stop)
            is_kept[part] = self._are_explained(events.t_us[part], pixel[part])
            start = stop
        return events.chosen(is_kept)

    def _begin(self, events: EventStream) -> None:
        self._row = events.width + 2
        pixels = self._row * (events.height + 2)
        self._latest_us = np.full(pixels, NEVER_US)
        self._first = np.full(pixels, LATER)
        self._neighbours = [
            dy * self._row + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx
        ]

    def _are_explained(self, t_us: Numbers, pixel: Numbers) -> NDArray[np.bool_]:
        """Whether each event of a part that is shorter than the window is kept, shape (n,)."""
        latest_us = self._over_neighbours(np.maximum, self._latest_us, pixel)
        is_kept = t_us - latest_us < self._window_us
        number = np.arange(len(pixel))
        # Where a pixel repeats, numpy keeps what is assigned last: backwards, its first event.
        self._first[pixel[::-1]] = number[::-1]
        open_ = np.flatnonzero(~is_kept)
        is_kept[open_] = self._over_neighbours(np.minimum, self._first, pixel[open_]) < open_
        self._first[pixel] = LATER
        self._latest_us[pixel] = t_us
        return is_kept

    def _over_neighbours(self, join: np.ufunc, values: Numbers, pixel: Numbers) -> Numbers:
        """The largest or smallest value at the eight neighbours of each pixel, shape (n,)."""
        # One neighbour after the other: five times as fast as an array of all eight.
        joined = values.take(pixel + self._neighbours[0])
        for step in self._neighbours[1:]:
            join(joined, values.take(pixel + step), out=joined)
        return joined
