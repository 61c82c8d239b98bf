"""HDF5 (`.h5`, `.hdf5`): t, x, y and p as one data set each, as members, or as plain columns.

They lie in the root, in `events` (DSEC, Gehrig et al. 2021; this library's own files) or in one
group further down (M3ED, Chaney et al. 2023; MVSEC, Zhu et al. 2018); `hdf5_layout` finds them.
DSEC's `t_offset` is added to the times. Frames, optional, lie in `frames` as in `npz`.
"""

import importlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.messages import listed
from evlora.recordings.readers import ecf
from evlora.recordings.readers.decoding import (
    CHUNK_EVENTS,
    EventChunk,
    EventFile,
    Findings,
    collect,
    sensor_size,
)
from evlora.recordings.readers.field_decoder import FieldDecoder
from evlora.recordings.readers.fields import NOTHING_DECLARED, Declared
from evlora.recordings.readers.hdf5_frames import names_of_frames, read_frames
from evlora.recordings.readers.hdf5_items import item_in
from evlora.recordings.readers.hdf5_layout import (
    READ_ERRORS,
    EventSets,
    find_events,
    nothing_found,
    present_rows,
)
from evlora.recordings.readers.locating import cure_for, note_columns
from evlora.recordings.readers.passed_over import NAMES_SHOWN, note_names
from evlora.recordings.readers.prophesee_hdf5 import (
    OWN_TRIGGERS,
    TRIGGERS,
    EcfEvents,
    keep_triggers,
)
from evlora.recordings.recording import Recording

TRIGGERS_AND_INDICES = (
    *(*OWN_TRIGGERS, TRIGGERS, "EXT_TRIGGER/indexes", "CD/indexes"),
    *("ms_to_idx", "frame_idx", "davis/left/image_raw_event_inds"),
)
"""What is read as triggers, or only leads into what is read."""
READ_EVENTS = 4 * CHUNK_EVENTS
"""Larger than elsewhere: a read may have to unpack whole chunks of the file."""


def read(
    path: Path,
    *,
    width: int | None,
    height: int | None,
    declared: Declared = NOTHING_DECLARED,
    format: str = "hdf5",
) -> Recording:
    """The events, the frames, or both, of the file.

    Args:
        path: The file.
        width: Columns of the sensor, where the file does not state it.
        height: Rows of the sensor.
        declared: What the caller states of its columns and times.
        format: What to call the format.

    Raises:
        RecordingError: No HDF5 file, damaged in its structure, or without events and frames.
    """
    findings = Findings(path)
    sets = find_events(path, declared)
    frames = read_frames(path, findings, "/" if sets is None else sets.home)
    if sets is None and frames is not None and declared.columns is None:
        return Recording(None, frames, format, path, (), tuple(findings.remarks))
    if sets is None:
        raise nothing_found(path, declared)
    recording = collect(_opened(path, sets, findings, format, width=width, height=height))
    return recording if frames is None else recording.with_frames(frames)


def open_events(
    path: Path,
    *,
    width: int | None,
    height: int | None,
    declared: Declared = NOTHING_DECLARED,
    format: str = "hdf5",
) -> EventFile:
    """The events of the file, opened; see `read`.

    Raises:
        RecordingError: No HDF5 file, damaged in its structure, or without events.
    """
    sets = find_events(path, declared)
    if sets is None:
        raise nothing_found(path, declared)
    return _opened(path, sets, Findings(path), format, width=width, height=height)


def _opened(
    path: Path,
    sets: EventSets,
    findings: Findings,
    format: str,
    *,
    width: int | None,
    height: int | None,
) -> EventFile:
    hint = "DSEC's cameras are 640×480" if sets.is_dsec else ""
    width, height = sensor_size(
        path, sets.size, width=width, height=height, hint=hint, may_be_swapped=True
    )
    note_columns(sets.located, findings)
    if sets.others:
        others = listed(sets.others, at_most=NAMES_SHOWN)
        findings.warn(f"events in {others} too; {sets.group} was read; {cure_for(sets.another)}")
    taken = {*names_of_frames(sets.beside, sets.home), *TRIGGERS_AND_INDICES}
    note_names((said for name, said in sets.beside.items() if name not in taken), findings)
    if sets.offset_us:
        findings.remark(f"t_offset of {sets.offset_us} µs was added to the times")
    chunks = _decoded(path, sets, findings)
    most = _most_events(path, sets)
    frames = partial(read_frames, path, findings, sets.home)
    return EventFile(format, width, height, chunks, findings, most_events=most, frames=frames)


def _most_events(path: Path, sets: EventSets) -> int:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return min(_lengths(path, sets, file).values())
    except READ_ERRORS as error:
        raise RecordingError(
            f"{path}: expected an HDF5 file, could not read it: {error}"
        ) from error


def _lengths(path: Path, sets: EventSets, file: Any) -> dict[str, int]:
    """Data set → events that it really holds."""
    axes = {place.array: place.axis for place in sets.located.places.values()}
    return {
        name: present_rows(path, item_in(file, sets.path_of(name)), axis)
        for name, axis in axes.items()
    }


def _decoded(path: Path, sets: EventSets, findings: Findings) -> Iterator[EventChunk]:
    import h5py

    where = sets.located
    decoder = FieldDecoder(
        findings, unit=where.unit, unit_by=where.unit_by, offset_us=sets.offset_us
    )
    try:
        file = h5py.File(path, "r")
    except READ_ERRORS as error:
        raise RecordingError(f"{path}: expected an HDF5 file: {error}") from error
    with file:
        data: dict[str, Any] = {name: item_in(file, sets.path_of(name)) for name in where.arrays}
        for name, item in data.items():
            data[name] = _readable(path, sets.path_of(name), item)
        keep_triggers(file, findings)
        lengths = _lengths(path, sets, file)
        count = min(lengths.values())
        said = {place.array: place.length(data[place.array]) for place in where.places.values()}
        if len({*lengths.values(), *said.values()}) > 1:
            findings.warn(
                f"the fields state lengths of {said} and hold {lengths}; "
                f"the first {count} events were read"
            )
        for start in range(0, count, READ_EVENTS):
            stop = min(start + READ_EVENTS, count)
            try:
                fields = _fields(sets, data, start, stop)
            except READ_ERRORS as error:
                findings.warn(
                    f"events {start} to {stop - 1} cannot be read ({error}); "
                    f"the {start} events before them were read"
                )
                break
            yield decoder.decode(fields)
            if findings.ends_at(stop / count):
                break
    decoder.report()


def _fields(
    sets: EventSets, data: dict[str, Any], start: int, stop: int
) -> dict[str, NDArray[Any]]:
    places = {place.array: place for place in sets.located.places.values()}
    read = {name: np.asarray(data[name][place.part(start, stop)]) for name, place in places.items()}
    return sets.located.fields(read)


def _readable(path: Path, name: str, data: Any) -> Any:
    """The data set, or what unpacks it where HDF5 itself cannot.

    Raises:
        RecordingError: It is packed by a codec that is not installed.
    """
    import h5py

    try:
        properties = data.id.get_create_plist()
        codes = [int(properties.get_filter(n)[0]) for n in range(properties.get_nfilters())]
    except READ_ERRORS as error:
        raise RecordingError(f"{path}: {name} is damaged: {error}") from error
    missing = [code for code in codes if not h5py.h5z.filter_avail(code)]
    if codes == [ecf.FILTER] and missing and data.ndim == 1:
        return EcfEvents(data)
    if missing:
        try:
            importlib.import_module("hdf5plugin")  # which registers its codecs
        except ImportError:
            raise RecordingError(
                f"{path}: {name} is packed with HDF5 codec {missing[0]}, which is not installed; "
                "pip install evlora[hdf5]"
            ) from None
        missing = [code for code in codes if not h5py.h5z.filter_avail(code)]
    if missing:
        raise RecordingError(
            f"{path}: {name} is packed with HDF5 codec {missing[0]}, which neither HDF5 nor "
            "hdf5plugin has"
        )
    return data
