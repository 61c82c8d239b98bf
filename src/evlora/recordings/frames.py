"""The frame sequence: pictures with the times at which they were exposed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evlora.errors import RecordingError
from evlora.recordings.depth import as_8_bits, bits_of
from evlora.recordings.pictures import Values, read_values

ImageArray = NDArray[np.uint8]
COLOUR_CHANNELS = (3, 4)


class FrameSource(Protocol):
    """Where the pixels of a sequence come from; they are read when asked for."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, uint8 RGB, shape (len(indices), H, W, 3)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class FrameSequence:
    """T frames of one size, each with its exposure interval where that is known.

    `sequence[3]` is a frame, uint8 RGB of shape (H, W, 3), `take` gives several; pixels are read
    when they are asked for. `start_us` and `end_us`, shape (T,), are in microseconds, or None.
    """

    source: FrameSource
    width: int
    height: int
    start_us: NDArray[np.int64] | None = None
    """Start of each exposure in microseconds, shape (T,); None where no times are known."""
    end_us: NDArray[np.int64] | None = None
    """End of each exposure in microseconds, shape (T,); None where no times are known."""

    def __post_init__(self) -> None:
        if (self.start_us is None) != (self.end_us is None):
            raise RecordingError("frames: expected both start and end times, or neither")
        if self.start_us is None or self.end_us is None:
            return
        if not len(self.source) == len(self.start_us) == len(self.end_us):
            raise RecordingError(
                f"frames: expected a start and an end for each of {len(self.source)} frames, "
                f"got {len(self.start_us)} and {len(self.end_us)}"
            )
        if (self.end_us < self.start_us).any() or (np.diff(self.end_us) < 0).any():
            raise RecordingError(
                "frames: expected intervals in the order of time, each end ≥ start"
            )

    @classmethod
    def from_images(
        cls,
        images: ArrayLike,
        *,
        start_us: ArrayLike | None = None,
        end_us: ArrayLike | None = None,
    ) -> "FrameSequence":
        """A sequence from pixels in memory.

        Args:
            images: uint8, shape (T, H, W, 3) RGB, or (T, H, W) or (T, H, W, 1) grey.
            start_us: Start of each exposure, shape (T,).
            end_us: End of each exposure, shape (T,); the start by default.

        Raises:
            RecordingError: Shape or type differ, or times do not fit.
        """
        pixels = np.asarray(images)
        _require_images(pixels, "frames")
        starts = None if start_us is None else np.asarray(start_us, np.int64)
        ends = starts if end_us is None else np.asarray(end_us, np.int64)
        if not len(pixels):
            raise RecordingError(f"frames: expected at least one, got shape {pixels.shape}")
        height, width = pixels.shape[1:3]
        return cls(MemoryFrames(pixels), width, height, starts, ends)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> ImageArray:
        """One frame, uint8 RGB, shape (H, W, 3)."""
        return self.take([index])[0]

    def take(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, uint8 RGB, shape (len(indices), H, W, 3)."""
        return self.source.read([int(index) for index in indices])

    @property
    def is_timed(self) -> bool:
        """Whether it is known when the frames were exposed."""
        return self.end_us is not None

    def spread_over(self, first_us: int, last_us: int) -> "FrameSequence":
        """The same frames, exposed in equal parts of the time from `first_us` to `last_us`."""
        edges = np.linspace(first_us, last_us, len(self) + 1).round().astype(np.int64)
        return replace(self, start_us=edges[:-1], end_us=edges[1:])


@dataclass(frozen=True, slots=True)
class MemoryFrames:
    """Frames that are in memory already, shape (T, H, W, 3), or (T, H, W) where they are grey."""

    images: ImageArray

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, shape (len(indices), H, W, 3)."""
        return as_rgb(self.images[list(indices)], where="frames")


@dataclass(frozen=True, slots=True)
class FileFrames:
    """Frames that lie in one picture file each."""

    paths: tuple[Path, ...]
    width: int
    height: int
    bits: int = 8
    """That a value uses in files of more than 8 bits."""

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, shape (len(indices), H, W, 3).

        Raises:
            RecordingError: A file is missing, damaged, or of another size than the first one.
        """
        images = np.empty((len(indices), self.height, self.width, 3), np.uint8)
        for row, index in enumerate(indices):
            path = self.paths[index]
            image = _as_frame(read_values(path), self.bits, where=str(path))
            images[row] = _of_size(image, self.width, self.height, where=str(path))
        return images


@dataclass(frozen=True, slots=True)
class StackFrames:
    """Frames that are the pages of one file."""

    path: Path
    pages: tuple[int, ...]
    width: int
    height: int
    bits: int = 8
    """That a value uses in a file of more than 8 bits."""

    def __len__(self) -> int:
        return len(self.pages)

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, shape (len(indices), H, W, 3).

        Raises:
            RecordingError: A page is damaged, or of another size than the first one.
        """
        images = np.empty((len(indices), self.height, self.width, 3), np.uint8)
        for row, index in enumerate(indices):
            page = self.pages[index]
            where = f"{self.path}: page {page}"
            image = _as_frame(read_values(self.path, page), self.bits, where=where)
            images[row] = _of_size(image, self.width, self.height, where=where)
        return images


def read_image(path: Path) -> ImageArray:
    """The pixels of a picture file as uint8 RGB, shape (H, W, 3).

    Raises:
        RecordingError: The file is missing or is no picture that can be read.
    """
    values = read_values(path)
    bits = values.bits or bits_of([values.pixels], where=str(path))
    return _as_frame(values, bits, where=str(path))


def _as_frame(values: Values, bits: int, *, where: str) -> ImageArray:
    """The pixels as uint8 RGB, shape (H, W, 3)."""
    return as_rgb(as_8_bits(values.pixels[None], values.bits or bits, where=where), where=where)[0]


def _of_size(image: ImageArray, width: int, height: int, *, where: str) -> ImageArray:
    if image.shape[:2] != (height, width):
        raise RecordingError(
            f"{where}: expected a frame of {width}×{height} as the first of its sequence, got "
            f"{image.shape[1]}×{image.shape[0]}; give it the size of the others, or leave it out"
        )
    return image


def as_rgb(images: NDArray[np.generic], *, where: str) -> ImageArray:
    """The images as uint8 RGB, shape (T, H, W, 3); grey is repeated into the three channels.

    Raises:
        RecordingError: The type is not uint8, or the shape is none of (T, H, W, 3), (T, H, W) and
            (T, H, W, 1).
    """
    _require_images(images, where)
    grey = images[..., None] if images.ndim == 3 else images
    rgb = np.repeat(grey, 3, axis=-1) if grey.shape[-1] == 1 else images
    return rgb.astype(np.uint8, copy=False)


def require_several(shape: Sequence[int], where: str) -> None:
    """Refuse one picture in the place of a sequence: its rows would be taken for grey frames.

    Raises:
        RecordingError: The shape is (H, W, 3) or (H, W, 4).
    """
    if len(shape) == 3 and shape[-1] in COLOUR_CHANNELS:
        raise RecordingError(
            f"{where}: expected frames of shape (T, H, W, 3) or (T, H, W), got "
            f"{tuple(shape)}, the shape of one picture; store it as frames[None]"
        )


def _require_images(images: NDArray[np.generic], where: str) -> None:
    if images.dtype != np.uint8:
        raise RecordingError(f"{where}: expected frames as uint8, got {images.dtype}")
    shape = images.shape
    is_shaped = images.ndim == 3 or (images.ndim == 4 and shape[-1] in (1, 3))
    if is_shaped and 0 not in shape[1:]:
        return
    cure = ""
    if images.ndim == 4 and shape[1] in (1, 3):
        cure = "; put the channels last: frames.transpose(0, 2, 3, 1)"
    elif images.ndim == 4 and shape[-1] == 4:
        cure = "; drop the fourth channel: frames[..., :3]"
    raise RecordingError(
        f"{where}: expected frames of shape (T, H, W, 3) or (T, H, W), got {shape}{cure}"
    )
