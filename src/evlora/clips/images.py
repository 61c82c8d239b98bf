"""What the images of a clip are drawn from: frames, and events painted by moments; numpy only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np

from evlora.clips.sampling import Moments, Numbers
from evlora.clips.settings import ClipSettings
from evlora.errors import DatasetError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.frames import ImageArray
from evlora.recordings.representations import as_rgb_images

GIVING_FRAMES = "give the frames with --frames"
HIDING = "with --without "
FROM_PYTHON = " (frames= of open_recording and without= of predict from Python)"
"""How one gives frames from elsewhere and hides a modality; a service has other ways."""
NO_FRAME = [0.0, 0.0, 0.0]
"""Colour of what no frame shows: black."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What images are drawn from: the modalities that a configuration names and that are there."""

    frames: FrameSequence | None
    events: EventStream | FrameSequence | None
    """Events, or event images that were drawn before."""

    @classmethod
    def of(cls, recording: Recording, config: ClipSettings, *, may_lack: bool = True) -> Self:
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
        if missing and not (may_lack and config.may_lack_one and is_anything_shown):
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


def _cure(missing: Sequence[str], config: ClipSettings) -> str:
    """What to do where a modality is missing, to predict and to train."""
    give = f"{GIVING_FRAMES}, " if "rgb" in missing else ""
    there = [name for name in config.modalities if name not in missing]
    if not there:
        other = "event" if "rgb" in missing else "rgb"  # a recording has one of them
        return f"{give}give another recording, or, to train, set clip.modalities=[{other}]"
    return (
        f"{give}or hide what is missing {HIDING}{missing[0]}{FROM_PYTHON}, which costs accuracy "
        "unless the recognizer was trained with clip.augmentation.modality_dropout; to train, add "
        f"what is missing, or set clip.modalities=[{there[0]}]"
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


@cache
def without_events(representation: str) -> tuple[float, ...]:
    """The colour of a pixel that saw none."""
    empty = EventStream.empty(width=1, height=1)
    image = as_rgb_images(empty, np.zeros((1, 2), np.int64), representation=representation)
    return tuple(float(value) for value in image.reshape(-1))
