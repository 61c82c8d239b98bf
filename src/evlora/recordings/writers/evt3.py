"""Prophesee RAW with EVT 3.0 words, as `evlora.recordings.readers.evt3` describes them.

Every event is a single one: vectors would save space, and nothing else. Times that the clock of
24 bits cannot say are kept by a header line of this library.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evlora.recordings.events import EventStream
from evlora.recordings.readers.evt3 import (
    ADDR_X,
    ADDR_Y,
    LOW_BITS,
    TIME_HIGH,
    TIME_HIGH_PERIOD,
    TIME_LOW,
)
from evlora.recordings.recording import Recording
from evlora.recordings.writers.clock_words import clock_words, write_header

CHUNK_EVENTS = 1 << 18


def write(recording: Recording, path: Path) -> None:
    """Write the events.

    Raises:
        RecordingError: The sensor is too large, or a gap too long.
    """
    events = recording.events
    assert events is not None
    with path.open("wb") as file:
        base_us = write_header(
            file, events, version="3.0", encoding="EVT3", clock_us=TIME_HIGH_PERIOD << LOW_BITS
        )
        for start in range(0, len(events), CHUNK_EVENTS):
            part = events.part(slice(start, start + CHUNK_EVENTS))
            before = events.part(slice(max(0, start - 1), start))
            _words(part, before, base_us).tofile(file)


def _words(part: EventStream, before: EventStream, base_us: int) -> NDArray[np.uint16]:
    """The words of some events; `before` is the event before them, if there is one."""
    t_us = part.t_us - base_us
    last_us = before.t_us - base_us
    last_high = int(last_us[0]) >> LOW_BITS if len(last_us) else None
    clock = clock_words(t_us >> LOW_BITS, last_high, TIME_HIGH_PERIOD)
    new_time = np.diff(t_us, prepend=last_us if len(last_us) else t_us[:1] - 1) != 0
    rows = part.y.astype(np.int32)
    new_row = np.diff(rows, prepend=before.y.astype(np.int32) if len(before) else -1) != 0
    ends = np.cumsum(clock.counts + new_time + new_row + 1)
    words = np.empty(int(ends[-1]), "<u2")
    words[ends - 1] = part.x | (ADDR_X << 12) | part.polarity.astype(np.uint16) << 11
    words[(ends - 2)[new_row]] = part.y[new_row] | ADDR_Y << 12
    low = (t_us[new_time] & 0xFFF).astype(np.uint16) | TIME_LOW << 12
    words[(ends - 2 - new_row)[new_time]] = low
    first = ends - 1 - new_row - new_time - clock.counts
    turn = np.arange(len(clock.values)) - (np.cumsum(clock.counts) - clock.counts)[clock.before]
    high = (clock.values % TIME_HIGH_PERIOD).astype(np.uint16) | TIME_HIGH << 12
    words[first[clock.before] + turn] = high
    return words
