"""Events that one word of Prophesee's vector formats can hold: pixels of a block of 32 in a row."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evlora.recordings.events import EventStream

BLOCK_PIXELS = 32


class PixelBlocks(NamedTuple):
    """Groups of events that follow each other, M of them, in their order."""

    starts: NDArray[np.int64]
    """The first event of each, shape (M,)."""
    counts: NDArray[np.int64]
    """The number of events of each, shape (M,)."""
    masks: NDArray[np.uint32]
    """The pixels of the block that fired, the leftmost in the lowest bit, shape (M,)."""


def pixel_blocks(events: EventStream) -> PixelBlocks:
    """Groups of equal time, row, polarity and block whose columns rise, as a reader restores them.

    Args:
        events: At least one.
    """
    x = events.x.astype(np.int32)
    is_new = np.ones(len(events), np.bool_)
    is_new[1:] = (
        (np.diff(events.t_us) != 0)
        | (events.y[1:] != events.y[:-1])
        | (events.polarity[1:] != events.polarity[:-1])
        | (x[1:] // BLOCK_PIXELS != x[:-1] // BLOCK_PIXELS)
        | (x[1:] <= x[:-1])
    )
    starts = np.flatnonzero(is_new)
    bits = np.uint32(1) << (x % BLOCK_PIXELS).astype(np.uint32)
    counts = np.diff(starts, append=len(events))
    return PixelBlocks(starts, counts, np.bitwise_or.reduceat(bits, starts))
