"""Prophesee RAW with EVT 3.0 words, as `evlora.recordings.readers.evt3` describes them.

Events of one time, row and polarity in a block of 32 pixels become vectors where that takes fewer
words than single events. Times that the clock of 24 bits cannot say are kept by a header line of
this library.
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
    VECT_8,
    VECT_12,
    VECT_BASE_X,
)
from evlora.recordings.recording import Recording
from evlora.recordings.writers.clock_words import clock_words, write_header
from evlora.recordings.writers.pixel_blocks import BLOCK_PIXELS, PixelBlocks, pixel_blocks

CHUNK_EVENTS = 1 << 18
VECTOR_WORDS = 4
"""A base, two vectors of 12 pixels and one of 8: a block of 32."""


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
    items = _items(pixel_blocks(part))
    t_us, rows = part.t_us[items.starts] - base_us, part.y[items.starts].astype(np.int32)
    last_us = before.t_us - base_us
    last_high = int(last_us[0]) >> LOW_BITS if len(last_us) else None
    clock = clock_words(t_us >> LOW_BITS, last_high, TIME_HIGH_PERIOD)
    new_time = np.diff(t_us, prepend=last_us if len(last_us) else t_us[:1] - 1) != 0
    new_row = np.diff(rows, prepend=before.y.astype(np.int32) if len(before) else -1) != 0
    is_vector = items.counts > 1
    lengths = np.where(is_vector, VECTOR_WORDS, 1)
    ends = np.cumsum(clock.counts + new_time + new_row + lengths)
    words = np.empty(int(ends[-1]), "<u2")
    _fill_places(words, part, items, ends)
    behind_state = ends - lengths  # where an item's own words begin
    words[(behind_state - 1)[new_row]] = rows[new_row] | ADDR_Y << 12
    low = (t_us[new_time] & 0xFFF).astype(np.uint16) | TIME_LOW << 12
    words[(behind_state - 1 - new_row)[new_time]] = low
    first = behind_state - new_row - new_time - clock.counts
    turn = np.arange(len(clock.values)) - (np.cumsum(clock.counts) - clock.counts)[clock.before]
    high = (clock.values % TIME_HIGH_PERIOD).astype(np.uint16) | TIME_HIGH << 12
    words[first[clock.before] + turn] = high
    return words


def _items(blocks: PixelBlocks) -> PixelBlocks:
    """The blocks that are worth vectors, and the other blocks' events one by one."""
    sizes = np.where(blocks.counts > VECTOR_WORDS, 1, blocks.counts)
    which = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(which)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    counts = np.where(blocks.counts > VECTOR_WORDS, blocks.counts, 1)[which]
    return PixelBlocks(blocks.starts[which] + within, counts, blocks.masks[which])


def _fill_places(
    words: NDArray[np.uint16], part: EventStream, items: PixelBlocks, ends: NDArray[np.int64]
) -> None:
    """Write the single events and the vectors into their places."""
    polarity = part.polarity[items.starts].astype(np.uint16) << 11
    is_vector = items.counts > 1
    single = part.x[items.starts] | (ADDR_X << 12) | polarity
    words[(ends - 1)[~is_vector]] = single[~is_vector]
    base = part.x[items.starts] // BLOCK_PIXELS * BLOCK_PIXELS | (VECT_BASE_X << 12) | polarity
    at, masks = ends[is_vector] - VECTOR_WORDS, items.masks[is_vector]
    words[at] = base[is_vector]
    words[at + 1] = (masks & 0xFFF).astype(np.uint16) | VECT_12 << 12
    words[at + 2] = (masks >> 12 & 0xFFF).astype(np.uint16) | VECT_12 << 12
    words[at + 3] = (masks >> 24).astype(np.uint16) | VECT_8 << 12
