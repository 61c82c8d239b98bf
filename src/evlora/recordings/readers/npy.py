"""numpy arrays (`.npy`): structured events with fields t, x, y and p, or columns that are named.

Names and units as in `npz`. A plain array of shape (N, K) does not state which column is which, so
the caller does with `columns`. The array is read in pieces, and a cut file up to its cut.
"""

import ast
import math
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.decoding import (
    CHUNK_EVENTS,
    EventFile,
    Findings,
    sensor_size,
)
from evlora.recordings.readers.fields import NOTHING_DECLARED, Declared
from evlora.recordings.readers.located_decoder import decoder_for
from evlora.recordings.readers.locating import require_located
from evlora.recordings.readers.passed_over import note_passed_over

ARRAY = "the array"
LONGEST_HEADER_BYTES = 10_000
"""As numpy has it: the text is parsed as Python, which a long one could make slow."""


def _read_header_3(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """A header of version 3, whose members have names beyond Latin letters."""
    length = int.from_bytes(stream.read(4), "little")
    if length > LONGEST_HEADER_BYTES:
        raise ValueError(f"a header of {length} bytes")
    about = ast.literal_eval(stream.read(length).decode("utf-8"))
    return about["shape"], about["fortran_order"], np.lib.format.descr_to_dtype(about["descr"])


HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): _read_header_3,
}

HEADER_ERRORS = (
    *(ValueError, KeyError, EOFError, SyntaxError, TypeError, MemoryError, OverflowError),
    tokenize.TokenError,
)
"""What numpy raises on a damaged header, whose text it parses as Python."""


def open_events(
    path: Path,
    *,
    width: int | None,
    height: int | None,
    declared: Declared = NOTHING_DECLARED,
) -> EventFile:
    """The array, opened.

    Args:
        path: The file.
        width: Columns of the sensor; an npy file does not state it.
        height: Rows of the sensor.
        declared: What the caller states of its columns and times.

    Raises:
        RecordingError: No npy file, no column is named, or no sensor size is known.
    """
    array = _header(path)
    findings = Findings(path)
    where = require_located(
        {ARRAY: array},
        declared,
        where=str(path),
        what="a structured array with fields named",
    )
    width, height = sensor_size(path, None, width=width, height=height)
    count = where.places["t"].length(array)
    present = max(0, path.stat().st_size - array.start) // array.dtype.itemsize
    most = count
    if present < math.prod(array.shape):
        values = math.prod(array.shape) // max(1, count)
        most = present // values
        if not array.is_by_event:
            raise RecordingError(
                f"{path}: the header states {count} events column by column, the file is cut off "
                f"after {present} values; copy it again"
            )
        findings.warn(
            f"the header states {count} events, the file ends after {most} "
            f"(byte {array.start + most * values * array.dtype.itemsize}); "
            "those were read"
        )
    note_passed_over({ARRAY: array}, where, (), findings)
    decoder = decoder_for(where, findings)
    blocks = _blocks(path, array, most, findings)
    pieces = (where.fields({ARRAY: block}) for block in blocks)
    return EventFile("npy", width, height, decoder.decoded(pieces), findings, most_events=most)


def _blocks(path: Path, array: "_Array", count: int, findings: Findings) -> Iterator[NDArray[Any]]:
    """The events in pieces, or at once where the file holds one column after the other."""
    if not array.is_by_event:
        yield np.asarray(np.memmap(path, array.dtype, "r", array.start, array.shape, array.order))
        return
    row, most = array.shape[1:], count
    with path.open("rb") as stream:
        stream.seek(array.start)
        while count > 0:
            rows = min(count, CHUNK_EVENTS)
            block = np.fromfile(stream, array.dtype, rows * math.prod(row))
            if not len(block):
                return
            count -= rows
            yield block.reshape(-1, *row)
            if findings.ends_at(1 - count / most):
                return


@dataclass(frozen=True, slots=True)
class _Array:
    """What the header of an npy file states."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: Literal["C", "F"]
    start: int
    """The byte at which the values begin."""

    @property
    def is_by_event(self) -> bool:
        """Whether the values of one event lie side by side."""
        is_tall = len(self.shape) == 1 or self.shape[0] >= self.shape[1]
        return is_tall and (self.order == "C" or math.prod(self.shape[1:]) == 1)


def _header(path: Path) -> _Array:
    with path.open("rb") as stream:
        try:
            version = np.lib.format.read_magic(stream)
            shape, is_fortran, dtype = HEADER_READERS[version](stream)
        except HEADER_ERRORS as error:
            raise RecordingError(f"{path}: expected the header of an npy file: {error}") from error
        start = stream.tell()
    is_plain = dtype.names is None
    if dtype.hasobject or dtype.itemsize == 0 or len(shape) != (2 if is_plain else 1):
        raise RecordingError(
            f"{path}: expected a structured array of shape (N,) with fields t, x, y and p, or "
            f"numbers of shape (N, K), got {dtype} of shape {shape}"
        )
    return _Array(tuple(map(int, shape)), dtype, "F" if is_fortran else "C", start)
