"""The clip: what a model eats of one recording, and how several make a batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import PositiveInt, field_validator, model_validator
from torch import Tensor

from evlora.clips.sampling import Moments, Window, choose_moments
from evlora.clips.transforms import (
    Augmentation,
    Fit,
    Geometry,
    change_colours,
    drop_events,
    place,
    to_tensor,
)
from evlora.config import Config
from evlora.errors import DatasetError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.representations import REPRESENTATIONS, as_rgb_images

Modality = Literal["rgb", "event"]


class ClipConfig(Config):
    """How a recording becomes a clip."""

    frames: PositiveInt = 8
    """Moments in a clip, T: so many frames and so many event pictures."""
    size: PositiveInt | tuple[PositiveInt, PositiveInt] = 224
    """Pixels that the model takes: one number for a square, or height and width."""
    modalities: tuple[Modality, ...] = ("rgb", "event")
    """What a clip holds: rgb, event, or both."""
    representation: str = "event_image"
    """How the events of a moment become a picture; the names are those of the representations."""
    window: Window = "frame"
    """Events of a moment that is a frame: since the frame before it (frame), while it was exposed
    (exposure), or since the moment before it (segment)."""
    fit: Fit = "crop"
    """What happens to a field of view of another shape: crop, pad, or stretch."""
    jitter: bool = True
    """Whether training draws each moment at random inside its segment."""
    augmentation: Augmentation = Augmentation()
    """What training changes at random."""

    @field_validator("representation")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in REPRESENTATIONS:
            raise ValueError(
                f"no representation is called {name!r}; there are: {', '.join(REPRESENTATIONS)}"
            )
        return name

    @model_validator(mode="after")
    def _has_modalities(self) -> Self:
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ValueError(
                f"expected modalities to name rgb, event, or both once, got {self.modalities}"
            )
        return self

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of a clip."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """T moments of one recording; a modality that was not asked for is None."""

    rgb: Tensor | None
    """Frames, uint8, shape (T, 3, H, W)."""
    events: Tensor | None
    """Pictures of the events, uint8, shape (T, 3, H, W)."""
    label: int | None
    """Number of the class, where it is known."""
    sample: str
    """Which sample of the dataset it is."""


class Batch(NamedTuple):
    """B clips; a modality that was not asked for is None."""

    rgb: Tensor | None
    """Frames, uint8, shape (B, T, 3, H, W)."""
    events: Tensor | None
    """Pictures of the events, uint8, shape (B, T, 3, H, W)."""
    labels: Tensor | None
    """Numbers of the classes, int64, shape (B,); None where any is unknown."""
    samples: list[str]
    """Which samples of the dataset they are."""


def collate(clips: Sequence[Clip]) -> Batch:
    """The batch of these clips.

    Raises:
        DatasetError: There is none, or they differ in modalities or shape.
    """
    if not clips:
        raise DatasetError("batch: expected at least one clip, got none")
    labels = [clip.label for clip in clips if clip.label is not None]
    return Batch(
        _stack([clip.rgb for clip in clips], clips, "rgb"),
        _stack([clip.events for clip in clips], clips, "events"),
        torch.tensor(labels, dtype=torch.int64) if len(labels) == len(clips) else None,
        [clip.sample for clip in clips],
    )


def make_clip(
    recording: Recording,
    config: ClipConfig,
    *,
    sample: str = "",
    label: int | None = None,
    generator: np.random.Generator | None = None,
) -> Clip:
    """The clip of a recording.

    Args:
        recording: Must hold the modalities that `config` asks for.
        config: How the clip is made.
        sample: Name of the sample, for messages.
        label: Number of its class.
        generator: Draws moments and augmentation, for training; None is for evaluation, where the
            same recording always gives the same clip.

    Raises:
        DatasetError: A modality is missing, or the window asks for what the frames do not tell.
        RecordingError: A frame cannot be read, or there is nothing in the recording.
    """
    frames, events = _wanted(recording, config)
    moments = choose_moments(
        recording,
        config.frames,
        window=config.window,
        generator=generator if config.jitter else None,
    )
    seen = frames if frames is not None else events
    assert seen is not None  # a config names at least one modality
    geometry = place(
        seen.height,
        seen.width,
        size=config.size_px,
        fit=config.fit,
        augmentation=config.augmentation,
        generator=generator,
    )
    return Clip(
        None if frames is None else _frame_images(frames, moments, geometry, config, generator),
        None if events is None else _event_images(events, moments, geometry, config, generator),
        label,
        sample,
    )


def _wanted(
    recording: Recording, config: ClipConfig
) -> tuple[FrameSequence | None, EventStream | FrameSequence | None]:
    frames = recording.frames if "rgb" in config.modalities else None
    events = recording.event_images or recording.events if "event" in config.modalities else None
    missing = ["frames"] if "rgb" in config.modalities and not frames else []
    missing += ["events"] if "event" in config.modalities and events is None else []
    if missing:
        raise DatasetError(
            f"{recording.path or 'recording'}: expected {' and '.join(config.modalities)}, "
            f"found no {' and no '.join(missing)}; set modalities to what is there, or give the "
            "recording the missing file"
        )
    return frames, events


def _frame_images(
    frames: FrameSequence,
    moments: Moments,
    geometry: Geometry,
    config: ClipConfig,
    generator: np.random.Generator | None,
) -> Tensor:
    def change(images: Tensor) -> Tensor:
        if generator is not None and config.augmentation.colour:
            images = change_colours(images, config.augmentation.colour, generator)
        return geometry.apply(images, fill=[0.0, 0.0, 0.0])

    return _at_moments(frames, moments, change)


def _at_moments(
    pictures: FrameSequence, moments: Moments, change: Callable[[Tensor], Tensor]
) -> Tensor:
    """The pictures of the moments, changed.

    Several moments may show one picture (N-MNIST: all of them); it is read and changed once.
    """
    assert moments.frame_indices is not None  # there are pictures
    distinct, position = np.unique(moments.frame_indices, return_inverse=True)
    changed = change(to_tensor(pictures.take(distinct.tolist())))
    return changed if len(distinct) == len(position) else changed[torch.from_numpy(position)]


def _event_images(
    events: EventStream | FrameSequence,
    moments: Moments,
    geometry: Geometry,
    config: ClipConfig,
    generator: np.random.Generator | None,
) -> Tensor:
    """The events of each moment as pictures: those drawn before, or drawn here."""
    render = partial(as_rgb_images, representation=config.representation)
    nothing = render(EventStream.empty(width=1, height=1), np.zeros((1, 2), np.int64))
    place = partial(geometry.apply, fill=[float(value) for value in nothing.reshape(-1)])
    if isinstance(events, FrameSequence):
        return _at_moments(events, moments, place)
    if generator is not None and config.augmentation.event_drop:
        events = events.between(int(moments.windows_us.min()), int(moments.windows_us.max()))
        events = drop_events(events, config.augmentation.event_drop, generator)
    return place(torch.from_numpy(render(events, moments.windows_us)))


def _stack(images: Sequence[Tensor | None], clips: Sequence[Clip], name: str) -> Tensor | None:
    present = [image for image in images if image is not None]
    if not present:
        return None
    shapes = [None if image is None else tuple(image.shape) for image in images]
    for clip, shape in zip(clips, shapes, strict=True):
        if shape != shapes[0]:
            raise DatasetError(
                f"batch: expected {name} of one shape, got {shapes[0]} of {clips[0].sample!r} and "
                f"{shape} of {clip.sample!r}; make all clips with one configuration"
            )
    return torch.stack(present)
