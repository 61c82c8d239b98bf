"""MATLAB files (`.mat`) of both generations: version 5 to 7 by scipy, 7.3 as the HDF5 that it is.

t, x, y and p are variables, the fields of one struct at any depth (as AedatTools and the tools of
N-MNIST's authors write them), or the columns of one matrix that the caller names.
"""

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evlora.errors import RecordingError
from evlora.limits import limits, raising
from evlora.messages import listed
from evlora.recordings.readers import hdf5
from evlora.recordings.readers.decoding import EventFile, Findings, collect, sensor_size
from evlora.recordings.readers.fields import NOTHING_DECLARED, Declared
from evlora.recordings.readers.located_decoder import decoder_for
from evlora.recordings.readers.locating import Located, located, not_found
from evlora.recordings.readers.mat_elements import ElementCheck
from evlora.recordings.readers.mat_variables import (
    Variable,
    pieces,
    plain_variables,
    value_of,
)
from evlora.recordings.readers.passed_over import FEW_VALUES, NAMES_SHOWN, note_passed_over
from evlora.recordings.readers.stated_size import stated_size
from evlora.recordings.recording import Recording

HDF5_VERSION = b"MATLAB 7.3 MAT-file"
HEADER_BYTES = 128
COMPRESSED_ELEMENT = 15
"""8 GiB; a small file may claim to unpack to any size."""
UNPACKED_AT_ONCE_BYTES = 1 << 22
DEEPEST_STRUCT = 6
ARRAY_OF_ARRAYS = {
    "little": re.compile(
        rb"\x06\0\0\0\x08\0\0\0[\x01-\x03].{7}\x05\0\0\0\x08\0\0\0(.{4})(.{4})", re.S
    ),
    "big": re.compile(
        rb"\0\0\0\x06\0\0\0\x08..\0[\x01-\x03].{4}\0\0\0\x05\0\0\0\x08(.{4})(.{4})", re.S
    ),
}
"""A cell or struct array with its two dimensions, in both orders of bytes."""


def read(
    path: Path,
    *,
    width: int | None,
    height: int | None,
    declared: Declared = NOTHING_DECLARED,
) -> Recording:
    """The events of the file.

    Args:
        path: The file.
        width: Columns of the sensor, where no variable states it.
        height: Rows of the sensor.
        declared: What the caller states of its columns and times.

    Raises:
        RecordingError: No MATLAB file, damaged, too large once unpacked, or without events.
    """
    with path.open("rb") as file:
        head = file.read(len(HDF5_VERSION))
    if head == HDF5_VERSION:
        return hdf5.read(path, width=width, height=height, declared=declared, format="mat")
    variables = _variables(path)
    (name, arrays, where), *others = _found(path, variables, declared)
    holders = [arrays, dict(_structs(variables))[""]]
    size = stated_size(holders[0], where=str(path)) or stated_size(holders[1], where=str(path))
    width, height = sensor_size(path, size, width=width, height=height, may_be_swapped=True)
    findings = Findings(path)
    decoder = decoder_for(where, findings, holders, may_count_from_one=True)
    if name:
        findings.remark(f"events in the struct {name}")
    if others:
        places = listed((other for other, _, _ in others), at_most=NAMES_SHOWN)
        findings.warn(
            f"events in {places} too; {name or 'the variables'} were read; name the fields of "
            f"another with columns= or --columns, such as t={others[0][0]}.t,x={others[0][0]}.x,…"
        )
    note_passed_over(_beside(variables, name, others), where, (), findings)
    chunks = decoder.decoded([where.fields(arrays)])
    return collect(EventFile("mat", width, height, chunks, findings))


def open_events(
    path: Path,
    *,
    width: int | None,
    height: int | None,
    declared: Declared = NOTHING_DECLARED,
) -> EventFile:
    """The events of the file, opened, to be read in pieces where its variables are plain arrays.

    Raises:
        RecordingError: As for `read`.
    """
    with path.open("rb") as file:
        head = file.read(len(HDF5_VERSION))
    if head == HDF5_VERSION:
        return hdf5.open_events(path, width=width, height=height, declared=declared, format="mat")
    variables = plain_variables(path) or {}
    where = located(variables, declared, where=str(path)) if variables else None
    if where is None or not _counts_from_zero(path, where, variables):
        recording = read(path, width=width, height=height, declared=declared)
        assert recording.events is not None
        return EventFile.of_recording(recording, recording.events)
    stated = {
        name: value_of(path, variable)
        for name, variable in variables.items()
        if variable.size <= FEW_VALUES or variable.is_text
    }
    size = stated_size(stated, where=str(path))
    width, height = sensor_size(path, size, width=width, height=height, may_be_swapped=True)
    findings = Findings(path)
    decoder = decoder_for(where, findings, [stated])
    note_passed_over(variables, where, (), findings)
    chunks = decoder.decoded(_piece_by_piece(path, where, variables, findings))
    return EventFile("mat", width, height, chunks, findings)


def _piece_by_piece(
    path: Path, where: Located, variables: Mapping[str, Variable], findings: Findings
) -> Iterator[Mapping[str, Any]]:
    count = where.places["t"].length(variables[where.places["t"].array])
    read = 0
    for piece in pieces(path, where.places, variables):
        yield piece
        read += len(piece["t"])
        if findings.ends_at(read / count):
            return


def _counts_from_zero(path: Path, where: Located, variables: Mapping[str, Variable]) -> bool:
    """Whether polarities are not 1 and 2, whose pixels may begin at 1, and lengths are equal."""
    lengths = {place.length(variables[place.array]) for place in where.places.values()}
    if len(lengths) > 1:
        return False
    first = next(pieces(path, {"p": where.places["p"]}, variables), None)
    return first is not None and not (first["p"] > 1).any()


def _found(
    path: Path, variables: Mapping[str, Any], declared: Declared
) -> list[tuple[str, dict[str, Any], Located]]:
    """The structs that hold events, their arrays, and where the events lie among them."""
    seen: dict[str, Any] = {}
    found: list[tuple[str, dict[str, Any], Located]] = []
    for name, arrays in _structs(variables):
        where = located(arrays, declared, where=str(path))
        if where is not None:
            found.append((name, arrays, where))
        seen.update({f"{name}.{key}".strip("."): array for key, array in arrays.items()})
    if not found and (where := located(seen, declared, where=str(path))) is not None:
        return [("", seen, where)]
    if not found:
        raise RecordingError(
            not_found(seen, declared.columns, where=str(path), what="variables or fields named")
        )
    return found


def _beside(
    variables: Mapping[str, Any], chosen: str, others: Sequence[tuple[str, Any, Any]]
) -> dict[str, Any]:
    """The arrays of the struct that was read, and by full names those of structs without events."""
    known = {name for name, _, _ in others}
    beside: dict[str, Any] = {}
    for name, arrays in _structs(variables):
        if name not in known:
            prefix = "" if name == chosen else f"{name}."
            beside.update({f"{prefix}{key}".lstrip("."): item for key, item in arrays.items()})
    return beside


def _structs(variables: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The arrays of the file itself, then those of each struct, with its name."""
    waiting: list[tuple[str, Mapping[str, Any], int]] = [("", variables, 0)]
    while waiting:
        name, content, depth = waiting.pop(0)
        parts = [part for key, value in content.items() for part in _parts(key, value, depth)]
        yield name, {key: np.asarray(value) for key, value in parts if not isinstance(value, dict)}
        for key, value in parts:
            if isinstance(value, dict) and depth < DEEPEST_STRUCT:
                waiting.append((f"{name}.{key}".strip("."), value, depth + 1))


def _parts(name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """The parts of a struct or cell array, numbered as in MATLAB; else the value itself."""
    is_cells = isinstance(value, np.ndarray) and value.dtype == object
    if not (is_cells or isinstance(value, list)) or depth == DEEPEST_STRUCT:
        yield name, value
        return
    cells = np.asarray(value, object).ravel("F").tolist() if is_cells else list(value)
    for number, part in enumerate(cells, 1):
        numbered = f"{name}{{{number}}}" if is_cells else f"{name}({number})"
        yield from _parts(numbered, part, depth + 1)


def _variables(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    most = limits().unpacked(path.stat().st_size)
    size = _unpacked_bytes(path, most)
    if size > most:
        raise RecordingError(
            f"{path}: expected at most {most} bytes once unpacked, got at least {size}; save its "
            f"parts as several files, or with -v7.3; {raising('unpacked_bytes')}"
        )
    try:
        content = loadmat(path, simplify_cells=True)
    except (
        *(MatReadError, OSError, ValueError, TypeError, KeyError, IndexError, EOFError),
        *(MemoryError, OverflowError, NotImplementedError, AttributeError, zlib.error),
        UnboundLocalError,  # of an array class that scipy does not know
    ) as error:
        raise RecordingError(
            f"{path}: expected a whole MATLAB file, could not read it: {error}; "
            "copy it again, or save it anew"
        ) from error
    return {
        name: value
        for name, value in content.items()
        if not name.startswith("__")
        and isinstance(value, np.ndarray | dict | list | int | float | str)
    }


def _unpacked_bytes(path: Path, most: int) -> int:
    """How large the file's compressed variables are, as far as the limit; nothing is kept.

    Raises:
        RecordingError: A tag is damaged, or a cell or struct array states more parts than the file
            can hold; scipy would make each of them.
    """
    unpacked, size = 0, path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
        if 0 in head[:4]:
            return 0  # version 4, which has neither elements nor compression
        order = "big" if head[126:128] == b"MI" else "little"
        while len(tag := file.read(8)) == 8:
            kind, length = (int.from_bytes(tag[at : at + 4], order) for at in (0, 4))
            end = file.tell() + length
            elements = ElementCheck(path, order)
            if kind == COMPRESSED_ELEMENT:
                decoder = zlib.decompressobj()
                data = b""
                while unpacked <= most and not decoder.eof:
                    data = decoder.unconsumed_tail or file.read(
                        max(0, min(1 << 16, end - file.tell()))
                    )
                    if not data:
                        break
                    try:
                        part = decoder.decompress(data, UNPACKED_AT_ONCE_BYTES)
                    except zlib.error:
                        break  # damaged: scipy reports it
                    unpacked += len(part)
                    _require_parts(path, part, size + unpacked, order)
                    elements.add(part)
            else:
                variable = tag + file.read(max(0, min(length, size)))
                _require_parts(path, variable, size, order)
                elements.add(variable)
            if unpacked > most:
                break
            elements.finish()
            file.seek(end)
    return unpacked


def _require_parts(path: Path, data: bytes, most: int, order: Literal["little", "big"]) -> None:
    for found in ARRAY_OF_ARRAYS[order].finditer(data):
        count = int.from_bytes(found[1], order) * int.from_bytes(found[2], order)
        if count > most:
            raise RecordingError(
                f"{path}: expected a whole MATLAB file, got a cell or struct array of {count} "
                f"parts in {most} bytes; it is damaged: copy it again, or save it anew"
            )
