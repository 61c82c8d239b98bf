"""The clip: what a model eats of one recording, and how several make a batch."""

from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Self

import numpy as np
import torch
from torch import Tensor

from evlora.clips.batch import Clip
from evlora.clips.config import NO_FRAME, ClipConfig, Modality, Views
from evlora.clips.sampling import Moments, View, choose_moments
from evlora.clips.transforms import (
    Geometry,
    change_colours,
    change_events,
    expose,
    place,
    to_tensor,
)
from evlora.errors import DatasetError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.representations import as_rgb_images


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
