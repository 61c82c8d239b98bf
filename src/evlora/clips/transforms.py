"""What training changes at random in a clip, and images through the box of a geometry."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F  # noqa: N812 - torchvision's own name for it

from evlora.clips.augmentation import Augmentation
from evlora.clips.geometry import Geometry, canvas_for, place_evenly
from evlora.clips.sampling import MIDDLE, Choice
from evlora.clips.settings import Fit
from evlora.recordings import EventStream


def through_box(box: Geometry, images: Tensor, *, fill: list[float]) -> Tensor:
    """The images in the model's size.

    Args:
        box: What part of the field of view is shown, and how large.
        images: uint8, shape (T, 3, H, W), of any H and W.
        fill: Colour of what lies beyond the field of view or is erased, one number a channel.

    Returns:
        uint8, shape (T, 3, *box.size).
    """
    video: Tensor = tv_tensors.Video(images)
    video = F.resize(video, list(box.canvas), antialias=True)
    (height, width), (canvas_height, canvas_width) = box.size, box.canvas
    if box.is_padded:
        above, left = max(0, -box.top), max(0, -box.left)
        below = max(0, box.top + height - canvas_height)
        right = max(0, box.left + width - canvas_width)
        video = F.pad(video, [left, above, right, below], fill=fill)
    video = F.crop(video, max(0, box.top), max(0, box.left), height, width)
    if box.is_flipped:
        video = F.horizontal_flip(video)
    if box.erased is not None:
        colour = torch.tensor(fill).to(video.dtype).view(3, 1, 1)
        video = F.erase(video, *box.erased, v=colour)
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
        fit: See `place_evenly`.
        augmentation: What may be drawn.
        generator: Draws the box, for training; None takes it from the whole, as `choice` sets.
        choice: Which of several boxes; see `place_evenly`.
    """
    if generator is None:
        return place_evenly(height, width, size=size, fit=fit, choice=choice)
    zoom = 1 / generator.uniform(augmentation.crop, 1.0)
    zooms = zoom, zoom
    if augmentation.aspect > 1:
        # One side grows, neither shrinks: the canvas covers the box as before.
        widening = augmentation.aspect ** generator.uniform(-1, 1)
        zooms = zoom * max(1, 1 / widening), zoom * max(1, widening)
    canvas = canvas_for(height, width, size=size, fit=fit, zooms=zooms)
    room = canvas[0] - size[0], canvas[1] - size[1]
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
