"""AEDAT 3.1 (`.aedat`), as DVS-Gesture has it: the polarity packets of one camera.

Text lines that begin with `#`, up to `#!END-HEADER`, then packets of 28 bytes of header and events
of 8 bytes: validity, polarity, y and x in 1, 1, 15 and 15 bits, and 31 bits of time in µs, whose
turns the packet's header counts
(https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-3.1.html).
Packets of other kinds — frames, inertia — are passed over.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.decoding import (
    EventChunk,
    EventFile,
    Findings,
    collect,
    sensor_size,
)
from evlora.recordings.recording import Recording

MAGIC = b"#!AER-DAT3"
END_OF_HEADER = b"#!END-HEADER"
LONGEST_HEADER_BYTES = 1 << 16
HEADER = np.dtype(
    [
        *(("kind", "<u2"), ("source", "<u2"), ("size", "<u4"), ("time_offset", "<u4")),
        *(("turns", "<u4"), ("capacity", "<u4"), ("number", "<u4"), ("valid", "<u4")),
    ]
)
POLARITY = 1
LAST_KIND = 32
"""Kinds are small numbers; a larger one is no packet header."""
SENSOR_OF_CAMERA = {
    "DVS128": (128, 128),
    "DAVIS128": (128, 128),
    "DAVIS208": (208, 192),
    "DAVIS240": (240, 180),
    "DAVIS346": (346, 260),
    "DAVIS640": (640, 480),
    "DVXPLORER": (640, 480),
}
"""Start of the camera's name in the header → width and height."""


def read(path: Path, *, width: int | None, height: int | None) -> Recording:
    """The events of the file; see `open_events`."""
    return collect(open_events(path, width=width, height=height))


def open_events(path: Path, *, width: int | None, height: int | None) -> EventFile:
    """The file, opened.

    Args:
        path: The file.
        width: Columns of the sensor, where the header names no camera that is known.
        height: Rows of the sensor, likewise.

    Raises:
        RecordingError: The header is damaged, or packed data, or no sensor size is known.
    """
    with path.open("rb") as stream:
        head = stream.read(LONGEST_HEADER_BYTES)
    if not head.startswith(MAGIC):
        raise RecordingError(f"{path}: expected #!AER-DAT3.1 in its first line, got {head[:20]!r}")
    end = head.find(END_OF_HEADER)
    start = head.find(b"\n", end) + 1
    if end < 0 or not start:
        raise RecordingError(f"{path}: expected {END_OF_HEADER.decode()} to end the header")
    text = head[:end].decode("latin-1")
    packing = re.search(r"^#Format:\s*(\S+)", text, re.MULTILINE)
    if packing and packing[1].upper() != "RAW":
        raise RecordingError(f"{path}: expected packets in format RAW, got {packing[1]}")
    source = re.search(r"^#Source \d+:\s*(\S+)", text, re.MULTILINE)
    declared = _size_of(source[1]) if source else None
    width, height = sensor_size(path, declared, width=width, height=height)
    findings = Findings(path)
    if source and declared:
        findings.remark(f"sensor of {width}×{height} by the camera's name, {source[1]}")
    return EventFile("aedat3", width, height, _decoded(path, start, findings), findings)


def _size_of(camera: str) -> tuple[int, int] | None:
    for name, size in SENSOR_OF_CAMERA.items():
        if camera.upper().startswith(name):
            return size
    return None


def _decoded(path: Path, start: int, findings: Findings) -> Iterator[EventChunk]:
    events = number = 0
    at = start
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(at)
        while at < size:
            kind, turns, body, reason = _packet(stream, size - at)
            at_next = stream.tell()
            if kind == POLARITY:
                chunk = _polarity(body, turns)
                events += len(chunk.t_us)
                yield chunk
            if reason:
                findings.warn(
                    f"packet {number} at byte {at} {reason}; the {events} events before the "
                    "damage were read"
                )
                return
            at, number = at_next, number + 1


def _packet(stream: BinaryIO, present: int) -> tuple[int, int, NDArray[np.uint32], str]:
    """Kind, turns of the clock, events of the next packet, and what is wrong with it."""
    nothing = np.zeros((0, 2), np.uint32)
    if present < HEADER.itemsize:
        return 0, 0, nothing, "is cut off in its header"
    header = np.fromfile(stream, HEADER, 1)[0]
    kind, size, number = (int(header[name]) for name in ("kind", "size", "number"))
    if kind > LAST_KIND or not 0 < size <= present or int(header["turns"]) >= 1 << 31:
        return 0, 0, nothing, "has a damaged header"
    there = min(number, (present - HEADER.itemsize) // size)
    reason = "" if there == number else f"says {number} events, {there} are there"
    if kind != POLARITY:
        stream.seek(there * size, 1)
        return kind, 0, nothing, reason
    if size != nothing.itemsize * 2:
        return 0, 0, nothing, f"says {size} bytes an event, expected 8"
    body = np.fromfile(stream, "<u4", 2 * there).reshape(there, 2)
    return kind, int(header["turns"]), body, reason


def _polarity(body: NDArray[np.uint32], turns: int) -> EventChunk:
    data, ticks = body[:, 0], body[:, 1] & 0x7FFFFFFF
    is_valid = data & 1 == 1
    data, ticks = data[is_valid], ticks[is_valid]
    return EventChunk(
        ticks.astype(np.int64) + (turns << 31),
        (data >> 17).astype(np.uint16),
        ((data >> 2) & 0x7FFF).astype(np.uint16),
        data & 2 != 0,
    )
