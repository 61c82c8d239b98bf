"""The same geometry for both modalities, and what training changes at random.

Frames and event images of one recording may differ in size (N-MNIST: 28×28 and 34×34); both show
the same field of view. So both are resized to one canvas, with antialiasing, and the same box is
cut from it. The canvas is made so large that the box has the model's size: there is one resampling.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F  # noqa: N812 - torchvision's own name for it

from evlora.clips.augmentation import Augmentation, Fit
from evlora.clips.sampling import MIDDLE, Choice
from evlora.recordings import EventStream


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a field of view is brought to the size that the model takes."""

    canvas: tuple[int, int]
    """Height and width to which the whole field of view is resized."""
    top: int
    """First row of the box in the canvas; negative where the canvas is smaller and is padded."""
    left: int
    """First column of the box on the canvas."""
    size: tuple[int, int]
    """Height and width of the box: what the model takes."""
    is_flipped: bool = False
    erased: tuple[int, int, int, int] | None = None
    """First row, first column, height and width of what is emptied in the finished picture."""

    @property
    def is_padded(self) -> bool:
        """Whether the box reaches beyond the canvas."""
        return self.size[0] > self.canvas[0] or self.size[1] > self.canvas[1]

    def apply(self, images: Tensor, *, fill: list[float]) -> Tensor:
        """The images in the model's size.

        Args:
            images: uint8, shape (T, 3, H, W), of any H and W.
            fill: Colour of what lies beyond the field of view or is erased, one number a channel.

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
        if self.erased is not None:
            colour = torch.tensor(fill).to(video.dtype).view(3, 1, 1)
            video = F.erase(video, *self.erased, v=colour)
        return video.as_subclass(Tensor).contiguous()


def place(
    height: int,
    width: int,
    *,
    size: tuple[int, int],
    fit: Fit,
    augmentation: Augmentation,
    generator: np.random.Generator | None = None,
    choice: Choice = MIDDLE,
) -> Geometry:
    """The geometry for a field of view of this shape.

    Args:
        height: Rows of what was seen.
        width: Columns of what was seen.
        size: Height and width that the model takes.
        fit: `crop` cuts off what stands out at the longer side, `pad` fills up the shorter one,
            `stretch` changes the shape.
        augmentation: What may be drawn.
        generator: Draws the box, for training; None takes it from the whole, as `choice` sets.
        choice: Which of several boxes, evenly from the left to the right, or from the top to the
            bottom where that is the longer side; of one it is the centre.
    """
    ratios = size[0] / height, size[1] / width
    if fit == "crop":
        ratios = (max(ratios),) * 2
    elif fit == "pad":
        ratios = (min(ratios),) * 2
    zoom = 1.0 if generator is None else 1 / generator.uniform(augmentation.crop, 1.0)
    zooms = zoom, zoom
    if generator is not None and augmentation.aspect > 1:
        # One side grows, neither shrinks: the canvas covers the box as before.
        widening = augmentation.aspect ** generator.uniform(-1, 1)
        zooms = zoom * max(1, 1 / widening), zoom * max(1, widening)
    canvas = (round(height * ratios[0] * zooms[0]), round(width * ratios[1] * zooms[1]))
    canvas = (max(1, canvas[0]), max(1, canvas[1]))
    room = canvas[0] - size[0], canvas[1] - size[1]
    if generator is None:
        top, left = (
            r // 2 if choice.of == 1 else r * choice.number // (choice.of - 1) for r in room
        )
        return Geometry(canvas, top, left, size)
    top, left = (int(generator.integers(min(r, 0), max(r, 0) + 1)) for r in room)
    is_flipped = augmentation.flip and generator.random() < 0.5
    erased = _box_in(size, augmentation.erase, generator) if augmentation.erase else None
    return Geometry(canvas, top, left, size, is_flipped, erased)


def _box_in(
    size: tuple[int, int], largest_share: float, generator: np.random.Generator
) -> tuple[int, int, int, int]:
    share = generator.uniform(0, largest_share)
    height, width = (round(side * share**0.5) for side in size)
    top = int(generator.integers(size[0] - height + 1))
    left = int(generator.integers(size[1] - width + 1))
    return top, left, height, width


def expose(images: Tensor, exposure: float) -> Tensor:
    """Frames as a camera of eight bits would see them in less light.

    Args:
        images: uint8, any shape.
        exposure: Share of the light, in (0, 1]; 1 leaves the frames as they are.
    """
    return images if exposure == 1 else (images * exposure).round().to(torch.uint8)


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


def change_events(
    events: EventStream,
    augmentation: Augmentation,
    generator: np.random.Generator,
    *,
    start_us: int,
    end_us: int,
) -> EventStream:
    """The events of an interval, changed as the augmentation asks.

    Args:
        events: Any number of events.
        augmentation: What may be drawn.
        generator: Draws it.
        start_us: No event before it is needed.
        end_us: No event from it on is needed.
    """
    reach_us = augmentation.event_time_jitter_us
    if augmentation.event_drop or reach_us or augmentation.event_polarity_flip:
        events = events.between(start_us - reach_us, end_us + reach_us)
    if augmentation.event_drop:
        events = drop_events(events, augmentation.event_drop, generator)
    if reach_us:
        events = jitter_times(events, reach_us, generator)
    if augmentation.event_polarity_flip:
        events = flip_polarities(events, augmentation.event_polarity_flip, generator)
    return events


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


def jitter_times(events: EventStream, reach_us: int, generator: np.random.Generator) -> EventStream:
    """The events at times that are off by up to `reach_us`, each separately, in order again."""
    times = events.t_us + generator.integers(-reach_us, reach_us + 1, len(events))
    order = np.argsort(times, kind="stable")
    return EventStream(
        times[order],
        events.x[order],
        events.y[order],
        events.polarity[order],
        events.width,
        events.height,
    )


def flip_polarities(
    events: EventStream, largest_share: float, generator: np.random.Generator
) -> EventStream:
    """The events with a random share of polarities turned round, none to `largest_share`."""
    is_turned = generator.random(len(events)) < generator.uniform(0, largest_share)
    return replace(events, polarity=events.polarity ^ is_turned)


def to_tensor(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """Frames of shape (T, H, W, 3) as a tensor of shape (T, 3, H, W)."""
    writable = images if images.flags.writeable else images.copy()
    return torch.from_numpy(writable).permute(0, 3, 1, 2)
