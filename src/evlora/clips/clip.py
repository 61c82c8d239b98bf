"""The clip: what a model eats of one recording, and how several make a batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, PositiveInt, ValidationError, field_validator, model_validator
from torch import Tensor

from evlora.clips.sampling import Moments, Sampling, View, Window, choose_moments
from evlora.clips.transforms import (
    Augmentation,
    Fit,
    Geometry,
    change_colours,
    change_events,
    expose,
    place,
    to_tensor,
)
from evlora.config import Config
from evlora.errors import DatasetError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.representations import REPRESENTATIONS, as_rgb_images

Modality = Literal["rgb", "event"]
NO_FRAME = [0.0, 0.0, 0.0]
"""Colour of what no frame shows: black."""


class Views(Config):
    """How many clips of a recording a test averages over: so many segments times so many crops."""

    segments: PositiveInt = 1
    """Choices of moments: the places at which segments are entered, or the starts of stretches;
    recordings with fewer than T frames have only one."""
    crops: Literal[1, 3] = 1
    """Boxes along the longer side: 1 is the centre, 3 are left, centre and right, or top, centre
    and bottom."""

    @property
    def count(self) -> int:
        """Clips of one recording."""
        return self.segments * self.crops


class ClipConfig(Config):
    """How a recording becomes a clip."""

    frames: PositiveInt = 8
    """Moments in a clip, T: so many frames and so many event pictures."""
    size: PositiveInt | tuple[PositiveInt, PositiveInt] = 224
    """Pixels that the model takes: one number for a square, or height and width."""
    modalities: tuple[Modality, ...] = ("rgb", "event")
    """What a clip holds: rgb, event, or both."""
    without: Modality | None = None
    """One of both modalities that is never shown, as if every recording lacked it: its frames are
    black, its pictures without events."""
    representation: str = "event_image"
    """How the events of a moment become a picture; the names are those of the representations."""
    sampling: Sampling = "segments"
    """Which frames are the moments of a clip: one of each of T equal segments (segments), or a
    stretch of frames that lie `stride` apart (dense); recordings with fewer than T frames are cut
    into T equal windows either way."""
    stride: PositiveInt = 4
    """Frames from a moment to the next one where sampling is dense; less in short recordings."""
    window: Window = "frame"
    """Events of a moment that is a frame: since the frame before it (frame), while it was exposed
    (exposure), or since the moment before it (segment)."""
    fit: Fit = "crop"
    """What happens to a field of view of another shape: crop, pad, or stretch."""
    exposure: float = Field(default=1.0, gt=0, le=1)
    """Light that the frames keep, for experiments in the dark: every value is multiplied by it and
    rounded, so that what lies below a camera's eight bits is lost. Events stay as they are."""
    jitter: bool = True
    """Whether training draws each moment at random inside its segment."""
    augmentation: Augmentation = Augmentation()
    """What training changes at random."""
    test_views: Views = Views()
    """How many clips of a recording a test averages over."""

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

    @model_validator(mode="after")
    def _has_something_to_show(self) -> Self:
        if self.without is not None and set(self.modalities) != {"rgb", "event"}:
            raise ValueError(
                f"expected both modalities for without: {self.without}, got "
                f"{list(self.modalities)}; what is left out must be one of two"
            )
        return self

    @model_validator(mode="after")
    def _has_views_that_differ(self) -> Self:
        if self.test_views.crops > 1 and self.fit != "crop":
            raise ValueError(
                f"expected fit: crop for test_views.crops: {self.test_views.crops}, got fit: "
                f"{self.fit}, which leaves nothing to choose from; set crops: 1 or fit: crop"
            )
        if self.sampling == "dense" and self.window == "segment":
            raise ValueError(
                "expected window: frame or exposure for sampling: dense, got window: segment, "
                "whose first moment would hold all events before the stretch"
            )
        return self

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of a clip."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def hiding(self, modality: Modality | None) -> "ClipConfig":
        """The same with one of both modalities hidden; None leaves it as it is.

        Raises:
            DatasetError: Clips have one modality, or none is called so.
        """
        if modality is None:
            return self
        try:
            return ClipConfig.model_validate({**self.model_dump(), "without": modality})
        except ValidationError as error:
            raise DatasetError(
                f"without {modality}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
            ) from error


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


def collate(clips: Sequence[Clip | Sequence[Clip]]) -> Batch:
    """The batch of these clips; several clips of one sample come one after the other.

    Raises:
        DatasetError: There is none, or they differ in modalities or shape.
    """
    flat = [clip for each in clips for clip in ([each] if isinstance(each, Clip) else each)]
    if not flat:
        raise DatasetError("batch: expected at least one clip, got none")
    labels = [clip.label for clip in flat if clip.label is not None]
    return Batch(
        _stack([clip.rgb for clip in flat], flat, "rgb"),
        _stack([clip.events for clip in flat], flat, "events"),
        torch.tensor(labels, dtype=torch.int64) if len(labels) == len(flat) else None,
        [clip.sample for clip in flat],
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
    views = Views()
    return _clips(recording, config, views, sample=sample, label=label, generator=generator)[0]


def make_views(
    recording: Recording, config: ClipConfig, *, sample: str = "", label: int | None = None
) -> list[Clip]:
    """The clips of a recording that a test averages over, as `config.test_views` says.

    A single view is the clip that `make_clip` gives.

    Args:
        recording: Must hold the modalities that `config` asks for.
        config: How the clips are made.
        sample: Name of the sample, which all of them get.
        label: Number of its class.

    Returns:
        `config.test_views.count` clips, all crops of the first segment before those of the second.

    Raises:
        DatasetError: A modality is missing, or the window asks for what the frames do not tell.
        RecordingError: A frame cannot be read, or there is nothing in the recording.
    """
    return _clips(recording, config, config.test_views, sample=sample, label=label, generator=None)


def _clips(
    recording: Recording,
    config: ClipConfig,
    views: Views,
    *,
    sample: str,
    label: int | None,
    generator: np.random.Generator | None,
) -> list[Clip]:
    frames, events = _wanted(recording, config)
    seen = frames if frames is not None else events
    assert seen is not None  # a config names at least one modality
    hidden = config.without
    if frames is not None and events is not None:
        hidden = _hidden(config, generator)
    clips: list[Clip] = []
    for segment in range(views.segments):
        moments = choose_moments(
            recording,
            config.frames,
            sampling=config.sampling,
            stride=config.stride,
            window=config.window,
            generator=generator if config.jitter else None,
            view=View(segment, of=views.segments),
        )
        boxes = [
            place(
                seen.height,
                seen.width,
                size=config.size_px,
                fit=config.fit,
                augmentation=config.augmentation,
                generator=generator,
                view=View(crop, of=views.crops),
            )
            for crop in range(views.crops)
        ]
        # What is hidden is blank, but the moments are those of the whole recording.
        rgb = drawn = None
        if frames is not None and hidden != "rgb":
            rgb = _frame_pictures(frames, moments, config, generator)
        if events is not None and hidden != "event":
            drawn = _event_pictures(events, moments, config, generator)
        clips += [
            Clip(
                blank(config, "rgb") if rgb is None else rgb.through(box),
                blank(config, "event") if drawn is None else drawn.through(box),
                label,
                sample,
            )
            for box in boxes
        ]
    return clips


def _hidden(config: ClipConfig, generator: np.random.Generator | None) -> Modality | None:
    """The modality that a clip does not show although it is there."""
    share = config.augmentation.modality_dropout
    if config.without is not None or generator is None or not share:
        return config.without
    if generator.random() >= share:
        return None
    return config.modalities[int(generator.integers(len(config.modalities)))]


def blank(config: ClipConfig, modality: Modality) -> Tensor | None:
    """What a clip holds where a modality is hidden or missing, uint8, shape (T, 3, H, W).

    Black frames, or pictures without events; None for what the configuration does not name.
    """
    if modality not in config.modalities:
        return None
    colour = NO_FRAME if modality == "rgb" else list(without_events(config.representation))
    pixel = torch.tensor(colour).to(torch.uint8).reshape(1, 3, 1, 1)
    return pixel.repeat(config.frames, 1, *config.size_px)


def _wanted(
    recording: Recording, config: ClipConfig
) -> tuple[FrameSequence | None, EventStream | FrameSequence | None]:
    frames = recording.frames if "rgb" in config.modalities else None
    events = recording.event_images or recording.events if "event" in config.modalities else None
    missing = ["frames"] if "rgb" in config.modalities and not frames else []
    missing += ["events"] if "event" in config.modalities and events is None else []
    there: dict[Modality, bool] = {"rgb": bool(frames), "event": events is not None}
    is_anything_shown = any(there[name] for name in config.modalities if name != config.without)
    may_lack = config.without is not None or config.augmentation.modality_dropout > 0
    if missing and not (may_lack and is_anything_shown):
        raise DatasetError(
            f"{recording.path or 'recording'}: expected {' and '.join(config.modalities)}, "
            f"found no {' and no '.join(missing)}; set modalities to what is there, or give the "
            "recording the missing file; training with clip.augmentation.modality_dropout makes "
            "recognizers that do with either"
        )
    return frames or None, events


@dataclass(frozen=True, slots=True, eq=False)
class _Pictures:
    """The pictures of T moments in the size in which they were seen."""

    distinct: Tensor
    """uint8, shape (n, 3, H, W); several moments may show one picture (N-MNIST: all of them)."""
    positions: Tensor | None
    """Which of them each moment shows, shape (T,); None where that is one after the other."""
    nothing: list[float]
    """Colour of what lies beyond the field of view."""

    @classmethod
    def of(cls, sequence: FrameSequence, moments: Moments, nothing: list[float]) -> Self:
        """The pictures of the moments, each read once."""
        assert moments.frame_indices is not None  # there are pictures
        distinct, positions = np.unique(moments.frame_indices, return_inverse=True)
        is_each_once = len(distinct) == len(positions)
        images = to_tensor(sequence.take(distinct.tolist()))
        return cls(images, None if is_each_once else torch.from_numpy(positions), nothing)

    def through(self, geometry: Geometry) -> Tensor:
        """The pictures in the model's size, shape (T, 3, H, W)."""
        placed = geometry.apply(self.distinct, fill=self.nothing)
        return placed if self.positions is None else placed[self.positions]


def _frame_pictures(
    frames: FrameSequence,
    moments: Moments,
    config: ClipConfig,
    generator: np.random.Generator | None,
) -> _Pictures:
    seen = _Pictures.of(frames, moments, NO_FRAME)
    seen = replace(seen, distinct=expose(seen.distinct, config.exposure))
    if generator is None or not config.augmentation.colour:
        return seen
    changed = change_colours(seen.distinct, config.augmentation.colour, generator)
    return replace(seen, distinct=changed)


def _event_pictures(
    events: EventStream | FrameSequence,
    moments: Moments,
    config: ClipConfig,
    generator: np.random.Generator | None,
) -> _Pictures:
    """The events of each moment as pictures: those drawn before, or drawn here."""
    render = partial(as_rgb_images, representation=config.representation)
    nothing = list(without_events(config.representation))
    if isinstance(events, FrameSequence):
        return _Pictures.of(events, moments, nothing)
    windows_us = moments.windows_us
    if generator is not None:
        events = change_events(
            events,
            config.augmentation,
            generator,
            start_us=int(windows_us.min()),
            end_us=int(windows_us.max()),
        )
    return _Pictures(torch.from_numpy(render(events, windows_us)), None, nothing)


@cache
def without_events(representation: str) -> tuple[float, ...]:
    """The colour of a pixel that saw none."""
    empty = EventStream.empty(width=1, height=1)
    picture = as_rgb_images(empty, np.zeros((1, 2), np.int64), representation=representation)
    return tuple(float(value) for value in picture.reshape(-1))


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
