"""Prophesee RAW with EVT 2.1 words, as `evlora.recordings.readers.evt21` describes them.

The lower half of a word comes first (`endianness=little`). Times that the clock of 34 bits cannot
say are kept by a header line of this library.
"""

from pathlib import Path

import numpy as np

from evlora.recordings.readers.evt2 import LOW_BITS, ON, TIME_HIGH, TIME_HIGH_PERIOD
from evlora.recordings.recording import Recording
from evlora.recordings.writers.clock_words import clock_words, write_header
from evlora.recordings.writers.pixel_blocks import BLOCK_PIXELS, pixel_blocks

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
            file,
            events,
            version="2.1",
            encoding="EVT21;endianness=little",
            clock_us=TIME_HIGH_PERIOD << LOW_BITS,
        )
        last: int | None = None
        for start in range(0, len(events), CHUNK_EVENTS):
            part = events.part(slice(start, start + CHUNK_EVENTS))
            blocks = pixel_blocks(part)
            t_us = part.t_us[blocks.starts] - base_us
            clock = clock_words(t_us >> LOW_BITS, last, TIME_HIGH_PERIOD)
            last = int(t_us[-1]) >> LOW_BITS
            words = np.empty(len(t_us) + len(clock.values), "<u8")
            high = (clock.values % TIME_HIGH_PERIOD).astype(np.uint64) | np.uint64(TIME_HIGH << 28)
            words[clock.before + np.arange(len(high))] = high << np.uint64(32)
            upper = (t_us & 0x3F).astype(np.uint64) << np.uint64(22)
            upper |= part.polarity[blocks.starts].astype(np.uint64) * np.uint64(ON << 28)
            first_column = part.x[blocks.starts] // BLOCK_PIXELS * BLOCK_PIXELS
            upper |= first_column.astype(np.uint64) << np.uint64(11)
            upper |= part.y[blocks.starts]
            word = upper << np.uint64(32) | blocks.masks
            words[np.arange(len(t_us)) + np.cumsum(clock.counts)] = word
            words.tofile(file)
