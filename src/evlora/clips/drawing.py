"""What the frames and the events of moments become: the one way for clips, live and packing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from evlora.clips.config import NO_FRAME, ClipConfig, Modality
from evlora.clips.sampling import Moments, Numbers
from evlora.clips.transforms import Geometry, change_colours, change_events, expose, to_tensor
from evlora.errors import DatasetError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.frames import ImageArray
from evlora.recordings.representations import as_rgb_images


@dataclass(frozen=True, slots=True)
class Inputs:
    """What images are drawn from: the modalities that a configuration names and that are there."""

    frames: FrameSequence | None
    events: EventStream | FrameSequence | None
    """Events, or event images that were drawn before."""

    @classmethod
    def of(cls, recording: Recording, config: ClipConfig, *, may_lack: bool = True) -> Self:
        """The modalities of a recording that the configuration names.

        Args:
            recording: Events, frames, or both.
            config: Which modalities a clip holds, and which may be hidden.
            may_lack: Whether a modality may be missing that the configuration hides or drops.

        Raises:
            DatasetError: One is missing.
        """
        frames = recording.frames if "rgb" in config.modalities and recording.frames else None
        events = None
        if "event" in config.modalities:
            events = recording.event_images or recording.events
        there = {"rgb": frames is not None, "event": events is not None}
        missing = [name for name in config.modalities if not there[name]]
        is_anything_shown = set(config.modalities) - {*missing, config.without}
        can_be_blank = config.without is not None or config.augmentation.modality_dropout > 0
        if missing and not (may_lack and can_be_blank and is_anything_shown):
            names = {"rgb": "frames", "event": "events"}
            raise DatasetError(
                f"{recording.path or 'recording'}: expected {' and '.join(config.modalities)}, "
                f"found no {' and no '.join(names[name] for name in missing)}; "
                f"{_cure(missing, config)}"
            )
        return cls(frames, events)

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of what the camera saw."""
        seen = self.frames if self.frames is not None else self.events
        assert seen is not None  # one modality is there
        return seen.height, seen.width


def _cure(missing: Sequence[str], config: ClipConfig) -> str:
    """What to do where a modality is missing, to predict and to train."""
    give = "give the frames with --frames, " if "rgb" in missing else ""
    there = [name for name in config.modalities if name not in missing]
    if not there:
        return f"{give}give another recording, or train on what is there with clip.modalities"
    return (
        f"{give}or hide what is missing with --without {missing[0]}, which costs accuracy unless "
        "the recognizer was trained with clip.augmentation.modality_dropout; to train, add what "
        f"is missing, or set clip.modalities=[{there[0]}]"
    ).removeprefix("or ")


class MomentImages:
    """The images of T moments of one modality, as large as the camera saw them.

    Several moments may show one image (N-MNIST: all of them); it is read once.
    """

    def __init__(
        self, source: EventStream | FrameSequence, moments: Moments, *, representation: str
    ) -> None:
        """Choose the images; none is read or drawn yet.

        Args:
            source: Frames, event images that were drawn before, or events to draw.
            moments: Which frames, and which windows of events.
            representation: How the events of a window become an image.
        """
        self._source = source
        self._windows_us = moments.windows_us
        self._representation = representation
        self.numbers: Numbers = np.arange(len(moments.windows_us))
        """Which of the distinct images each moment shows, shape (T,)."""
        self._distinct = self.numbers
        if isinstance(source, FrameSequence):
            assert moments.frame_indices is not None  # there are images
            self._distinct, self.numbers = np.unique(moments.frame_indices, return_inverse=True)

    def batches(self, count: int | None = None) -> Iterator[ImageArray]:
        """The distinct images in order, at most `count` at once, uint8, shape (n, H, W, 3)."""
        whole = len(self._distinct)
        for start in range(0, whole, count or whole):
            chosen = self._distinct[start : start + (count or whole)]
            if isinstance(self._source, FrameSequence):
                yield self._source.take(chosen.tolist())
            else:
                windows_us = self._windows_us[chosen]
                images = as_rgb_images(
                    self._source, windows_us, representation=self._representation
                )
                yield images.transpose(0, 2, 3, 1)

    def tensor(self) -> Tensor:
        """All distinct images, uint8, shape (n, 3, H, W)."""
        (images,) = self.batches()
        return to_tensor(images)


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
    frames = events = None
    if inputs.frames is not None and hidden != "rgb":
        frames = _changed_frames(inputs.frames, moments, config, generator)
    if inputs.events is not None and hidden != "event":
        events = _changed_events(inputs.events, moments, config, generator)
    count = len(moments.windows_us)
    background = list(without_events(config.representation))
    return [
        DrawnClip(
            _blank(config, "rgb", count) if frames is None else _through(box, *frames, NO_FRAME),
            _blank(config, "event", count)
            if events is None
            else _through(box, *events, background),
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
    exposed = expose(images.tensor(), config.exposure)
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
    return images.tensor(), images.numbers


def _through(box: Geometry, images: Tensor, numbers: Numbers, background: list[float]) -> Tensor:
    placed = box.apply(images, fill=background)
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


@cache
def without_events(representation: str) -> tuple[float, ...]:
    """The colour of a pixel that saw none."""
    empty = EventStream.empty(width=1, height=1)
    image = as_rgb_images(empty, np.zeros((1, 2), np.int64), representation=representation)
    return tuple(float(value) for value in image.reshape(-1))
