"""N-MNIST and N-Caltech101 records (`.bin`, `.bs2`).

Five bytes an event, big-endian: x, y, then one bit of polarity and 23 bits of time in µs
(Orchard et al., Frontiers in Neuroscience 2015, 9:437). The clock wraps at 2²³ µs. A record with
y = 240, a row that the ATIS does not have, is no event: it adds 8,192 µs to all times behind it, as
the authors' own readers have it. The file does not state the size of the sensor.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evlora.errors import RecordingError
from evlora.recordings.readers.clocks import WrappingClock
from evlora.recordings.readers.decoding import (
    CHUNK_EVENTS,
    EventChunk,
    EventFile,
    Findings,
    sensor_size,
)

NMNIST_SIZE = (34, 34)
NCALTECH_SIZE = (240, 180)
RECORD_BYTES = 5
CLOCK_PERIOD_US = 1 << 23
"""The clock has 23 bits."""

OVERFLOW_ROW = 240
OVERFLOW_US = 1 << 13


def open_events(path: Path, *, width: int | None, height: int | None) -> EventFile:
    """The record, opened.

    Args:
        path: The file.
        width: Columns of the sensor; 34 where all events fit N-MNIST's 34×34, 240 where they fit
            N-Caltech101's 240×180, else required.
        height: Rows of the sensor.

    Raises:
        RecordingError: No event, or events beyond both sensors and no size given.
    """
    size = path.stat().st_size
    if size < RECORD_BYTES:
        raise RecordingError(f"{path}: expected N-MNIST records of 5 bytes, got {size} bytes")
    declared, hint = (None, "") if width is not None else _published_size(path)
    width, height = sensor_size(path, declared, width=width, height=height, hint=hint)
    findings = Findings(path)
    count, rest = divmod(size, RECORD_BYTES)
    if rest:
        findings.warn(
            f"{rest} bytes after event {count} (byte {RECORD_BYTES * count}) make no whole event; "
            f"the {count} events before them were read"
        )
    chunks = _decoded(path, findings, has_overflows=height <= OVERFLOW_ROW)
    return EventFile("nmnist", width, height, chunks, findings, most_events=count)


def _decoded(path: Path, findings: Findings, *, has_overflows: bool) -> Iterator[EventChunk]:
    turning = WrappingClock(CLOCK_PERIOD_US)
    overflows = done = 0
    size = path.stat().st_size
    for whole in _records(path):
        record = whole
        added_us: int | np.ndarray[tuple[int, ...], np.dtype[np.int64]] = OVERFLOW_US * overflows
        is_event = whole[:, 1] != OVERFLOW_ROW
        if has_overflows and not is_event.all():
            counted = overflows + np.cumsum(~is_event)
            record, added_us = whole[is_event], OVERFLOW_US * counted[is_event]
            overflows = int(counted[-1])
        low = record[:, 2:].astype(np.int32)
        clock = (low[:, 0] & 0x7F) << 16 | low[:, 1] << 8 | low[:, 2]
        is_on = record[:, 2] > 0x7F
        yield EventChunk(turning.unwrapped(clock) + added_us, record[:, 0], record[:, 1], is_on)
        done += RECORD_BYTES * len(whole)
        if findings.ends_at(done / size):
            break
    if overflows:
        findings.remark(
            f"{overflows} records with y = {OVERFLOW_ROW} are no events; each adds {OVERFLOW_US} µs"
        )


def _records(path: Path) -> Iterator[np.ndarray[tuple[int, int], np.dtype[np.uint8]]]:
    with path.open("rb") as stream:
        while True:
            raw = np.fromfile(stream, np.uint8, RECORD_BYTES * CHUNK_EVENTS)
            count = len(raw) // RECORD_BYTES
            if not count:
                return
            yield raw[: count * RECORD_BYTES].reshape(count, RECORD_BYTES)


def _published_size(path: Path) -> tuple[tuple[int, int] | None, str]:
    """The smaller of the two published sensors that holds all events, and what speaks against."""
    start = 0
    fitting = [NMNIST_SIZE, NCALTECH_SIZE]
    for whole in _records(path):
        record = whole[whole[:, 1] != OVERFLOW_ROW]
        if not len(record):
            start += len(whole)
            continue
        last_x, last_y = int(record[:, 0].max()), int(record[:, 1].max())
        fitting = [size for size in fitting if last_x < size[0] and last_y < size[1]]
        if not fitting:
            is_beyond = (record[:, 0] >= NCALTECH_SIZE[0]) | (record[:, 1] >= NCALTECH_SIZE[1])
            at = int(np.flatnonzero(whole[:, 1] != OVERFLOW_ROW)[np.argmax(is_beyond)])
            return None, (
                f"event {start + at} at byte {RECORD_BYTES * (start + at)}, x = {whole[at, 0]}, "
                f"y = {whole[at, 1]}, lies beyond N-MNIST's 34×34 and N-Caltech101's 240×180"
            )
        start += len(whole)
    return fitting[0], ""
