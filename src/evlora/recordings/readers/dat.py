"""Prophesee DAT (`.dat`): events of 8 bytes behind a text header.

Two bytes say the event's type and size; an event is 32 bits of time in µs, then x, y and polarity
in 14, 14 and 4 bits, in version 1 in 9, 8 and 1
(https://docs.prophesee.ai/stable/data/file_formats/dat.html). Type 0x0C are CD events; N-Cars'
files have the older type 0x00 and the same words.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.clocks import WrappingClock
from evlora.recordings.readers.decoding import (
    EventChunk,
    EventFile,
    Findings,
    sensor_size,
)
from evlora.recordings.readers.prophesee_header import PropheseeHeader, read_header
from evlora.recordings.readers.prophesee_words import note_time_base, words

EVENT_TYPES = (0x00, 0x0C)
EVENT_BYTES = 8
CLOCK_PERIOD_US = 1 << 32
ATIS_SIZE = (304, 240)
ATIS_MARK = "Chronocam7Event2d"
"""Chronocam's class name in the header of files from the ATIS, such as N-Cars'
(Sironi et al., CVPR 2018, section 4)."""


def open_events(path: Path, *, width: int | None, height: int | None) -> EventFile:
    """The file, opened.

    Args:
        path: The file.
        width: Columns of the sensor, where the header neither states them nor names the ATIS.
        height: Rows of the sensor, as for `width`.

    Raises:
        RecordingError: No DAT file, events of another kind, or no sensor size is known.
    """
    header = read_header(path)
    with path.open("rb") as stream:
        stream.seek(header.data_byte)
        kind = stream.read(2)
    if not header.data_byte or header.encoding is not None:
        said = header.encoding or "nothing"
        raise RecordingError(f"{path}: expected a DAT header of % lines, the header states {said}")
    if len(kind) < 2 or kind[0] not in EVENT_TYPES or kind[1] != EVENT_BYTES:
        raise RecordingError(
            f"{path}: expected CD events (type 0x00 or 0x0c, 8 bytes) at byte "
            f"{header.data_byte}, got {kind.hex(' ') or 'the end of the file'}"
        )
    findings = Findings(path)
    declared = header.size or _size_of_atis(header, findings)
    width, height = sensor_size(path, declared, width=width, height=height, may_be_swapped=True)
    blocks = words(path, header.data_byte + 2, np.dtype("<u8"), findings)
    is_first_version = header.fields.get("version", "2") == "1"
    note_time_base(header, findings)
    bits = (9, 8) if is_first_version else (14, 14)
    chunks = _decoded(blocks, bits, header.time_base_us)
    most = path.stat().st_size // EVENT_BYTES
    return EventFile("dat", width, height, chunks, findings, most_events=most)


def _decoded(
    blocks: Iterator[tuple[int, NDArray[Any]]], bits: tuple[int, int], time_base_us: int
) -> Iterator[EventChunk]:
    clock = WrappingClock(CLOCK_PERIOD_US)
    x_bits, y_bits = bits
    for _, block in blocks:
        pairs = block.view("<u4").reshape(-1, 2)
        address = np.ascontiguousarray(pairs[:, 1])
        yield EventChunk(
            clock.unwrapped(pairs[:, 0]) + time_base_us,
            (address & ((1 << x_bits) - 1)).astype(np.uint16),
            ((address >> x_bits) & ((1 << y_bits) - 1)).astype(np.uint16),
            address >> (x_bits + y_bits) != 0,
        )


def _size_of_atis(header: PropheseeHeader, findings: Findings) -> tuple[int, int] | None:
    if not any(ATIS_MARK in value for value in header.fields.values()):
        return None
    findings.remark("sensor of 304×240: Chronocam's files of this kind come from the ATIS")
    return ATIS_SIZE
