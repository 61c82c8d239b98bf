"""What the frames and the events of moments become: the one way for clips, live and packing."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from evlora.clips.config import ClipConfig, Modality
from evlora.clips.geometry import Geometry
from evlora.clips.images import NO_FRAME, Inputs, MomentImages, without_events
from evlora.clips.operations import Operation, draw_operations, operated
from evlora.clips.sampling import Moments, Numbers
from evlora.clips.transforms import (
    change_colours,
    change_events,
    expose,
    through_box,
    to_tensor,
)
from evlora.recordings import EventStream, FrameSequence


class DrawnClip(NamedTuple):
    """The images of a clip, uint8, shape (T, 3, H, W) each; None for what is not named."""

    rgb: Tensor | None
    events: Tensor | None


def draw(
    inputs: Inputs,
    moments: Moments,
    boxes: Sequence[Geometry],
    config: ClipConfig,
    *,
    hidden: Modality | None,
    generator: np.random.Generator | None = None,
) -> list[DrawnClip]:
    """The images of these moments through each of the boxes.

    Args:
        inputs: Frames, events, or both.
        moments: T moments.
        boxes: What part of the field of view is shown, and how large.
        config: How images are drawn.
        hidden: A modality that is blank although it is there; the moments are those of the whole.
        generator: Draws what training changes; None changes nothing.
    """
    operations: list[Operation] = []
    if generator is not None:
        operations = draw_operations(config.augmentation, config.modalities, generator)
    frames = events = None
    if inputs.frames is not None and hidden != "rgb":
        frames = _changed_frames(inputs.frames, moments, config, generator)
    if inputs.events is not None and hidden != "event":
        events = _changed_events(inputs.events, moments, config, generator)
    count = len(moments.windows_us)
    background = list(without_events(config.representation))
    return [
        DrawnClip(
            _blank(config, "rgb", count)
            if frames is None
            else _through(box, *frames, operations, modality="rgb", background=NO_FRAME),
            _blank(config, "event", count)
            if events is None
            else _through(box, *events, operations, modality="event", background=background),
        )
        for box in boxes
    ]


def _changed_frames(
    frames: FrameSequence,
    moments: Moments,
    config: ClipConfig,
    generator: np.random.Generator | None,
) -> tuple[Tensor, Numbers]:
    """The distinct frames, shape (n, 3, H, W), and which of them each moment shows."""
    images = MomentImages(frames, moments, representation=config.representation)
    exposed = expose(_all_of(images), config.exposure)
    if generator is not None and config.augmentation.colour:
        exposed = change_colours(exposed, config.augmentation.colour, generator)
    return exposed, images.numbers


def _changed_events(
    events: EventStream | FrameSequence,
    moments: Moments,
    config: ClipConfig,
    generator: np.random.Generator | None,
) -> tuple[Tensor, Numbers]:
    """The distinct event images, shape (n, 3, H, W), and which of them each moment shows."""
    if generator is not None and isinstance(events, EventStream):
        events = change_events(
            events,
            config.augmentation,
            generator,
            start_us=int(moments.windows_us.min()),
            end_us=int(moments.windows_us.max()),
        )
    images = MomentImages(events, moments, representation=config.representation)
    return _all_of(images), images.numbers


def _all_of(images: MomentImages) -> Tensor:
    """All distinct images, uint8, shape (n, 3, H, W)."""
    (whole,) = images.batches()
    return to_tensor(whole)


def _through(
    box: Geometry,
    images: Tensor,
    numbers: Numbers,
    operations: Sequence[Operation],
    *,
    modality: Modality,
    background: list[float],
) -> Tensor:
    placed = through_box(box, images, fill=background)
    if operations:
        placed = operated(placed, operations, modality=modality, fill=background)
    is_each_once = len(placed) == len(numbers)
    return placed if is_each_once else placed[torch.from_numpy(numbers)]


def _blank(config: ClipConfig, modality: Modality, count: int) -> Tensor | None:
    """What a clip holds where a modality is hidden or missing, uint8, shape (count, 3, H, W).

    Black frames, or images without events; None for what the configuration does not name.
    """
    if modality not in config.modalities:
        return None
    colour = NO_FRAME if modality == "rgb" else list(without_events(config.representation))
    pixel = torch.tensor(colour).to(torch.uint8).reshape(1, 3, 1, 1)
    return pixel.repeat(count, 1, *config.size_px)
