"""numpy archives (`.npz`): one array per field, as HARDVS and this library write them.

`t x y p`, each of shape (N,), under any of the names in `fields.FIELD_NAMES`, one structured array
with these members (N-ImageNet, evlab), or one plain array whose columns the caller names; whole
times are µs, times with fractions are seconds, unless `unit` or eventcv's `timestamp_scale_ms`
states theirs. `width`, `height` and `t_offset`, in µs, are optional numbers. `frames`, optional, is
uint8 or uint16 of shape (T, H, W) or (T, H, W, 3) RGB, with `frame_start_us` and `frame_end_us`,
shape (T,). Triggers, optional, are `trigger_t_us`, `trigger_channel` and `trigger_polarity`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.depth import as_8_bits, bits_of, places_looked_at
from evlora.recordings.frames import FrameSequence, ImageArray, as_rgb, require_several
from evlora.recordings.readers.decoding import EventFile, Findings, collect, sensor_size
from evlora.recordings.readers.fields import NOTHING_DECLARED, Declared
from evlora.recordings.readers.located_decoder import decoder_for
from evlora.recordings.readers.locating import Located, located, not_found
from evlora.recordings.readers.npz_members import (
    Member,
    frames_in,
    members,
    opened_archive,
    pieces,
    values,
)
from evlora.recordings.readers.passed_over import FEW_VALUES, note_passed_over
from evlora.recordings.readers.stated_size import stated_size
from evlora.recordings.recording import Recording

FRAME_FIELDS = ("frames", "frame_start_us", "frame_end_us")
TRIGGER_FIELDS = ("trigger_t_us", "trigger_channel", "trigger_polarity")
EVENTCV_SCALE = "timestamp_scale_ms"
UNIT_OF_SCALE = {1000.0: "s", 1.0: "ms", 0.001: "us", 0.000001: "ns"}
"""Milliseconds in one step of eventcv's times → unit."""


def read(
    path: Path,
    *,
    width: int | None,
    height: int | None,
    declared: Declared = NOTHING_DECLARED,
) -> Recording:
    """The events, the frames, or both, of an archive.

    Args:
        path: The file.
        width: Columns of the sensor, where the archive does not state it.
        height: Rows of the sensor.
        declared: What the caller states of its columns and times.

    Raises:
        RecordingError: It is no archive, is damaged, or lacks a field.
    """
    findings = Findings(path)
    with opened_archive(path) as archive:
        held = members(archive, findings)
        arrays = {name: values(archive, member) for name, member in held.items()}
    frames = _frames(path, arrays, findings)
    _keep_triggers(arrays, findings)
    file = _event_file(arrays, arrays, declared, findings, _at_once, width=width, height=height)
    if file is None and frames is not None and declared.columns is None:
        return Recording(
            None, frames, "npz", path, tuple(findings.warnings), tuple(findings.remarks)
        )
    if file is None:
        raise _nothing_found(arrays, declared, findings)
    recording = collect(file)
    return recording if frames is None else recording.with_frames(frames)


def open_events(
    path: Path,
    *,
    width: int | None,
    height: int | None,
    declared: Declared = NOTHING_DECLARED,
) -> EventFile:
    """The events of the archive, opened, to be read in pieces; see `read`.

    Raises:
        RecordingError: It is no archive, is damaged, or lacks a field.
    """
    findings = Findings(path)
    with opened_archive(path) as archive:
        arrays = members(archive, findings)
        stated = {
            name: values(archive, member)
            for name, member in arrays.items()
            if member.size <= FEW_VALUES or name in (*FRAME_FIELDS[1:], *TRIGGER_FIELDS)
        }
    _keep_triggers(stated, findings)
    file = _event_file(
        arrays, stated, declared, findings, _piece_by_piece, width=width, height=height
    )
    if file is None and "frames" in arrays and declared.columns is None:
        raise RecordingError(f"{path}: expected events, the npz file holds only frames")
    if file is None:
        raise _nothing_found(arrays, declared, findings)
    return replace(file, frames=partial(_frames_read_later, path, arrays, stated, findings))


Arrays = Mapping[str, NDArray[Any]] | Mapping[str, Member]
Pieces = Callable[[Any, Located, Findings], Iterable[Mapping[str, NDArray[Any]]]]


def _event_file(
    arrays: Arrays,
    stated: Mapping[str, NDArray[Any]],
    declared: Declared,
    findings: Findings,
    pieces: Pieces,
    *,
    width: int | None,
    height: int | None,
) -> EventFile | None:
    """The events among these arrays; None where nothing holds all four fields.

    Args:
        arrays: What the file holds, or the headers of that.
        stated: Those that state a size, a unit or an offset.
        declared: What the caller states of its columns and times.
        findings: Where to note what was found out.
        pieces: The fields of the events, from the arrays and where they lie among them.
        width: Columns of the sensor, where the archive does not state it.
        height: Rows of the sensor.
    """
    path = findings.path
    pictures = [name for name, array in arrays.items() if array.ndim in (3, 4)]
    for name in pictures:
        if name != "frames":
            findings.remark(
                f"{name} of shape {arrays[name].shape} was not read: frames are called frames"
            )
    of_events = _of_events(arrays)
    scale = stated.get(EVENTCV_SCALE)
    if scale is not None and declared.unit is None:
        declared = replace(declared, unit=_unit_of(scale, path))
    where = located(of_events, declared, where=str(path))
    note_passed_over(of_events, where, pictures, findings)
    if where is None:
        return None
    size = stated_size(stated, where=str(path))
    width, height = sensor_size(path, size, width=width, height=height, may_be_swapped=True)
    decoder = decoder_for(where, findings, [stated])
    return EventFile(
        "npz", width, height, decoder.decoded(pieces(arrays, where, findings)), findings
    )


def _of_events(arrays: Arrays) -> dict[str, Any]:
    beside = (*FRAME_FIELDS, *TRIGGER_FIELDS, EVENTCV_SCALE)
    return {name: array for name, array in arrays.items() if name not in beside}


def _nothing_found(arrays: Arrays, declared: Declared, findings: Findings) -> RecordingError:
    said = not_found(
        _of_events(arrays),
        declared.columns,
        where=str(findings.path),
        what="arrays or members named",
    )
    return RecordingError(said + "".join(f"; {remark}" for remark in findings.remarks))


def _at_once(
    arrays: Mapping[str, NDArray[Any]], where: Located, findings: Findings
) -> Iterator[Mapping[str, NDArray[Any]]]:
    del findings
    yield where.fields(arrays)


def _piece_by_piece(
    arrays: Mapping[str, Member], where: Located, findings: Findings
) -> Iterator[Mapping[str, NDArray[Any]]]:
    axes = {place.array: place.axis for place in where.places.values()}
    count = max(1, where.places["t"].length(arrays[where.places["t"].array]))
    read = 0
    with opened_archive(findings.path) as archive:
        for piece in pieces(archive, axes, arrays):
            fields = where.fields(piece)
            yield fields
            read += len(fields["t"])
            if findings.ends_at(read / count):
                return


@dataclass(frozen=True, slots=True)
class NpzFrames:
    """Frames that lie in an archive, uint8 or uint16 of shape (T, H, W) or (T, H, W, 3)."""

    path: Path
    member: Member
    bits: int
    """That the values use; 8 where they are bytes."""

    def __len__(self) -> int:
        return self.member.shape[0]

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, shape (len(indices), H, W, 3); all before are unpacked."""
        numbers = [range(len(self))[index] for index in indices]
        with opened_archive(self.path) as archive:
            found = frames_in(archive, self.member, numbers)
        where = f"{self.path}: frames"
        return as_rgb(
            as_8_bits(np.stack([found[n] for n in numbers]), self.bits, where=where), where=where
        )


def _frames_read_later(
    path: Path,
    arrays: Mapping[str, Member],
    stated: Mapping[str, NDArray[Any]],
    findings: Findings,
) -> FrameSequence | None:
    """The frames of the archive, unpacked when they are asked for; None where it holds none."""
    member = arrays.get("frames")
    if member is None or not member.size:
        return None
    where = f"{path}: frames"
    require_several(member.shape, where)
    bits = 8
    if member.dtype != np.uint8:
        with opened_archive(path) as archive:
            looked_at = frames_in(archive, member, list(places_looked_at(member.shape[0])))
        bits = bits_of(looked_at.values(), where=where)
        findings.remark(f"frames of {member.dtype} were read as {bits} bits")
    source = NpzFrames(path, member, bits)
    height, width = source.read([0]).shape[1:3]
    return FrameSequence(source, width, height, *_frame_times(path, stated))


def _frame_times(
    path: Path, arrays: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    start_us, end_us = (arrays.get(name) for name in FRAME_FIELDS[1:])
    for time in (start_us, end_us):
        if time is not None and (time.dtype.kind not in "iu" or time.ndim != 1):
            raise RecordingError(f"{path}: expected frame times as whole µs of shape (T,)")
    return start_us, end_us


def _keep_triggers(arrays: Mapping[str, NDArray[Any]], findings: Findings) -> None:
    """Keep the triggers of an archive, if it has any."""
    fields = [arrays[name] for name in TRIGGER_FIELDS if name in arrays]
    if len(fields) < len(TRIGGER_FIELDS):
        return
    if len({field.shape for field in fields}) > 1 or any(
        field.ndim != 1 or field.dtype.kind not in "iu" for field in fields
    ):
        raise RecordingError(
            f"{findings.path}: expected {', '.join(TRIGGER_FIELDS)} as whole numbers of one shape "
            f"(N,), got {', '.join(f'{field.dtype} {field.shape}' for field in fields)}"
        )
    t_us, channel, polarity = (field.astype(np.int64) for field in fields)
    findings.add_triggers(t_us, channel, np.sign(polarity))


def _unit_of(scale: NDArray[Any], path: Path) -> str:
    """The unit that eventcv states."""
    is_number = scale.size == 1 and scale.dtype.kind in "iuf"
    unit = UNIT_OF_SCALE.get(float(scale.flat[0])) if is_number else None
    if unit is None:
        raise RecordingError(
            f"{path}: expected {EVENTCV_SCALE} as one of {list(UNIT_OF_SCALE)}, got {scale}; name "
            "the unit with unit= or --unit"
        )
    return unit


def _frames(
    path: Path, arrays: dict[str, NDArray[Any]], findings: Findings
) -> FrameSequence | None:
    if "frames" not in arrays:
        return None
    start_us, end_us = _frame_times(path, arrays)
    frames, where = arrays["frames"], f"{path}: frames"
    require_several(frames.shape, where)
    bits = bits_of([frames], where=where)
    if frames.dtype != np.uint8:
        findings.remark(f"frames of {frames.dtype} were read as {bits} bits")
    try:
        return FrameSequence.from_images(
            as_8_bits(frames, bits, where=where), start_us=start_us, end_us=end_us
        )
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error
