"""Prophesee RAW with EVT 2.1 words of 64 bits.

The high four bits are the type. A CD word (0 OFF, 1 ON) carries the low 6 bits of the time, the
column of the first of 32 pixels and the row (11 bits each), and 32 bits that say which of those
pixels fired; a word of type 8 carries the time's other 28 bits, one of type 10 an external
trigger, in the upper half as in EVT 2.0
(https://docs.prophesee.ai/stable/data/encoding_formats/evt21.html). IMX636 cameras send the upper
half of a word first (`endianness=legacy`), GenX320 cameras the lower.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.recordings.readers.clocks import WrappingClock
from evlora.recordings.readers.decoding import EventChunk, EventFile, Findings
from evlora.recordings.readers.evt2 import (
    CONTINUED,
    EXT_TRIGGER,
    LOW_BITS,
    OFF,
    ON,
    OTHERS,
    TIME_HIGH,
    TIME_HIGH_PERIOD,
)
from evlora.recordings.readers.prophesee_header import read_header
from evlora.recordings.readers.prophesee_words import (
    UnknownWords,
    keep_triggers,
    open_words,
    report_untimed,
    set_bits,
)

SAMPLE_WORDS = 1 << 14


def open_events(path: Path, *, width: int | None, height: int | None) -> EventFile:
    """The file, opened.

    Args:
        path: The file.
        width: Columns of the sensor, where neither header nor camera model gives it.
        height: Rows of the sensor, as for `width`.

    Raises:
        RecordingError: The header names another encoding, or no sensor size is known.
    """
    header = read_header(path)
    endianness = header.option.get("endianness")
    is_upper_first = endianness == "legacy"
    if endianness is None:
        is_upper_first = _looks_upper_first(path, header.data_byte)
    decode = functools.partial(_decoded, is_upper_first=is_upper_first)
    file = open_words(path, "evt2.1", "<u8", decode, width=width, height=height)
    if endianness is None:
        half = "upper" if is_upper_first else "lower"
        file.findings.remark(f"the {half} half of a word comes first, by the order of its times")
    return file


def _decoded(
    blocks: Iterator[tuple[int, NDArray[Any]]],
    findings: Findings,
    base_us: int,
    *,
    is_upper_first: bool,
) -> Iterator[EventChunk]:
    clock = WrappingClock(TIME_HIGH_PERIOD)
    unknown = UnknownWords((OFF, ON, TIME_HIGH, EXT_TRIGGER, OTHERS, CONTINUED), findings)
    high: int | None = None
    untimed = 0
    for start, block in blocks:
        uppers, masks = _halves(block, is_upper_first)
        kinds = (uppers >> 28).astype(np.uint8)
        unknown.look_at(kinds, start, 8)
        is_time = kinds == TIME_HIGH
        highs = clock.unwrapped(uppers[is_time] & 0x0FFFFFFF)
        triggers = np.flatnonzero(kinds == EXT_TRIGGER)
        if len(triggers):
            before = -1 if high is None else (high << LOW_BITS) + base_us
            times = np.concatenate([[before], (highs << LOW_BITS) + base_us])
            places = np.flatnonzero(is_time)
            keep_triggers(uppers.take(triggers), triggers, places, times, findings)
        at = np.flatnonzero(kinds <= ON)
        words, masks = uppers.take(at), masks.take(at)
        which = np.cumsum(is_time, dtype=np.int32).take(at)
        t_us = np.concatenate([[high or 0], highs]).take(which) << LOW_BITS
        t_us += ((words >> 22) & 0x3F) + np.int64(base_us)
        counts = np.bitwise_count(masks)
        first = 0
        if high is None:
            skipped = int(np.searchsorted(which, 1))
            first = int(counts[:skipped].sum())
            untimed += first
        high = int(highs[-1]) if len(highs) else high
        events = np.repeat(np.arange(len(words)), counts)
        x = ((words >> 11) & 0x7FF).astype(np.uint16).take(events) + set_bits(masks, counts)
        y = (words & 0x7FF).astype(np.uint16).take(events)
        is_on = (words >= ON << 28).take(events)
        yield EventChunk(t_us.take(events)[first:], x[first:], y[first:], is_on[first:])
    report_untimed(untimed, findings)
    unknown.report()


def _halves(
    block: NDArray[Any], is_upper_first: bool
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The upper and the lower half of each word."""
    pairs = block.view("<u4").reshape(-1, 2)
    upper, lower = (0, 1) if is_upper_first else (1, 0)
    return np.ascontiguousarray(pairs[:, upper]), np.ascontiguousarray(pairs[:, lower])


def _looks_upper_first(path: Path, start: int) -> bool:
    """Whether the time words make sense in that order rather than in the other."""
    block = np.fromfile(path, "<u8", SAMPLE_WORDS, offset=start)
    steady: list[int] = []
    for is_upper_first in (False, True):
        uppers, _ = _halves(block, is_upper_first)
        steps = np.diff((uppers[uppers >> 28 == TIME_HIGH] & 0x0FFFFFFF).astype(np.int64))
        steady.append(int(np.count_nonzero((steps > 0) & (steps < 1 << 16))))
    return steady[1] > steady[0]
