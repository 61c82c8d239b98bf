"""AEDAT 2.0 (`.aedat`) of the DVS128, as jAER writes it.

Text lines that begin with `#`, then 8 bytes an event, big-endian: address and time in µs. In the
address the lowest bit is set for OFF, x has the next 7 bits counted from the right, y the 7 above
those counted from the bottom (jAER's `DVS128` chip class).

Other cameras pack the address in other ways, which their files do not say: they are refused.
"""

import re
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
    collect,
    sensor_size,
)
from evlora.recordings.readers.prophesee_words import words
from evlora.recordings.recording import Recording

MAGIC = b"#!AER-DAT2"
LONGEST_HEADER_BYTES = 1 << 18
SIZE = (128, 128)
IS_SPECIAL = 0x8000
"""Synchronisation marks are not pixels."""
CLOCK_PERIOD_US = 1 << 32


def read(path: Path, *, width: int | None, height: int | None) -> Recording:
    """The events of the file; see `open_events`."""
    return collect(open_events(path, width=width, height=height))


def open_events(path: Path, *, width: int | None, height: int | None) -> EventFile:
    """The file, opened.

    Args:
        path: The file.
        width: Columns of the sensor: 128, if given.
        height: Rows of the sensor: 128, if given.

    Raises:
        RecordingError: The header is damaged, or names another camera.
    """
    with path.open("rb") as stream:
        head = stream.read(LONGEST_HEADER_BYTES)
    if not head.startswith(MAGIC):
        raise RecordingError(f"{path}: expected #!AER-DAT2.0 in its first line, got {head[:20]!r}")
    start = 0
    while head.startswith(b"#", start) and (end := head.find(b"\n", start)) >= 0:
        start = end + 1
    chip = re.search(rb"AEChip:\s*(\S+)", head[:start])
    name = chip[1].decode("latin-1").rsplit(".", 1)[-1] if chip else "DVS128"
    if name.upper() not in ("DVS128", "TMPDIFF128"):
        raise RecordingError(
            f"{path}: expected a recording of the DVS128, the header says {name}; "
            "convert it to aedat4 with DV"
        )
    width, height = sensor_size(path, SIZE, width=width, height=height)
    findings = Findings(path)
    chunks = _decoded(words(path, start, np.dtype("<u8"), findings))
    return EventFile("aedat2", width, height, chunks, findings)


def _decoded(blocks: Iterator[tuple[int, NDArray[Any]]]) -> Iterator[EventChunk]:
    clock = WrappingClock(CLOCK_PERIOD_US)
    for _, block in blocks:
        pairs = block.view(">u4").reshape(-1, 2)
        address, ticks = pairs[:, 0].astype(np.uint32), pairs[:, 1].astype(np.uint32)
        t_us = clock.unwrapped(ticks)
        is_pixel = address & IS_SPECIAL == 0
        address = address[is_pixel]
        yield EventChunk(
            t_us[is_pixel],
            (127 - (address >> 1 & 0x7F)).astype(np.uint16),
            (127 - (address >> 8 & 0x7F)).astype(np.uint16),
            address & 1 == 0,
        )
