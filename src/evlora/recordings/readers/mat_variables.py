"""The variables of a MATLAB file of version 5 to 7 by their headers, and their values in pieces.

Only plain arrays of numbers and text are known here; a file with anything else is left to scipy. A
variable is an element, packed by zlib or not, of flags, dimensions, a name and the values, one
column after the other (https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf).
"""

import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.decoding import CHUNK_EVENTS
from evlora.recordings.readers.locating import Place

FILE_HEADER_BYTES = 128
HEAD_BYTES = 1 << 12
"""Of a variable; longer names and more dimensions than fit are left to scipy."""
MATRIX, PACKED = 14, 15
TEXT_CLASS = 4
CLASSES = {
    **{6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2"},
    **{12: "i4", 13: "u4", 14: "i8", 15: "u8"},
}
"""What MATLAB calls the values."""
STORED = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"},
    **{12: "i8", 13: "u8", 16: "u1", 17: "u2"},
}
"""How they are stored, which may take fewer bytes."""
IS_COMPLEX = 0x800
BYTES_AT_A_TIME = 1 << 16


@dataclass(frozen=True, slots=True)
class Variable:
    """What the header of a variable states."""

    shape: tuple[int, ...]
    """Without dimensions of 1, as scipy gives it when asked to simplify."""
    dtype: np.dtype[Any]
    stored: np.dtype[Any]
    is_text: bool
    at: int
    """The byte of the file at which the element begins, behind its tag."""
    length: int
    is_packed: bool
    values_at: int
    """The byte of the element, unpacked, at which its values begin."""

    @property
    def ndim(self) -> int:
        """The number of its dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of its values."""
        return math.prod(self.shape)


def plain_variables(path: Path) -> dict[str, Variable] | None:
    """The variables by their names; None where one is no plain array, or the file is damaged."""
    found: dict[str, Variable] = {}
    with path.open("rb") as file:
        head = file.read(FILE_HEADER_BYTES)
        if len(head) < FILE_HEADER_BYTES or 0 in head[:4]:
            return None
        order = ">" if head[126:128] == b"MI" else "<"
        while tag := file.read(8):
            try:
                kind, length = struct.unpack(f"{order}II", tag)
                at = file.tell()
                start = file.read(min(length, HEAD_BYTES))
                if kind == PACKED:
                    start = zlib.decompressobj().decompress(start, HEAD_BYTES)[8:]
                name, variable = _variable(start, order, at, length, is_packed=kind == PACKED)
            except (struct.error, zlib.error, KeyError, UnicodeDecodeError):
                return None
            found[name] = variable
            file.seek(at + length)
    return found


def _variable(
    head: bytes, order: str, at: int, length: int, *, is_packed: bool
) -> tuple[str, Variable]:
    """Name and header of the variable that begins so.

    Raises:
        struct.error: The beginning is too short.
        KeyError: It is no plain array.
    """
    flags = struct.unpack_from(f"{order}3I", head)
    kind = flags[2] & 0xFF
    if flags[:2] != (6, 8) or flags[2] & IS_COMPLEX:
        raise KeyError(kind)
    _, shape_bytes, place = _tag(head, order, 16)
    shape = struct.unpack_from(f"{order}{shape_bytes // 4}i", head, place)
    _, name_bytes, place = _tag(head, order, place + _filled(shape_bytes))
    name = head[place : place + name_bytes].decode("ascii")
    is_small = place % 8 == 4
    code, values_bytes, place = _tag(head, order, place + (4 if is_small else _filled(name_bytes)))
    stored = np.dtype(f"{order}{STORED[code]}")
    is_text = kind == TEXT_CLASS
    dtype = stored if is_text else np.dtype(CLASSES[kind])
    if is_text:  # of which one letter may take several bytes
        shape = (values_bytes // stored.itemsize,)
    if min(shape, default=0) < 0 or math.prod(shape) * stored.itemsize != values_bytes:
        raise KeyError(name)
    sides = tuple(side for side in shape if side != 1)
    head_bytes = 8 if is_packed else 0
    return name, Variable(sides, dtype, stored, is_text, at, length, is_packed, head_bytes + place)


def _tag(head: bytes, order: str, at: int) -> tuple[int, int, int]:
    """Type and bytes of an element, and where these begin; up to four stand in the tag itself."""
    first, length = struct.unpack_from(f"{order}II", head, at)
    if first >> 16:
        return first & 0xFFFF, first >> 16, at + 4
    return first, length, at + 8


def _filled(count: int) -> int:
    return -(-count // 8) * 8


def value_of(path: Path, variable: Variable) -> Any:
    """All values of a small variable, as scipy gives them."""
    with path.open("rb") as file:
        values = _Values(file, path, variable, 0).read(variable.size)
    if variable.is_text:
        values = values.astype(values.dtype.newbyteorder("<"))
        is_utf_8 = variable.stored.itemsize == 1
        return values.tobytes().decode("utf-8" if is_utf_8 else "utf-16-le", "replace")
    return values.reshape(variable.shape, order="F")


def pieces(
    path: Path, places: Mapping[str, Place], variables: Mapping[str, Variable]
) -> Iterator[dict[str, NDArray[Any]]]:
    """The fields of the same events, each of shape (N,), piece by piece.

    Args:
        path: The file.
        places: Field → where it lies.
        variables: The file's variables.

    Raises:
        RecordingError: Values are missing.
    """
    lengths = {field: place.length(variables[place.array]) for field, place in places.items()}
    count = min(lengths.values())
    with path.open("rb") as file:
        values: dict[str, _Values] = {}
        for field, place in places.items():
            variable, skipped = variables[place.array], 0
            if place.column is not None and place.axis == 0:
                skipped = place.column * lengths[field]
            values[field] = _Values(file, path, variable, skipped)
        for start in range(0, count, CHUNK_EVENTS):
            rows = min(CHUNK_EVENTS, count - start)
            piece: dict[str, NDArray[Any]] = {}
            for field, place in places.items():
                if place.column is None or place.axis == 0:
                    piece[field] = values[field].read(rows)
                else:  # the fields of an event lie side by side
                    side = variables[place.array].shape[0]
                    piece[field] = values[field].read(rows * side)[place.column :: side]
            yield piece


class _Values:
    """The values of a variable in the order of the file, some at a time."""

    def __init__(self, file: BinaryIO, path: Path, variable: Variable, skipped: int) -> None:
        self._file, self._path, self._variable = file, path, variable
        self._at = variable.at
        self._rest = zlib.decompressobj() if variable.is_packed else None
        skipped_bytes = variable.values_at + skipped * variable.stored.itemsize
        if self._rest is None:
            self._at += skipped_bytes
        else:
            while skipped_bytes:
                skipped_bytes -= len(self._bytes(min(skipped_bytes, BYTES_AT_A_TIME)))

    def read(self, count: int) -> NDArray[Any]:
        """The next values, shape (count,).

        Raises:
            RecordingError: There are fewer.
        """
        held = self._bytes(count * self._variable.stored.itemsize)
        return np.frombuffer(held, self._variable.stored).astype(self._variable.dtype)

    def _bytes(self, count: int) -> bytes:
        end = self._variable.at + self._variable.length
        held = bytearray()
        while len(held) < count:
            data = b"" if self._rest is None else self._rest.unconsumed_tail
            if not data:
                self._file.seek(self._at)
                most = count - len(held) if self._rest is None else BYTES_AT_A_TIME
                data = self._file.read(max(0, min(most, end - self._at)))
                self._at += len(data)
            if not data:
                raise self._damaged(f"it ends {count - len(held)} bytes too early")
            try:
                wanted = count - len(held)
                held += data if self._rest is None else self._rest.decompress(data, wanted)
            except zlib.error as error:
                raise self._damaged(str(error)) from error
        return bytes(held)

    def _damaged(self, reason: str) -> RecordingError:
        return RecordingError(
            f"{self._path}: expected a whole MATLAB file, could not read it: {reason}; copy it "
            "again, or save it anew"
        )
