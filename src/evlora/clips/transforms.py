"""The same geometry for both modalities, and what training changes at random.

Frames and event pictures of one recording may differ in size (N-MNIST: 28×28 and 34×34); both show
the same field of view. So both are resized to one canvas, with antialiasing, and the same box is
cut from it. The canvas is made so large that the box has the model's size: there is one resampling.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F  # noqa: N812 - torchvision's own name for it

from evlora.config import Config
from evlora.recordings import EventStream

Fit = Literal["crop", "pad", "stretch"]


class Augmentation(Config):
    """What training changes at random in a clip; every moment of it gets the same change."""

    crop: float = Field(default=0.85, gt=0, le=1)
    """Smallest share of the height and width that a random crop keeps; 1 leaves cropping out."""
    flip: bool = False
    """Whether half of the clips are mirrored; off, because classes may have a direction."""
    colour: float = Field(default=0.2, ge=0, le=1)
    """Largest relative change of brightness, contrast and saturation of the frames; 0 for none."""
    event_drop: float = Field(default=0.1, ge=0, lt=1)
    """Largest share of the events that is left out at random; 0 for none."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a field of view is brought to the size that the model takes."""

    canvas: tuple[int, int]
    """Height and width to which the whole field of view is resized."""
    top: int
    """First row of the box in the canvas; negative where the canvas is smaller and is padded."""
    left: int
    """First column of the box, likewise."""
    size: tuple[int, int]
    """Height and width of the box: what the model takes."""
    is_flipped: bool = False

    @property
    def is_padded(self) -> bool:
        """Whether the box reaches beyond the canvas."""
        return self.size[0] > self.canvas[0] or self.size[1] > self.canvas[1]

    def apply(self, images: Tensor, *, fill: list[float]) -> Tensor:
        """The images in the model's size.

        Args:
            images: uint8, shape (T, 3, H, W), of any H and W.
            fill: Colour of what lies beyond the field of view, one number a channel.

        Returns:
            uint8, shape (T, 3, *size).
        """
        video: Tensor = tv_tensors.Video(images)
        video = F.resize(video, list(self.canvas), antialias=True)
        (height, width), (canvas_height, canvas_width) = self.size, self.canvas
        if self.is_padded:
            above, left = max(0, -self.top), max(0, -self.left)
            below = max(0, self.top + height - canvas_height)
            right = max(0, self.left + width - canvas_width)
            video = F.pad(video, [left, above, right, below], fill=fill)
        video = F.crop(video, max(0, self.top), max(0, self.left), height, width)
        if self.is_flipped:
            video = F.horizontal_flip(video)
        return video.as_subclass(Tensor).contiguous()


def place(
    height: int,
    width: int,
    *,
    size: tuple[int, int],
    fit: Fit,
    augmentation: Augmentation,
    generator: np.random.Generator | None = None,
) -> Geometry:
    """The geometry for a field of view of this shape.

    Args:
        height: Rows of what was seen.
        width: Columns of what was seen.
        size: Height and width that the model takes.
        fit: `crop` cuts off what stands out at the longer side, `pad` fills up the shorter one,
            `stretch` changes the shape.
        augmentation: What may be drawn.
        generator: Draws the box, for training; None takes the centre of the whole.
    """
    ratios = size[0] / height, size[1] / width
    if fit == "crop":
        ratios = (max(ratios),) * 2
    elif fit == "pad":
        ratios = (min(ratios),) * 2
    zoom = 1.0 if generator is None else 1 / generator.uniform(augmentation.crop, 1.0)
    canvas = (round(height * ratios[0] * zoom), round(width * ratios[1] * zoom))
    canvas = (max(1, canvas[0]), max(1, canvas[1]))
    room = canvas[0] - size[0], canvas[1] - size[1]
    if generator is None:
        return Geometry(canvas, room[0] // 2, room[1] // 2, size)
    top, left = (int(generator.integers(min(r, 0), max(r, 0) + 1)) for r in room)
    return Geometry(canvas, top, left, size, augmentation.flip and generator.random() < 0.5)


def change_colours(images: Tensor, strength: float, generator: np.random.Generator) -> Tensor:
    """The images with another brightness, contrast and saturation, the same for all of them.

    Args:
        images: uint8, shape (T, 3, H, W).
        strength: Largest relative change of each.
        generator: Draws the three changes.
    """
    brightness, contrast, saturation = generator.uniform(1 - strength, 1 + strength, 3)
    video: Tensor = tv_tensors.Video(images)
    video = F.adjust_brightness(video, float(brightness))
    video = F.adjust_contrast(video, float(contrast))
    return F.adjust_saturation(video, float(saturation)).as_subclass(Tensor)


def drop_events(
    events: EventStream, largest_share: float, generator: np.random.Generator
) -> EventStream:
    """The events without a random share of them, between none and `largest_share`."""
    is_kept = generator.random(len(events)) >= generator.uniform(0, largest_share)
    return EventStream(
        events.t_us[is_kept],
        events.x[is_kept],
        events.y[is_kept],
        events.polarity[is_kept],
        events.width,
        events.height,
    )


def to_tensor(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """Frames of shape (T, H, W, 3) as a tensor of shape (T, 3, H, W)."""
    writable = images if images.flags.writeable else images.copy()
    return torch.from_numpy(writable).permute(0, 3, 1, 2)
