"""The arrays of a numpy archive: their headers first, then values, at once or event after event.

A member is a stream, packed or not, so the fields of an event are read side by side from several
streams of one file, and no more of them than is needed.
"""

import math
import tokenize
import zipfile
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.companions import is_companion
from evlora.errors import RecordingError
from evlora.limits import limits, raising
from evlora.recordings.readers.decoding import CHUNK_EVENTS, Findings
from evlora.recordings.readers.npy import HEADER_READERS

BYTES_AT_A_TIME = 2**20
READ_ERRORS = (
    *(OSError, EOFError, KeyError, MemoryError, NotImplementedError, OverflowError),
    *(RuntimeError, SyntaxError, TypeError, ValueError),
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
"""What a damaged archive raises, depending on where the damage is."""


@dataclass(frozen=True, slots=True)
class Member:
    """What the header of an array states."""

    name: str
    """As in the archive, with `.npy`."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool

    @property
    def ndim(self) -> int:
        """The number of its dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of its values."""
        return math.prod(self.shape)

    def is_by_row(self, axis: int) -> bool:
        """Whether what lies at one place of this axis lies side by side in the file."""
        others = self.shape[:axis] + self.shape[axis + 1 :]
        is_first = axis == 0 if not self.is_fortran else axis == self.ndim - 1
        return is_first or math.prod(others) == 1


@contextmanager
def opened_archive(path: Path) -> Generator[zipfile.ZipFile]:
    """The archive, open while this is a context.

    Raises:
        RecordingError: It is no archive, is damaged, or would grow to far more than its size.
    """
    try:
        # Opened here, because numpy leaves a damaged archive open.
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            _require_bounded(path, archive)
            yield archive
    except READ_ERRORS as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(
            f"{path}: expected a whole npz archive, could not read it: {error}; its index lies at "
            "its end, so a cut archive cannot be read in part"
        ) from error


def members(archive: zipfile.ZipFile, findings: Findings) -> dict[str, Member]:
    """The arrays by their names; those of Python's objects, which could run any code, are noted."""
    found: dict[str, Member] = {}
    for name in archive.namelist():
        if not name.endswith(".npy") or is_companion(name):
            continue
        with archive.open(name) as stream:
            member = _member(archive, name, stream)
        if member.dtype.hasobject:
            findings.remark(f"{name.removesuffix('.npy')} holds Python's objects and was skipped")
        else:
            found[name.removesuffix(".npy")] = member
    return found


def values(archive: zipfile.ZipFile, member: Member) -> NDArray[Any]:
    """All values of an array."""
    with archive.open(member.name) as stream:
        _member(archive, member.name, stream)
        held = np.empty(archive.getinfo(member.name).file_size, np.uint8)
        at, view = 0, held.data
        while part := stream.read(BYTES_AT_A_TIME):
            view[at : at + len(part)] = part
            at += len(part)
    if at < member.size * member.dtype.itemsize:
        raise zipfile.BadZipFile(f"{member.name} ends after {at} bytes of its values")
    order = "F" if member.is_fortran else "C"
    return np.ndarray(member.shape, member.dtype, buffer=view, order=order)


def pieces(
    archive: zipfile.ZipFile, axes: Mapping[str, int], arrays: Mapping[str, Member]
) -> Iterator[dict[str, NDArray[Any]]]:
    """The same events of several arrays, piece by piece; at once where they do not lie so.

    Args:
        archive: The open archive.
        axes: Name of an array → the axis along which its events lie.
        arrays: The archive's arrays.
    """
    lengths = {name: arrays[name].shape[axis] for name, axis in axes.items()}
    is_by_row = all(arrays[name].is_by_row(axis) for name, axis in axes.items())
    if not is_by_row or len(set(lengths.values())) > 1:
        yield {name: values(archive, arrays[name]) for name in axes}
        return
    (count,) = set(lengths.values())
    with ExitStack() as stack:
        streams = {name: stack.enter_context(archive.open(arrays[name].name)) for name in axes}
        for name, stream in streams.items():
            _member(archive, arrays[name].name, stream)
        for start in range(0, count, CHUNK_EVENTS):
            rows = min(CHUNK_EVENTS, count - start)
            yield {
                name: _rows(streams[name], arrays[name], rows, axis) for name, axis in axes.items()
            }


def frames_in(
    archive: zipfile.ZipFile, member: Member, indices: Sequence[int]
) -> dict[int, NDArray[Any]]:
    """Some of the first dimension's parts by their numbers; the others are passed over."""
    found: dict[int, NDArray[Any]] = {}
    with archive.open(member.name) as stream:
        _member(archive, member.name, stream)
        for number in range(max(indices, default=-1) + 1):
            part = _rows(stream, member, 1, 0)
            if number in indices:
                found[number] = part[0]
    return found


def _rows(stream: Any, member: Member, rows: int, axis: int) -> NDArray[Any]:
    shape = (*member.shape[:axis], rows, *member.shape[axis + 1 :])
    held = stream.read(math.prod(shape) * member.dtype.itemsize)
    return np.frombuffer(held, member.dtype).reshape(shape)


def _member(archive: zipfile.ZipFile, name: str, stream: Any) -> Member:
    """The header of an array, whose values follow in the stream.

    The header, a text of Python, is parsed once: small recordings take as long as their headers.
    """
    read_header = HEADER_READERS.get(np.lib.format.read_magic(stream))
    if read_header is None:
        raise ValueError(f"{name} is of a version of the npy format that is not known")
    shape, is_fortran, dtype = read_header(stream)
    member = Member(name, tuple(map(int, shape)), dtype, is_fortran)
    if min(member.shape, default=0) < 0:
        raise ValueError(f"{name} states a shape of {shape}")
    stated = member.size * dtype.itemsize
    held = archive.getinfo(name).file_size
    if stated > held and not dtype.hasobject:
        raise zipfile.BadZipFile(f"{name} states {stated} bytes of values and has {held}")
    return member


def _require_bounded(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive that would grow to far more than its size when it is unpacked.

    zipfile unpacks no more of a member than the archive states.
    """
    infos = archive.infolist()
    if len(infos) > limits().archive_members:
        raise RecordingError(
            f"{path}: expected at most {limits().archive_members} arrays, got {len(infos)}; "
            f"{raising('archive_members')}"
        )
    most = limits().unpacked(path.stat().st_size)
    unpacked = sum(info.file_size for info in infos)
    if unpacked > most:
        raise RecordingError(
            f"{path}: expected at most {most} bytes once unpacked, got {unpacked}; it was made to "
            f"fill the memory, or holds little but zeros: {raising('unpacked_bytes')}"
        )
