"""Faults of frames: lost, blurred, over- and underexposed, and noisy ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evlora.recordings.frames import FrameSequence, FrameSource, ImageArray

Change = Callable[[ImageArray, int], ImageArray]
"""Takes a frame, shape (H, W, 3), and its number in the sequence."""


@dataclass(frozen=True, slots=True)
class ChangedFrames:
    """Another source's frames, each changed when it is read."""

    source: FrameSource
    change: Change

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, shape (len(indices), H, W, 3)."""
        images = self.source.read(indices)
        changed = [self.change(*pair) for pair in zip(images, indices, strict=True)]
        return np.stack(changed) if changed else images


def frames_lost(frames: FrameSequence, share: float, rng: np.random.Generator) -> FrameSequence:
    """Frames that are lost arrive black.

    Args:
        frames: Any number of frames.
        share: Of the frames that is lost, on average.
        rng: Draws which.
    """
    is_lost = rng.random(len(frames)) < share
    return _changed(frames, lambda image, number: image * np.uint8(not is_lost[number]))


def frames_blurred(frames: FrameSequence, share: float, rng: np.random.Generator) -> FrameSequence:
    """Frames out of focus: blurred by a Gaussian.

    Args:
        frames: Any number of frames.
        share: Standard deviation as a share of the shorter side.
        rng: Draws nothing.
    """
    del rng
    sigma_px = share * min(frames.width, frames.height)

    def blurred(image: ImageArray, number: int) -> ImageArray:
        from scipy.ndimage import gaussian_filter

        del number
        return np.asarray(gaussian_filter(image, (sigma_px, sigma_px, 0)), np.uint8)

    return _changed(frames, blurred)


def frames_exposed(frames: FrameSequence, factor: float, rng: np.random.Generator) -> FrameSequence:
    """Frames in another light: values times `factor`, rounded, and cut off at white.

    Args:
        frames: Any number of frames.
        factor: Above 1 overexposed, below 1 underexposed.
        rng: Draws nothing.
    """
    del rng
    values = np.minimum(np.arange(256) * factor, 255).round().astype(np.uint8)
    return _changed(frames, lambda image, number: values[image])


def frames_noisy(frames: FrameSequence, spread: float, rng: np.random.Generator) -> FrameSequence:
    """Frames with Gaussian noise on every value.

    Args:
        frames: Any number of frames.
        spread: Standard deviation as a share of white; ImageNet-C (Hendrycks and Dietterich, ICLR
            2019) has 0.08 to 0.38.
        rng: Draws the noise of each frame.
    """
    seed = int(rng.integers(2**63))

    def noisy(image: ImageArray, number: int) -> ImageArray:
        noise = np.random.default_rng([seed, number]).normal(0, 255 * spread, image.shape)
        return np.clip(image + noise, 0, 255).round().astype(np.uint8)

    return _changed(frames, noisy)


def _changed(frames: FrameSequence, change: Change) -> FrameSequence:
    return replace(frames, source=ChangedFrames(frames.source, change))
