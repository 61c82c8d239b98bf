"""Event Stream (`.es`), version 2, of DVS and ATIS events.

16 bytes of header, width and height, then events of 5 bytes: time since the event before and
polarity in one byte, x, y. Longer times stand before the event as overflow bytes; reset bytes
stand where a device wants to get back into step
(https://github.com/neuromorphic-paris/event_stream). Row 0 is at the bottom.

Own numpy: faery reads these files right, but loses a whole packet with one damaged event and
does not report a cut one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.decoding import (
    CHUNK_EVENTS,
    EventChunk,
    EventFile,
    Findings,
    sensor_size,
)

MAGIC = b"Event Stream"
HEADER_BYTES = 20
EVENT_BYTES = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of stream packs the first byte of an event."""

    time_shift: int
    """Bits below the time in an event's first byte; the highest of them is the polarity."""
    overflow_us: int
    """What one step of an overflow byte adds."""
    first_special: int
    """The reset byte, which adds nothing; the bytes above it add one step more each."""
    has_exposures: bool
    """Whether the lowest bit marks an exposure measurement rather than a change."""


KINDS = {1: Kind(1, 0x7F, 0xFE, False), 2: Kind(2, 0x3F, 0xFC, True)}
"""DVS and ATIS by the number in the header."""


def open_events(path: Path, *, width: int | None, height: int | None) -> EventFile:
    """The file, opened; of an ATIS stream the change events, not the exposures.

    Args:
        path: The file.
        width: Columns of the sensor; the file states it, so this may only agree.
        height: Rows of the sensor, as for `width`.

    Raises:
        RecordingError: The header is damaged, or the stream is of another version or kind.
    """
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES or not head.startswith(MAGIC):
        raise RecordingError(f"{path}: expected an Event Stream header, got {head[:12]!r}")
    if head[12] != 2 or head[15] not in KINDS:
        raise RecordingError(
            f"{path}: expected Event Stream version 2 with DVS (1) or ATIS (2) events, got version "
            f"{head[12]}.{head[13]}.{head[14]} with events of type {head[15]}"
        )
    declared = (int.from_bytes(head[16:18], "little"), int.from_bytes(head[18:20], "little"))
    width, height = sensor_size(path, declared, width=width, height=height)
    findings = Findings(path)
    chunks = _decoded(path, KINDS[head[15]], findings, width=width, height=height)
    most = path.stat().st_size // EVENT_BYTES
    return EventFile("es", width, height, chunks, findings, most_events=most)


def _decoded(
    path: Path, kind: Kind, findings: Findings, *, width: int, height: int
) -> Iterator[EventChunk]:
    last_us, events, start = 0, 0, HEADER_BYTES
    rest = np.zeros(0, np.uint8)
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(start)
        while len(block := np.fromfile(stream, np.uint8, EVENT_BYTES * CHUNK_EVENTS)):
            data = np.concatenate([rest, block]) if len(rest) else block
            records, waits_us, trailing_us, used = _split(data, kind)
            first = records[:, 0]
            t_us = np.cumsum(waits_us + (first >> kind.time_shift)) + last_us
            pixels = records[:, 1:].copy().view("<u2")
            x, y = pixels[:, 0], pixels[:, 1]
            sound = _sound_events(x, y, width=width, height=height)
            is_on = first & (1 << (kind.time_shift - 1)) != 0
            chunk = EventChunk(t_us[:sound], x[:sound], height - 1 - y[:sound], is_on[:sound])
            if kind.has_exposures:
                is_change = first[:sound] & 1 == 0
                chunk = EventChunk(*(values[is_change] for values in chunk))
            yield chunk
            events += sound
            if sound < len(x):
                findings.warn(
                    f"event {events} lies outside the sensor (x = {x[sound]}, y = {y[sound]}): "
                    f"at or before byte {start + used} the file is out of step; the {events} "
                    "events before it were read"
                )
                return
            last_us = (int(t_us[-1]) if len(t_us) else last_us) + trailing_us
            rest, start = data[used:], start + used
            if findings.ends_at(start / size):
                return
    if len(rest):
        findings.warn(f"{len(rest)} bytes at its end make no event; {events} events were read")


def _split(
    data: NDArray[np.uint8], kind: Kind
) -> tuple[NDArray[np.uint8], NDArray[np.int64], int, int]:
    """Events and the waits between them.

    Returns:
        Whole events of shape (N, 5); the wait in µs before each, shape (N,); the wait behind the
        last; and how many bytes that was.
    """
    begins, ends = _special_runs(data, kind)
    lengths = ends - begins
    removed_before = np.cumsum(lengths) - lengths
    borders = np.zeros(len(data) + 1, np.int8)
    borders[begins] = 1
    borders[ends] -= 1
    is_special = np.cumsum(borders[:-1], dtype=np.int8).view(np.bool_)
    packed = data[~is_special]
    count = len(packed) // EVENT_BYTES
    steps = (data[is_special] - np.uint8(kind.first_special)).astype(np.int64)
    waits = np.add.reduceat(steps, removed_before) if len(steps) else steps
    waits_us = np.zeros(count + 1, np.int64)
    waits_us[(begins - removed_before) // EVENT_BYTES] = waits * kind.overflow_us
    is_cut_event = len(packed) % EVENT_BYTES
    used = len(data)
    if is_cut_event:  # what stands before an event that is not whole yet is read again with it
        is_behind = (begins - removed_before) // EVENT_BYTES == count
        used -= is_cut_event + int(lengths[is_behind].sum())
        waits_us[count] = 0
    records = packed[: count * EVENT_BYTES].reshape(-1, EVENT_BYTES)
    return records, waits_us[:-1], int(waits_us[-1]), used


def _special_runs(
    data: NDArray[np.uint8], kind: Kind
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where runs of overflow and reset bytes begin and end.

    A byte of their value within an event is a coordinate: whether it is one depends on where the
    run before ended, so the candidates are gone through one after the other.
    """
    candidates = np.flatnonzero(data >= kind.first_special)
    is_first = np.diff(candidates, prepend=-2) != 1
    is_last = np.diff(candidates, append=len(data) + 1) != 1
    runs: list[tuple[int, int]] = []
    in_step_at = 0
    for start, last in zip(
        candidates[is_first].tolist(), candidates[is_last].tolist(), strict=True
    ):
        begin = start + (in_step_at - start) % EVENT_BYTES
        if begin <= last:
            runs.append((begin, last + 1))
            in_step_at = last + 1
    begins, ends = np.array(runs, np.int64).reshape(-1, 2).T
    return begins, ends


def _sound_events(x: NDArray[np.uint16], y: NDArray[np.uint16], *, width: int, height: int) -> int:
    """How many events come before the first that lies outside the sensor."""
    if not len(x) or (int(x.max()) < width and int(y.max()) < height):
        return len(x)
    return int(np.argmax((x >= width) | (y >= height)))
