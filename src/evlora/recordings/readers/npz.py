"""numpy archives (`.npz`): one array per field, as HARDVS and this library write them.

`t x y p`, each of shape (N,), under any of the names in `fields.FIELD_NAMES`; whole times are µs,
times with fractions are seconds. `width` and `height` are optional numbers. `frames`, optional, is
uint8 of shape (T, H, W) or (T, H, W, 3) RGB, with `frame_start_us` and `frame_end_us`, shape (T,).
"""

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.frames import FrameSequence
from evlora.recordings.readers.decoding import EventFile, Findings, collect, sensor_size
from evlora.recordings.readers.fields import FieldDecoder, named_fields
from evlora.recordings.recording import Recording

FRAME_FIELDS = ("frames", "frame_start_us", "frame_end_us")
SIZE_FIELDS = ("width", "height")


def read(path: Path, *, width: int | None, height: int | None) -> Recording:
    """The events, the frames, or both, of an archive.

    Args:
        path: The file.
        width: Columns of the sensor, where the archive does not say.
        height: Rows of the sensor, likewise.

    Raises:
        RecordingError: It is no archive, is damaged, or lacks a field.
    """
    arrays = _arrays(path)
    findings = Findings(path)
    frames = _frames(path, arrays)
    event_names = [name for name in arrays if name not in (*FRAME_FIELDS, *SIZE_FIELDS)]
    if frames is not None and not event_names:
        return Recording(None, frames, "npz", path)
    names = named_fields(event_names, findings, where="arrays named")
    width, height = sensor_size(path, _declared(path, arrays), width=width, height=height)
    chunk = FieldDecoder(findings).decode(*(arrays[names[field]] for field in "txyp"))
    recording = collect(EventFile("npz", width, height, iter([chunk]), findings))
    return recording if frames is None else recording.with_frames(frames)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # Opened here, because numpy leaves a damaged archive open.
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            return {
                name.removesuffix(".npy"): np.lib.format.read_array(
                    archive.open(name), allow_pickle=False
                )
                for name in archive.namelist()
                if name.endswith(".npy")
            }
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


def _frames(path: Path, arrays: dict[str, NDArray[Any]]) -> FrameSequence | None:
    if "frames" not in arrays:
        return None
    times = [arrays.get(name) for name in FRAME_FIELDS[1:]]
    if any(time is not None and (time.dtype.kind not in "iu" or time.ndim != 1) for time in times):
        raise RecordingError(f"{path}: expected frame times as whole µs of shape (T,)")
    try:
        return FrameSequence.from_images(arrays["frames"], start_us=times[0], end_us=times[1])
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error


def _declared(path: Path, arrays: dict[str, NDArray[Any]]) -> tuple[int, int] | None:
    present = [name for name in SIZE_FIELDS if name in arrays]
    if not present:
        return None
    sizes = [arrays[name] for name in present]
    if len(sizes) < 2 or any(size.size != 1 or size.dtype.kind not in "iu" for size in sizes):
        raise RecordingError(f"{path}: expected width and height as one whole number each")
    return int(sizes[0].item()), int(sizes[1].item())
