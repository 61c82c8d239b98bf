"""The time words of Prophesee's formats: when one is due, and how long gaps are bridged."""

from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.events import EventStream
from evlora.recordings.readers.prophesee_header import TIME_BASE_FIELD

LARGEST_SENSOR_PX = 1 << 11
"""Coordinates have 11 bits."""
MOST_GAP_WORDS = 10_000_000


class ClockWords(NamedTuple):
    """Words that say the high part of the time, in their order, M of them."""

    values: NDArray[np.int64]
    """The high part, not yet cut to its bits, shape (M,)."""
    before: NDArray[np.int64]
    """The event before which each stands, shape (M,)."""
    counts: NDArray[np.int64]
    """How many stand before each event, shape (N,)."""


def clock_words(highs: NDArray[np.int64], last: int | None, period: int) -> ClockWords:
    """The words due for events with these high parts of their times, which rise.

    A reader takes a leap by more than half of the clock's period for a turn of the clock, so that
    a longer gap gets words within it.

    Args:
        highs: High part of each event's time, shape (N,).
        last: The high part that was written last; None at the beginning.
        period: Period of the high part.

    Raises:
        RecordingError: A gap is so long that its words would fill the disk.
    """
    longest_step = period // 2 - 1
    steps = np.diff(highs, prepend=highs[:1] if last is None else last)
    counts = -(-steps // longest_step)
    if last is None:
        counts[0] = 1
    total = int(counts.sum())
    if total > MOST_GAP_WORDS + len(highs):
        raise RecordingError(
            f"the events have gaps of up to {int(steps.max())} steps of the format's clock, whose "
            "words would fill the disk; a clock was damaged, or write npz or hdf5"
        )
    before = np.repeat(np.arange(len(highs)), counts)
    still_to_come = np.repeat(np.cumsum(counts), counts) - np.arange(total) - 1
    # The last word before an event is the event's own; those before it lie evenly in the gap.
    values = highs[before] - still_to_come * longest_step
    return ClockWords(values, before, counts)


def write_header(
    file: BinaryIO, events: EventStream, *, version: str, encoding: str, clock_us: int
) -> int:
    """Write the header of a RAW file; returns the time that the file's clock calls zero.

    Raises:
        RecordingError: The sensor is larger than the format's coordinates.
    """
    if max(events.width, events.height) > LARGEST_SENSOR_PX:
        raise RecordingError(
            f"a sensor of {events.width}×{events.height} is too large for {encoding}, whose "
            f"coordinates end at {LARGEST_SENSOR_PX - 1}; write npz, hdf5 or csv"
        )
    base_us = events.first_us // clock_us * clock_us if len(events) else 0
    lines = [
        f"evt {version}",
        f"format {encoding};height={events.height};width={events.width}",
        f"geometry {events.width}x{events.height}",
    ]
    if base_us:
        lines.append(f"{TIME_BASE_FIELD} {base_us}")
    lines.append("end")
    file.write("".join(f"% {line}\n" for line in lines).encode("ascii"))
    return base_us
