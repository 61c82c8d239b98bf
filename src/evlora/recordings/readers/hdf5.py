"""HDF5 (`.h5`, `.hdf5`): t, x, y and p as one data set each, or one data set with these fields.

They lie in the root, in `events` (DSEC, Gehrig et al. 2021; this library's own files) or in one
group further down (M3ED, Chaney et al. 2023). DSEC's `t_offset` is added to the times. The
sensor's size is an attribute `width` and `height` of the file or the group, `geometry`, or M3ED's
`calib/resolution`. Frames, optional, lie in `frames` as in `npz`.
"""

import importlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.frames import FrameSequence, ImageArray, as_rgb
from evlora.recordings.readers.decoding import (
    CHUNK_EVENTS,
    EventChunk,
    EventFile,
    Findings,
    collect,
    sensor_size,
)
from evlora.recordings.readers.fields import FIELD_NAMES, FieldDecoder, named_fields
from evlora.recordings.recording import Recording

READ_EVENTS = 4 * CHUNK_EVENTS
"""Larger than elsewhere: a read may have to unpack whole chunks of the file."""
ECF_FILTER = 0x8ECF
"""Prophesee's codec for events."""
READ_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError)
"""What h5py raises on a damaged file, depending on where the damage is."""


def read(path: Path, *, width: int | None, height: int | None) -> Recording:
    """The events, the frames, or both, of the file.

    Args:
        path: The file.
        width: Columns of the sensor, where the file does not say it.
        height: Rows of the sensor, likewise.

    Raises:
        RecordingError: No HDF5 file, damaged in its structure, or without events and frames.
    """
    frames = _frames(path)
    if frames is not None and _located(path).columns is None:
        return Recording(None, frames, "hdf5", path)
    recording = collect(open_events(path, width=width, height=height))
    return recording if frames is None else recording.with_frames(frames)


def open_events(path: Path, *, width: int | None, height: int | None) -> EventFile:
    """The events of the file, opened.

    Raises:
        RecordingError: No HDF5 file, damaged in its structure, or without events.
    """
    located = _located(path)
    findings = Findings(path)
    if located.columns is None:
        raise RecordingError(
            f"{path}: expected t, x, y and p in the root, in `events` or in one group, got "
            f"{', '.join(located.seen) or 'an empty file'}"
        )
    width, height = sensor_size(
        path, located.size, width=width, height=height, hint="DSEC's cameras are 640×480"
    )
    if located.others:
        findings.warn(f"events in {', '.join(located.others)} too; {located.group} was read")
    if located.offset_us:
        findings.remark(f"t_offset of {located.offset_us} µs was added to the times")
    chunks = _decoded(path, located, findings)
    return EventFile("hdf5", width, height, chunks, findings, most_events=located.most_events)


@dataclass(slots=True)
class _Located:
    """Where the events are."""

    group: str
    columns: dict[str, tuple[str, str | None]] | None
    """Field → data set and, within a compound one, member."""
    size: tuple[int, int] | None
    offset_us: int
    most_events: int
    others: list[str]
    seen: list[str]


@dataclass(frozen=True, slots=True)
class HdfFrames:
    """Frames that lie in a data set, uint8 of shape (T, H, W) or (T, H, W, 3)."""

    path: Path
    count: int

    def __len__(self) -> int:
        return self.count

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, shape (len(indices), H, W, 3)."""
        import h5py

        try:
            with h5py.File(self.path, "r") as file:
                data: Any = file["frames"]
                images = [np.asarray(data[range(self.count)[index]]) for index in indices]
                shape = (0, *data.shape[1:])
        except READ_ERRORS as error:
            raise RecordingError(f"{self.path}: a frame cannot be read: {error}") from error
        return as_rgb(
            np.stack(images) if images else np.zeros(shape, np.uint8), where=str(self.path)
        )


def _located(path: Path) -> _Located:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            found: dict[str, dict[str, tuple[str, str | None]]] = {}
            seen: list[str] = []
            for name, item in _groups(file):
                seen.extend(f"{name.rstrip('/')}/{key}" for key in item)
                columns = _columns(name, item)
                if columns is not None:
                    found[name] = columns
            names = sorted(found, key=lambda name: (name not in ("/events", "/"), name))
            if not names:
                return _Located("", None, None, 0, 0, [], seen[:20])
            group = names[0]
            offset: Any = file.get("t_offset", file.get(f"{group}/t_offset"))
            offset_us = 0 if offset is None else int(np.asarray(offset[()]).item())
            size = _size(file, group)
            most = min(_present(path, file[name]) for name, _ in found[group].values())
            return _Located(group, found[group], size, offset_us, most, names[1:], seen)
    except READ_ERRORS as error:
        raise RecordingError(
            f"{path}: expected an HDF5 file, could not read it: {error}"
        ) from error


def _groups(file: Any, deepest: int = 4) -> Iterator[tuple[str, Any]]:
    """All groups with their names, from the root down; links in circles end at a depth."""
    import h5py

    waiting: list[tuple[str, Any, int]] = [("/", file, 0)]
    while waiting:
        name, group, depth = waiting.pop(0)
        yield name, group
        for key in group:
            if isinstance(group.get(key, getlink=True), h5py.ExternalLink):
                continue
            child = group.get(key)
            if isinstance(child, h5py.Group) and depth < deepest:
                waiting.append((f"{name.rstrip('/')}/{key}", child, depth + 1))


def _columns(name: str, group: Any) -> dict[str, tuple[str, str | None]] | None:
    import h5py

    sets = {
        key: item
        for key, item in group.items()
        if isinstance(item, h5py.Dataset) and len(item.shape or ()) == 1
    }
    by_case = {key.lower() for key in sets}
    if all(by_case & set(accepted) for accepted in FIELD_NAMES.values()):
        names = named_fields(sets, Findings(Path(name)), where="data sets named")
        return {field: (f"{name.rstrip('/')}/{key}", None) for field, key in names.items()}
    for key, item in sets.items():
        members = {member.lower() for member in item.dtype.names or ()}
        if all(members & set(accepted) for accepted in FIELD_NAMES.values()):
            names = named_fields(item.dtype.names, Findings(Path(name)), where="members named")
            return {f: (f"{name.rstrip('/')}/{key}", member) for f, member in names.items()}
    return None


def _size(file: Any, group: str) -> tuple[int, int] | None:
    for holder in (file[group], file):
        attributes = holder.attrs
        if "width" in attributes and "height" in attributes:
            return int(attributes["width"]), int(attributes["height"])
        geometry = attributes.get("geometry", "")
        text = geometry.decode() if isinstance(geometry, bytes) else str(geometry)
        width, _, height = text.partition("x")
        if width.isdecimal() and height.isdecimal():
            return int(width), int(height)
    resolution: Any = file.get(f"{group}/calib/resolution")
    if resolution is not None and resolution.shape == (2,):
        return int(resolution[0]), int(resolution[1])
    return None


def _decoded(path: Path, located: _Located, findings: Findings) -> Iterator[EventChunk]:
    import h5py

    decoder = FieldDecoder(findings)
    columns = located.columns or {}
    try:
        file = h5py.File(path, "r")
    except READ_ERRORS as error:
        raise RecordingError(f"{path}: expected an HDF5 file: {error}") from error
    with file:
        sets: dict[str, Any] = {field: file[name] for field, (name, _) in columns.items()}
        for name, data in {columns[field][0]: data for field, data in sets.items()}.items():
            _require_codec(path, name, data)
        lengths = {name: _present(path, data) for name, data in sets.items()}
        count = min(lengths.values())
        said = {name: int(data.shape[0]) for name, data in sets.items()}
        if len({*lengths.values(), *said.values()}) > 1:
            findings.warn(
                f"the fields say lengths of {said} and hold {lengths}; "
                f"the first {count} events were read"
            )
        for start in range(0, count, READ_EVENTS):
            stop = min(start + READ_EVENTS, count)
            try:
                fields = _fields(columns, sets, slice(start, stop))
            except READ_ERRORS as error:
                findings.warn(
                    f"events {start} to {stop - 1} cannot be read ({error}); "
                    f"the {start} events before them were read"
                )
                return
            chunk = decoder.decode(*(fields[field] for field in "txyp"))
            yield chunk._replace(t_us=chunk.t_us + located.offset_us)


def _fields(
    columns: dict[str, tuple[str, str | None]], sets: dict[str, Any], part: slice
) -> dict[str, NDArray[Any]]:
    fields: dict[str, NDArray[Any]] = {}
    read: dict[str, NDArray[Any]] = {}
    for field, (name, member) in columns.items():
        if name not in read:
            read[name] = np.asarray(sets[field][part])
        fields[field] = read[name] if member is None else read[name][member]
    return fields


def _present(path: Path, data: Any) -> int:
    """How many rows the file really holds: a damaged length would be read as endless zeros."""
    try:
        rows = int(data.shape[0])
        if data.chunks is not None:
            return min(rows, data.id.get_num_chunks() * int(data.chunks[0]))
        row_bytes = data.dtype.itemsize * math.prod(data.shape[1:])
        return min(rows, data.id.get_storage_size() // max(1, row_bytes))
    except READ_ERRORS as error:
        raise RecordingError(f"{path}: {data.name} is damaged: {error}") from error


def _require_codec(path: Path, name: str, data: Any) -> None:
    import h5py

    try:
        properties = data.id.get_create_plist()
        codes = [int(properties.get_filter(n)[0]) for n in range(properties.get_nfilters())]
    except READ_ERRORS as error:
        raise RecordingError(f"{path}: {name} is damaged: {error}") from error
    missing = [code for code in codes if not h5py.h5z.filter_avail(code)]
    if missing and ECF_FILTER not in missing:
        try:
            importlib.import_module("hdf5plugin")  # which registers its codecs
        except ImportError:
            raise RecordingError(
                f"{path}: {name} is packed with HDF5 codec {missing[0]}, which is not installed; "
                "pip install evlora[hdf5]"
            ) from None
        missing = [code for code in codes if not h5py.h5z.filter_avail(code)]
    if missing:
        whose = "Prophesee's ECF codec" if ECF_FILTER in missing else f"HDF5 codec {missing[0]}"
        raise RecordingError(
            f"{path}: {name} is packed with {whose}, which no Python package holds; "
            "convert the file to RAW or DAT with its maker's tools"
        )


def _frames(path: Path) -> FrameSequence | None:
    import h5py

    try:
        with h5py.File(path, "r") as opened:
            file: Any = opened
            data = file.get("frames")
            if not isinstance(data, h5py.Dataset):
                return None
            first = np.asarray(data[:1])
            as_rgb(first, where=str(path))
            times = [
                np.asarray(file[name][:], np.int64) if name in file else None
                for name in ("frame_start_us", "frame_end_us")
            ]
            count = _present(path, data)
    except READ_ERRORS as error:
        raise RecordingError(f"{path}: its frames cannot be read: {error}") from error
    height, width = first.shape[1:3]
    return FrameSequence(HdfFrames(path, count), width, height, times[0], times[1])
