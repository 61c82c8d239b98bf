"""AEDAT 1.0 (`.aedat`, `.dat` of the first jAER): a DVS128's events in words of 6 bytes.

Text lines that begin with `#`, `#!AER-DAT1.0` the first, then 2 bytes of address and 4 bytes of
time in µs, big-endian. The address is the DVS128's, as in `aedat2`; no other camera was written so.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evlora.errors import RecordingError
from evlora.recordings.readers.aedat2 import (
    CLOCK_PERIOD_US,
    DVS128_SIZE,
    LONGEST_HEADER_BYTES,
    dvs128_events,
    header_end,
)
from evlora.recordings.readers.clocks import WrappingClock
from evlora.recordings.readers.decoding import (
    EventChunk,
    EventFile,
    Findings,
    sensor_size,
)
from evlora.recordings.readers.prophesee_words import words

MAGIC = b"#!AER-DAT1"
WORD = np.dtype([("address", ">u2"), ("time", ">u4")])


def open_events(path: Path, *, width: int | None, height: int | None) -> EventFile:
    """The file, opened.

    Args:
        path: The file.
        width: Columns of the sensor: 128, if given.
        height: Rows of the sensor: 128, if given.

    Raises:
        RecordingError: The first line is not this format's.
    """
    with path.open("rb") as stream:
        head = stream.read(LONGEST_HEADER_BYTES)
    if not head.startswith(MAGIC):
        raise RecordingError(f"{path}: expected #!AER-DAT1.0 in its first line, got {head[:20]!r}")
    size = sensor_size(path, DVS128_SIZE, width=width, height=height)
    findings = Findings(path)
    return EventFile("aedat1", *size, _decoded(path, header_end(head), findings), findings)


def _decoded(path: Path, start: int, findings: Findings) -> Iterator[EventChunk]:
    clock = WrappingClock(CLOCK_PERIOD_US)
    for _, block in words(path, start, WORD, findings):
        t_us = clock.unwrapped(block["time"].astype(np.uint32))
        yield dvs128_events(findings, block["address"].astype(np.uint32), t_us)
