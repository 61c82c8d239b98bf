"""Frames in HDF5 files: this library's `frames`, and those of MVSEC, v2e and event_utils."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.depth import as_8_bits, bits_of, places_looked_at
from evlora.recordings.frames import FrameSequence, ImageArray, as_rgb, require_several
from evlora.recordings.pictures import require_size
from evlora.recordings.readers.decoding import Findings
from evlora.recordings.readers.hdf5_attributes import attributes_of
from evlora.recordings.readers.hdf5_items import item_in, items_of
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

EVENT_UTILS = "images"
"""The group in which event_utils puts each frame as a data set, its time in s as an attribute."""


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


@dataclass(frozen=True, slots=True)
class HdfImages:
    """Frames that lie in a data set each, uint8 of shape (H, W), (H, W, 1) or (H, W, 3)."""

    path: Path
    names: tuple[str, ...]
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.names)

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, shape (len(indices), H, W, 3)."""
        import h5py

        images = np.zeros((len(indices), *self.shape), np.uint8)
        try:
            with h5py.File(self.path, "r") as file:
                for row, index in enumerate(indices):
                    data: Any = item_in(file, self.names[index])
                    _require_shape(self.path, data, self.shape)
                    pixels = np.asarray(data[:])
                    is_bgr = "bgr" in str(attributes_of(data).get("type", "")).lower()
                    images[row] = pixels[..., ::-1] if is_bgr and pixels.ndim == 3 else pixels
        except READ_ERRORS as error:
            raise RecordingError(f"{self.path}: a frame cannot be read: {error}") from error
        return as_rgb(images, where=f"{self.path}: {EVENT_UTILS}")


def names_of_frames(names: Collection[str], near: str) -> set[str]:
    """Of these data sets, those that hold the frames that `read_frames` reads, and their times."""
    for known in _nearest(near):
        if known.images in names:
            return {name for name in (known.images, known.starts, known.ends) if name}
    return {name for name in names if name.startswith(f"{EVENT_UTILS}/")}


def _nearest(group: str) -> Sequence[FrameSet]:
    """Where frames may be, those below a group in front."""
    below = f"{group.strip('/')}/"
    return sorted(FRAME_SETS, key=lambda known: not known.images.startswith(below))


def read_frames(path: Path, findings: Findings, near: str) -> FrameSequence | None:
    """The frames of the file; None where it holds none.

    Args:
        path: The file.
        findings: Where to note how they were read.
        near: The group that holds the events; of several cameras' frames, those of theirs.

    Raises:
        RecordingError: They have another type or shape, or cannot be read.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            for known in _nearest(near):
                data = item_in(file, known.images)
                if isinstance(data, h5py.Dataset) and (known is OWN or len(data.shape) == 3):
                    return _sequence(path, file, known, data, findings)
            group = item_in(file, EVENT_UTILS)
            if isinstance(group, h5py.Group):
                return _images(path, group)
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
    require_several(data.shape, where)
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


def _images(path: Path, group: Any) -> FrameSequence | None:
    """The frames that event_utils wrote, in the order of their times, else of their names."""
    import h5py

    found: list[tuple[float, str]] = []
    times_s: list[float] = []
    shape: Any = ()
    for name, data in sorted(items_of(group).items()):
        if not isinstance(data, h5py.Dataset) or data.dtype != np.uint8 or data.ndim not in (2, 3):
            continue
        shape = shape or tuple(map(int, data.shape))
        _require_shape(path, data, shape)
        time_s = attributes_of(data).get("timestamp")
        if time_s is not None and np.size(time_s) == 1:
            times_s.append(float(np.asarray(time_s).reshape(-1)[0]))
        found.append((times_s[-1] if times_s else 0.0, f"{EVENT_UTILS}/{name}"))
    if not found:
        return None
    times = None
    if len(times_s) == len(found) and np.isfinite(times_s).all():
        found.sort()
        times = np.rint(np.sort(times_s) * 1e6).astype(np.int64)
    source = HdfImages(path, tuple(name for _, name in found), shape)
    height, width = shape[:2]
    return FrameSequence(source, width, height, times, times)


def _require_shape(path: Path, data: Any, shape: tuple[int, ...]) -> None:
    require_size(f"{path}: {data.name}", shape[1], shape[0])
    if tuple(data.shape) != shape or data.dtype != np.uint8 or 0 in shape:
        raise RecordingError(
            f"{path}: {data.name}: expected a frame as uint8 of shape {shape} as the first one, "
            f"got {data.dtype} of {tuple(data.shape)}; give it the size of the others"
        )
