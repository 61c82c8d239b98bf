"""Prophesee RAW with EVT 2.0 words of 32 bits.

The high four bits are the type. CD events (0 OFF, 1 ON) carry the low 6 bits of the time, x and y
(11 bits each); a word of type 8 carries the time's other 28 bits; one of type 10 is an external
trigger, its input in bits 8–12, the level behind its edge in the lowest
(https://docs.prophesee.ai/stable/data/encoding_formats/evt2.html).

Own numpy: faery reads these words right, but assumes 1280×720 where the header is silent and does
not say where a file is damaged.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.recordings.readers.clocks import WrappingClock
from evlora.recordings.readers.decoding import EventChunk, EventFile, Findings
from evlora.recordings.readers.prophesee_words import (
    UnknownWords,
    keep_triggers,
    open_words,
    report_untimed,
)

OFF, ON, TIME_HIGH, EXT_TRIGGER, OTHERS, CONTINUED = 0x0, 0x1, 0x8, 0xA, 0xE, 0xF
LOW_BITS = 6
TIME_HIGH_PERIOD = 1 << 28


def open_events(path: Path, *, width: int | None, height: int | None) -> EventFile:
    """The file, opened.

    Args:
        path: The file.
        width: Columns of the sensor, where neither header nor camera model gives it.
        height: Rows of the sensor, as for `width`.

    Raises:
        RecordingError: The header names another encoding, or no sensor size is known.
    """
    file = open_words(path, "evt2", "<u4", decoded, width=width, height=height)
    return replace(file, most_events=path.stat().st_size // 4)


def decoded(
    blocks: Iterator[tuple[int, NDArray[Any]]], findings: Findings, base_us: int
) -> Iterator[EventChunk]:
    """The events of blocks of words, each with the byte at which it begins, block by block."""
    clock = WrappingClock(TIME_HIGH_PERIOD)
    unknown = UnknownWords((OFF, ON, TIME_HIGH, EXT_TRIGGER, OTHERS, CONTINUED), findings)
    high: int | None = None
    untimed = 0
    for start, block in blocks:
        kinds = (block >> 28).astype(np.uint8)
        is_event = kinds <= ON
        time_words = np.flatnonzero(kinds == TIME_HIGH)
        events = block[is_event]
        highs = clock.unwrapped(block[time_words] & 0x0FFFFFFF)
        if len(events) + len(time_words) < len(block):
            unknown.look_at(kinds, start, 4)
            at = np.flatnonzero(kinds == EXT_TRIGGER)
            before = -1 if high is None else (high << LOW_BITS) + base_us
            times = np.concatenate([[before], (highs << LOW_BITS) + base_us])
            keep_triggers(block[at], at, time_words, times, findings)
        # How many events follow each time word, first those that go on from the block before.
        borders = np.concatenate([[0], time_words, [len(block)]])
        follow = _counts_between(is_event, borders, len(events))
        if high is None and follow[0]:
            untimed += int(follow[0])
            events, follow[0] = events[follow[0] :], 0
        t_us = np.repeat(np.concatenate([[high or 0], highs]) << LOW_BITS, follow)
        t_us += (events >> 22) & 0x3F
        if base_us:
            t_us += base_us
        high = int(highs[-1]) if len(highs) else high
        x = (events & 0x003FFFFF) >> 11
        yield EventChunk(
            t_us, x.astype(np.uint16), (events & 0x7FF).astype(np.uint16), events >= 1 << 28
        )
    report_untimed(untimed, findings)
    unknown.report()


def _counts_between(
    is_event: NDArray[np.bool_], borders: NDArray[Any], events: int
) -> NDArray[np.int64]:
    if len(borders) == 2:
        return np.array([events], np.int64)
    return np.add.reduceat(is_event, borders[:-1], dtype=np.int64) * (np.diff(borders) > 0)
