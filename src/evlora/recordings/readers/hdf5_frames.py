"""Frames in HDF5 files: this library's `frames`, and those of MVSEC and v2e beside their events."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.depth import as_8_bits, bits_of, places_looked_at
from evlora.recordings.frames import FrameSequence, ImageArray, as_rgb
from evlora.recordings.readers.decoding import Findings
from evlora.recordings.readers.hdf5_items import item_in
from evlora.recordings.readers.hdf5_layout import READ_ERRORS, present_rows


@dataclass(frozen=True, slots=True)
class FrameSet:
    """Where a tool puts frames and their times."""

    images: str
    starts: str | None
    ends: str | None
    us_per_tick: float


OWN = FrameSet("frames", "frame_start_us", "frame_end_us", 1)
FRAME_SETS = (
    OWN,
    FrameSet("frame", None, "frame_ts", 1),  # v2e
    FrameSet("davis/left/image_raw", None, "davis/left/image_raw_ts", 1e6),  # MVSEC
    FrameSet("davis/right/image_raw", None, "davis/right/image_raw_ts", 1e6),
)


@dataclass(frozen=True, slots=True)
class HdfFrames:
    """Frames that lie in a data set, uint8 or uint16 of shape (T, H, W) or (T, H, W, 3)."""

    path: Path
    name: str
    count: int
    bits: int
    """That the values use; 8 where they are bytes."""

    def __len__(self) -> int:
        return self.count

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, shape (len(indices), H, W, 3)."""
        import h5py

        try:
            with h5py.File(self.path, "r") as file:
                data: Any = item_in(file, self.name)
                images = [np.asarray(data[range(self.count)[index]]) for index in indices]
                stacked = np.stack(images) if images else np.zeros((0, *data.shape[1:]), data.dtype)
        except READ_ERRORS as error:
            raise RecordingError(f"{self.path}: a frame cannot be read: {error}") from error
        where = f"{self.path}: {self.name}"
        return as_rgb(as_8_bits(stacked, self.bits, where=where), where=where)


def read_frames(path: Path, findings: Findings) -> FrameSequence | None:
    """The frames of the file; None where it holds none.

    Raises:
        RecordingError: They have another type or shape, or cannot be read.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            for known in FRAME_SETS:
                data = item_in(file, known.images)
                if isinstance(data, h5py.Dataset) and (known is OWN or len(data.shape) == 3):
                    return _sequence(path, file, known, data, findings)
    except READ_ERRORS as error:
        raise RecordingError(f"{path}: its frames cannot be read: {error}") from error
    return None


def _sequence(
    path: Path, file: Any, known: FrameSet, data: Any, findings: Findings
) -> FrameSequence | None:
    count = present_rows(path, data, 0)
    if not count:
        return None
    where = f"{path}: {known.images}"
    bits = 8
    if data.dtype != np.uint8:
        looked_at = (np.asarray(data[index]) for index in places_looked_at(count))
        bits = bits_of(looked_at, where=where)
        findings.remark(f"frames of {data.dtype} were read as {bits} bits")
    as_rgb(as_8_bits(np.asarray(data[:1]), bits, where=where), where=where)
    ends = _times(file, known.ends, known.us_per_tick)
    starts = _times(file, known.starts, known.us_per_tick)
    if ends is not None and starts is None and known.starts is None:
        starts = ends
    height, width = int(data.shape[1]), int(data.shape[2])
    source = HdfFrames(path, known.images, count, bits)
    return FrameSequence(source, width, height, starts, ends)


def _times(file: Any, name: str | None, us_per_tick: float) -> NDArray[np.int64] | None:
    data = None if name is None else item_in(file, name)
    if data is None:
        return None
    times = np.asarray(data[:])
    return (
        times.astype(np.int64)
        if us_per_tick == 1
        else np.rint(times * us_per_tick).astype(np.int64)
    )
