"""numpy archives (`.npz`): one array per field, as HARDVS and this library write them.

`t x y p`, each of shape (N,), under any of the names in `fields.FIELD_NAMES`, one structured array
with these members (N-ImageNet, evlab), or one plain array whose columns the caller names; whole
times are µs, times with fractions are seconds, unless `unit` or eventcv's `timestamp_scale_ms`
states theirs. `width`, `height` and `t_offset`, in µs, are optional numbers. `frames`, optional, is
uint8 or uint16 of shape (T, H, W) or (T, H, W, 3) RGB, with `frame_start_us` and `frame_end_us`,
shape (T,). Triggers, optional, are `trigger_t_us`, `trigger_channel` and `trigger_polarity`.
"""

import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.companions import is_companion
from evlora.errors import RecordingError
from evlora.limits import limits, raising
from evlora.recordings.depth import as_8_bits, bits_of
from evlora.recordings.frames import FrameSequence, require_several
from evlora.recordings.readers.decoding import EventFile, Findings, collect, sensor_size
from evlora.recordings.readers.fields import NOTHING_DECLARED, Declared
from evlora.recordings.readers.located_decoder import decoder_for
from evlora.recordings.readers.locating import located, not_found
from evlora.recordings.readers.npy import HEADER_READERS
from evlora.recordings.readers.passed_over import note_passed_over
from evlora.recordings.readers.stated_size import stated_size
from evlora.recordings.recording import Recording

FRAME_FIELDS = ("frames", "frame_start_us", "frame_end_us")
TRIGGER_FIELDS = ("trigger_t_us", "trigger_channel", "trigger_polarity")
EVENTCV_SCALE = "timestamp_scale_ms"
UNIT_OF_SCALE = {1000.0: "s", 1.0: "ms", 0.001: "us", 0.000001: "ns"}
"""Milliseconds in one step of eventcv's times → unit."""
BYTES_AT_A_TIME = 2**20


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
    arrays = _arrays(path, findings)
    frames = _frames(path, arrays, findings)
    pictures = [name for name, array in arrays.items() if array.ndim in (3, 4)]
    for name in pictures:
        if name != "frames":
            findings.remark(
                f"{name} of shape {arrays[name].shape} was not read: frames are called frames"
            )
    _keep_triggers(arrays, findings)
    beside = (*FRAME_FIELDS, *TRIGGER_FIELDS)
    of_events = {name: array for name, array in arrays.items() if name not in beside}
    scale = of_events.pop(EVENTCV_SCALE, None)
    if scale is not None and declared.unit is None:
        declared = replace(declared, unit=_unit_of(scale, path))
    where = located(of_events, declared, where=str(path))
    note_passed_over(of_events, where, pictures, findings)
    if where is None and frames is not None and declared.columns is None:
        return Recording(
            None, frames, "npz", path, tuple(findings.warnings), tuple(findings.remarks)
        )
    if where is None:
        raise RecordingError(
            not_found(of_events, declared.columns, where=str(path), what="arrays or members named")
            + "".join(f"; {remark}" for remark in findings.remarks)
        )
    size = stated_size(arrays, where=str(path))
    width, height = sensor_size(path, size, width=width, height=height, may_be_swapped=True)
    decoder = decoder_for(where, findings, [arrays])
    chunks = decoder.decoded([where.fields(arrays)])
    recording = collect(EventFile("npz", width, height, chunks, findings))
    return recording if frames is None else recording.with_frames(frames)


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


def _array(archive: zipfile.ZipFile, name: str, findings: Findings) -> NDArray[Any] | None:
    """An array; None where it holds Python's objects, not opened since they could run any code.

    The header, a text of Python, is parsed once: small recordings take as long as their headers.
    """
    with archive.open(name) as stream:
        read_header = HEADER_READERS.get(np.lib.format.read_magic(stream))
        if read_header is not None:
            shape, is_fortran, dtype = read_header(stream)
            if dtype.hasobject:
                findings.remark(
                    f"{name.removesuffix('.npy')} holds Python's objects and was skipped"
                )
                return None
            _require_held(archive.getinfo(name), math.prod(shape) * dtype.itemsize)
            values = bytearray()
            while part := stream.read(BYTES_AT_A_TIME):
                values += part
            return np.ndarray(shape, dtype, buffer=values, order="F" if is_fortran else "C")
    with archive.open(name) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _require_held(member: zipfile.ZipInfo, stated_bytes: int) -> None:
    """Refuse an array whose header asks for more memory than there are values."""
    if stated_bytes > member.file_size:
        raise zipfile.BadZipFile(
            f"{member.filename} states {stated_bytes} bytes of values and has {member.file_size}"
        )


def _require_bounded(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive that would grow to far more than its size when it is unpacked.

    zipfile unpacks no more of a member than the archive states.
    """
    members = archive.infolist()
    if len(members) > limits().archive_members:
        raise RecordingError(
            f"{path}: expected at most {limits().archive_members} arrays, got {len(members)}; "
            f"{raising('archive_members')}"
        )
    most = limits().unpacked(path.stat().st_size)
    unpacked = sum(member.file_size for member in members)
    if unpacked > most:
        raise RecordingError(
            f"{path}: expected at most {most} bytes once unpacked, got {unpacked}; it was made to "
            f"fill the memory, or holds little but zeros: {raising('unpacked_bytes')}"
        )


def _arrays(path: Path, findings: Findings) -> dict[str, NDArray[Any]]:
    try:
        # Opened here, because numpy leaves a damaged archive open.
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            _require_bounded(path, archive)
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            found = {
                name.removesuffix(".npy"): _array(archive, name, findings)
                for name in names
                if not is_companion(name)
            }
            return {name: array for name, array in found.items() if array is not None}
    except (
        OSError,
        EOFError,
        KeyError,
        MemoryError,
        NotImplementedError,
        OverflowError,
        RuntimeError,
        SyntaxError,
        TypeError,
        ValueError,
        tokenize.TokenError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise RecordingError(
            f"{path}: expected a whole npz archive, could not read it: {error}; its index lies at "
            "its end, so a cut archive cannot be read in part"
        ) from error


def _frames(
    path: Path, arrays: dict[str, NDArray[Any]], findings: Findings
) -> FrameSequence | None:
    if "frames" not in arrays:
        return None
    times = [arrays.get(name) for name in FRAME_FIELDS[1:]]
    if any(time is not None and (time.dtype.kind not in "iu" or time.ndim != 1) for time in times):
        raise RecordingError(f"{path}: expected frame times as whole µs of shape (T,)")
    frames, where = arrays["frames"], f"{path}: frames"
    require_several(frames.shape, where)
    bits = bits_of([frames], where=where)
    if frames.dtype != np.uint8:
        findings.remark(f"frames of {frames.dtype} were read as {bits} bits")
    try:
        return FrameSequence.from_images(
            as_8_bits(frames, bits, where=where), start_us=times[0], end_us=times[1]
        )
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error
