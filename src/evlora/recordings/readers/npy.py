"""numpy arrays (`.npy`) of structured events: fields t, x, y, p under any of their names.

Names and units as in `npz`. The array is read in pieces, and a cut file up to its cut.
"""

import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.decoding import (
    CHUNK_EVENTS,
    EventFile,
    Findings,
    collect,
    sensor_size,
)
from evlora.recordings.readers.fields import FieldDecoder, named_fields
from evlora.recordings.recording import Recording

HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

HEADER_ERRORS = (
    *(ValueError, KeyError, EOFError, SyntaxError, TypeError, MemoryError, OverflowError),
    tokenize.TokenError,
)
"""What numpy raises on a damaged header, whose text it parses as Python."""


def read(path: Path, *, width: int | None, height: int | None) -> Recording:
    """The events of the array; see `open_events`."""
    return collect(open_events(path, width=width, height=height))


def open_events(path: Path, *, width: int | None, height: int | None) -> EventFile:
    """The array, opened.

    Args:
        path: The file.
        width: Columns of the sensor; an npy file does not say it.
        height: Rows of the sensor, likewise.

    Raises:
        RecordingError: No npy file, no structured array, or no sensor size is known.
    """
    dtype, count, start = _header(path)
    findings = Findings(path)
    names = named_fields(dtype.names or (), findings, where="a structured array with fields named")
    width, height = sensor_size(path, None, width=width, height=height)
    present = max(0, path.stat().st_size - start) // dtype.itemsize
    if present < count:
        findings.warn(
            f"the header says {count} events, the file ends after {present} "
            f"(byte {start + present * dtype.itemsize}); those were read"
        )
    most = min(count, present)
    blocks = _blocks(path, dtype, start, most)
    decoder = FieldDecoder(findings)
    chunks = (decoder.decode(*(block[names[field]] for field in "txyp")) for block in blocks)
    return EventFile("npy", width, height, chunks, findings, most_events=most)


def _blocks(path: Path, dtype: np.dtype[Any], start: int, count: int) -> Iterator[NDArray[Any]]:
    with path.open("rb") as stream:
        stream.seek(start)
        while count > 0:
            block = np.fromfile(stream, dtype, min(count, CHUNK_EVENTS))
            if not len(block):
                return
            count -= len(block)
            yield block


def _header(path: Path) -> tuple[np.dtype[Any], int, int]:
    """Type of an event, number of events, and where they begin."""
    with path.open("rb") as stream:
        try:
            version = np.lib.format.read_magic(stream)
            shape, _, dtype = HEADER_READERS[version](stream)
        except HEADER_ERRORS as error:
            raise RecordingError(f"{path}: expected the header of an npy file: {error}") from error
        start = stream.tell()
    if dtype.names is None or len(shape) != 1 or dtype.hasobject or dtype.itemsize == 0:
        raise RecordingError(
            f"{path}: expected a structured array of shape (N,) with fields t, x, y and p, got "
            f"{dtype} of shape {shape}; a plain array does not say which column is which"
        )
    return dtype, int(shape[0]), start
