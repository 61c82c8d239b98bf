"""Prophesee RAW with EVT 2.0 words, as `evlora.recordings.readers.evt2` describes them.

Times that the clock of 34 bits cannot say are kept by a header line of this library.
"""

from pathlib import Path

import numpy as np

from evlora.recordings.readers.evt2 import LOW_BITS, ON, TIME_HIGH, TIME_HIGH_PERIOD
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
            file, events, version="2.0", encoding="EVT2", clock_us=TIME_HIGH_PERIOD << LOW_BITS
        )
        last: int | None = None
        for start in range(0, len(events), CHUNK_EVENTS):
            part = events.part(slice(start, start + CHUNK_EVENTS))
            t_us = part.t_us - base_us
            clock = clock_words(t_us >> LOW_BITS, last, TIME_HIGH_PERIOD)
            last = int(t_us[-1]) >> LOW_BITS
            words = np.empty(len(part) + len(clock.values), "<u4")
            high = (clock.values % TIME_HIGH_PERIOD).astype(np.uint32) | TIME_HIGH << 28
            words[clock.before + np.arange(len(high))] = high
            word = (t_us & 0x3F).astype(np.uint32) << 22
            word |= part.polarity.astype(np.uint32) * (ON << 28)
            word |= part.x.astype(np.uint32) << 11
            word |= part.y
            words[np.arange(len(part)) + np.cumsum(clock.counts)] = word
            words.tofile(file)
