"""Prophesee's ECF codec (HDF5 filter 0x8ECF), which packs the events of a chunk of up to 65,535.

A word of 32 bits: the number of events, and in its two lowest bits how places are packed. Then

- times: 64 bits for the first, then a byte per time: four bits of step and four of how many events
  share it, 15 for a count in the next two bytes. Steps of 15 and more come before, four bits a
  byte, the lowest first, each marked by a step of 15.
- places: rows, columns and polarities together, 24 bits an event in groups of four; or first the
  rows, 11 bits and 5 of how often, 31 for a count in the next word. Behind the rows either columns
  and polarities in 12 bits an event, or columns, 11 bits and a mask of which of the next five
  follow, and polarities, 1 bit and 7 of how often, 127 for a count in the next two bytes.

From the published encoder (https://github.com/prophesee-ai/hdf5_ecf); its decoder checks nothing,
so that damaged data are refused here.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError

FILTER = 0x8ECF
"""The codec's number in HDF5."""
EVENT = np.dtype(
    {
        "names": ["x", "y", "p", "t"],
        "formats": ["<u2", "<u2", "<i2", "<i8"],
        "offsets": [0, 2, 4, 8],
        "itemsize": 16,
    }
)
MOST_EVENTS = 65_535
ALL_TOGETHER, COLUMNS_AND_POLARITIES = 2, 1
ESCAPE = 15
MOST_ESCAPES = 15
"""Sixty bits of step."""


def decode(packed: bytes) -> NDArray[Any]:
    """The events of one chunk, a structured array of `EVENT`.

    Raises:
        RecordingError: The data are cut short or contradict themselves.
    """
    if len(packed) < 12:
        raise RecordingError(f"expected at least 12 bytes of ECF data, got {len(packed)}")
    head = int.from_bytes(packed[:4], "little")
    count, mode = head >> 2, head & 3
    if count > MOST_EVENTS:
        raise RecordingError(f"expected at most {MOST_EVENTS} events in a chunk, got {count}")
    events = np.zeros(count, EVENT)
    if not count:
        return events
    events["t"], at = _times(packed, count)
    if mode & ALL_TOGETHER:
        values = _groups_of_four(packed, at, count, np.dtype("<u4"), 24)
        events["y"], events["x"], events["p"] = (
            values >> 12 & 0x7FF,
            values >> 1 & 0x7FF,
            values & 1,
        )
        return events
    events["y"], at = _repeated(packed, at, count, np.dtype("<u2"), 5)
    if mode & COLUMNS_AND_POLARITIES:
        values = _groups_of_four(packed, at, count, np.dtype("<u2"), 12)
        events["x"], events["p"] = values >> 1, values & 1
        return events
    events["x"], at = _masked_columns(packed, at, count)
    events["p"], _ = _repeated(packed, at, count, np.dtype("u1"), 7)
    return events


def _times(packed: bytes, count: int) -> tuple[NDArray[np.int64], int]:
    """The times, and the byte behind them."""
    codes = np.frombuffer(packed, np.uint8, offset=12)
    steps, lows = codes >> 4, codes & 15
    tokens, counts = _tokens(codes, (lows == 15) & (steps != ESCAPE), lows, extra=2)
    is_escape = steps[tokens] == ESCAPE
    counts[is_escape] = 0
    last = _token_that_completes(counts, count)
    tokens, counts, is_escape = tokens[: last + 1], counts[: last + 1], is_escape[: last + 1]
    numbers = np.arange(len(tokens))
    place = numbers - np.maximum.accumulate(np.where(is_escape, -1, numbers)) - 1
    if is_escape.any() and int(place[is_escape].max()) >= MOST_ESCAPES:
        raise RecordingError("a step between two times has more than 60 bits")
    ahead = lows[tokens].astype(np.int64) << (4 * np.where(is_escape, place, 0))
    ahead = np.where(is_escape, ahead, steps[tokens])
    first = np.frombuffer(packed, "<i8", 1, 4)
    end = 12 + int(tokens[last]) + (3 if lows[tokens[last]] == 15 else 1)
    return np.repeat(first + np.cumsum(ahead), counts), end


def _repeated(
    packed: bytes, at: int, count: int, dtype: np.dtype[Any], count_bits: int
) -> tuple[NDArray[Any], int]:
    """Values that stand once with the number of events that share them, and the byte behind."""
    codes = np.frombuffer(packed, dtype, (len(packed) - at) // dtype.itemsize, at)
    full = (1 << count_bits) - 1
    extra = 2 // dtype.itemsize
    tokens, counts = _tokens(codes, codes & full == full, codes & full, extra=extra)
    last = _token_that_completes(counts, count)
    is_long = int(codes[tokens[last]]) & full == full
    end = at + dtype.itemsize * (int(tokens[last]) + 1 + extra * is_long)
    values = codes[tokens[: last + 1]] >> count_bits
    return np.repeat(values, counts[: last + 1]), end


def _tokens(
    codes: NDArray[Any], may_be_long: NDArray[np.bool_], counts: NDArray[Any], *, extra: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the codes that are no counts of others, and how many events each stands for.

    Args:
        codes: Codes, shape (N,).
        may_be_long: Which are followed by a count, if they are no counts themselves, shape (N,).
        counts: The short counts, shape (N,).
        extra: How many codes a long count takes.
    """
    free = 0
    long: list[int] = []
    for place in np.flatnonzero(may_be_long).tolist():
        if place >= free:
            long.append(place)
            free = place + 1 + extra
    places = np.asarray([place for place in long if place + extra < len(codes)], np.int64)
    is_token = np.ones(len(codes), np.bool_)
    numbers = counts.astype(np.int64)
    numbers[long] = 0  # one whose count the end cuts off
    following = [codes[places + n + 1].astype(np.int64) for n in range(extra)]
    numbers[places] = following[0] if extra == 1 else following[0] | following[1] << 8
    for n in range(extra):
        is_token[places + n + 1] = False
    tokens = np.flatnonzero(is_token)
    return tokens, numbers[tokens]


def _masked_columns(packed: bytes, at: int, count: int) -> tuple[NDArray[Any], int]:
    words = np.frombuffer(packed, "<u2", (len(packed) - at) // 2, at)
    is_set = np.ones((len(words), 6), np.bool_)
    is_set[:, 1:] = words[:, None] >> np.arange(4, -1, -1, dtype=np.uint16) & 1
    reached = np.cumsum(is_set.sum(axis=1))
    if not len(reached) or reached[-1] < count:
        raise RecordingError("the columns end before their events do")
    # The last mask may name more columns than there are events.
    used = int(np.searchsorted(reached, count)) + 1
    columns = (words[:used, None] >> 5) + np.arange(6, dtype=np.uint16)
    return columns[is_set[:used]][:count], at + 2 * used


def _groups_of_four(
    packed: bytes, at: int, count: int, dtype: np.dtype[Any], bits: int
) -> NDArray[np.uint32]:
    """Values of three quarters of a word's bits, four in three words, shape (count,)."""
    groups = -(-count // 4)
    if len(packed) - at < 3 * dtype.itemsize * groups:
        raise RecordingError("the places end before their events do")
    words = np.frombuffer(packed, dtype, 3 * groups, at).reshape(-1, 3).astype(np.uint32)
    a, b, c = (words[:, n] for n in range(3))
    rest = 8 * dtype.itemsize - bits  # of each word behind the first value
    values = np.empty((groups, 4), np.uint32)
    values[:, 0] = a >> rest
    values[:, 1] = a & ((1 << rest) - 1) | (b >> 2 * rest) << rest
    values[:, 2] = b & ((1 << 2 * rest) - 1) | (c >> 3 * rest) << 2 * rest
    values[:, 3] = c & ((1 << bits) - 1)
    return values.reshape(-1)[:count]


def _token_that_completes(counts: NDArray[np.int64], count: int) -> int:
    """The token with which all events have their value."""
    reached = np.cumsum(counts)
    last = int(np.searchsorted(reached, count))
    if last >= len(reached) or reached[last] != count:
        raise RecordingError(f"expected values for {count} events, the counts do not add up to it")
    return last
