"""Frames that a reader meets one by one among the events, gathered into a sequence."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.depth import as_8_bits, bits_of
from evlora.recordings.frames import FrameSequence, MemoryFrames
from evlora.recordings.readers.decoding import Findings

LATEST_END_US = 1 << 62


@dataclass(slots=True)
class CollectedFrames:
    """Frames of one shape, and a note on each that could not be used."""

    most: int | None = None
    """How many pictures are kept at most: of more, every second, every fourth and so on."""
    images: list[NDArray[Any]] = field(default_factory=list[NDArray[Any]])
    start_us: list[int] = field(default_factory=list[int])
    end_us: list[int] = field(default_factory=list[int])
    refused: list[str] = field(default_factory=list[str])
    """Where frames were that cannot be used, and why."""
    kept: list[int] = field(default_factory=list[int])
    """Which of the frames, counted from 0, the images are."""
    stride: int = 1
    """Each how many frames one is kept."""

    def add(self, pixels: NDArray[Any], start_us: int, end_us: int, *, where: str) -> None:
        """Take a frame, or note why not.

        Args:
            pixels: uint8 or uint16 of shape (H, W), (H, W, 3) RGB or (H, W, 4) RGBA.
            start_us: Start of its exposure.
            end_us: End of its exposure.
            where: Its place in the file, for the note.
        """
        try:
            image = self._checked(pixels)
        except RecordingError as error:
            self.refuse(where, str(error))
            return
        if not 0 <= start_us <= end_us < LATEST_END_US:
            self.refuse(where, f"expected an exposure, got {start_us} to {end_us} µs")
            return
        if len(self.end_us) % self.stride == 0:
            self.images.append(image)
            self.kept.append(len(self.end_us))
        if self.most is not None and len(self.images) > self.most:
            self.images, self.kept, self.stride = self.images[::2], self.kept[::2], 2 * self.stride
        self.start_us.append(start_us)
        self.end_us.append(end_us)

    def refuse(self, where: str, reason: str) -> None:
        """Note a frame that cannot be used."""
        self.refused.append(f"{where} ({reason})")

    def sequence(self, findings: Findings) -> FrameSequence | None:
        """The frames that were kept, in the order of time; None when there are none."""
        if self.refused:
            findings.warn(
                f"{len(self.refused)} frames were skipped, the first at {self.refused[0]}"
            )
        if not self.images:
            return None
        if (np.diff(self.end_us) < 0).any():
            findings.warn("frames are not in the order of time; they were put in order")
        ends = np.asarray(self.end_us, np.int64)[self.kept]
        starts = np.asarray(self.start_us, np.int64)[self.kept]
        order = np.argsort(ends, kind="stable")
        images = self._as_bytes(np.stack([self.images[index] for index in order]), findings)
        height, width = images.shape[1:3]
        return FrameSequence(MemoryFrames(images), width, height, starts[order], ends[order])

    @staticmethod
    def _as_bytes(images: NDArray[Any], findings: Findings) -> NDArray[np.uint8]:
        """The frames with 8 bits a value, of as many as all of them use."""
        where = f"{findings.path}: frames"
        bits = bits_of([images], where=where)
        if images.dtype != np.uint8:
            findings.remark(f"frames of {images.dtype} were read as {bits} bits")
        return as_8_bits(images, bits, where=where)

    def _checked(self, pixels: NDArray[Any]) -> NDArray[Any]:
        image = pixels[..., :3] if pixels.ndim == 3 and pixels.shape[-1] == 4 else pixels
        is_picture = image.ndim == 2 or (image.ndim == 3 and image.shape[-1] == 3)
        if image.dtype.str[1:] not in ("u1", "u2") or not is_picture or 0 in image.shape:
            raise RecordingError(f"expected a grey or RGB frame, got {image.shape}")
        first = self.images[0] if self.images else image
        if (image.shape, image.dtype) != (first.shape, first.dtype):
            raise RecordingError(
                f"expected a frame of {first.shape}, {first.dtype}, as the first, got "
                f"{image.shape}, {image.dtype}"
            )
        return image
