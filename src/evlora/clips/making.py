"""The clip that a model takes of one recording, and the several that a test averages over."""

import numpy as np

from evlora.clips.batch import Clip
from evlora.clips.config import ClipConfig, Modality, TestViews
from evlora.clips.drawing import draw
from evlora.clips.images import Inputs
from evlora.clips.sampling import Choice, choose_moments
from evlora.clips.transforms import place
from evlora.recordings import Recording
from evlora.recordings.corruptions.table import CORRUPTIONS, STRENGTHS, corrupted
from evlora.recordings.filters.table import filtered


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
        DatasetError: A modality is missing, or the window needs exposure times and there are none.
        RecordingError: A frame cannot be read, or there is nothing in the recording.
    """
    views = TestViews()
    return _clips(recording, config, views, sample=sample, label=label, generator=generator)[0]


def make_test_views(
    recording: Recording, config: ClipConfig, *, sample: str = "", label: int | None = None
) -> list[Clip]:
    """The test views of a recording: the clips that a test averages over (`config.test_views`).

    A single test view is the clip that `make_clip` gives.

    Args:
        recording: Must hold the modalities that `config` asks for.
        config: How the clips are made.
        sample: Name of the sample, which all of them get.
        label: Number of its class.

    Returns:
        `config.test_views.count` clips, all crops of the first segment before those of the second.

    Raises:
        DatasetError: A modality is missing, or the window needs exposure times and there are none.
        RecordingError: A frame cannot be read, or there is nothing in the recording.
    """
    return _clips(recording, config, config.test_views, sample=sample, label=label, generator=None)


def _clips(
    recording: Recording,
    config: ClipConfig,
    views: TestViews,
    *,
    sample: str,
    label: int | None,
    generator: np.random.Generator | None,
) -> list[Clip]:
    corruption = config.corruption or _drawn_corruption(recording, config, generator)
    if corruption is not None:
        seed = 0 if generator is None else int(generator.integers(2**31))
        recording = corrupted(recording, corruption, sample=sample, seed=seed)
    recording = filtered(recording, config.filters)
    inputs = Inputs.of(recording, config)
    hidden = config.without
    if inputs.frames is not None and inputs.events is not None:
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
            choice=Choice(segment, of=views.segments),
        )
        boxes = [
            place(
                *inputs.size_px,
                size=config.size_px,
                fit=config.fit,
                augmentation=config.augmentation,
                generator=generator,
                choice=Choice(crop, of=views.crops),
            )
            for crop in range(views.crops)
        ]
        drawn = draw(inputs, moments, boxes, config, hidden=hidden, generator=generator)
        clips += [Clip(images.rgb, images.events, label, sample) for images in drawn]
    return clips


def _drawn_corruption(
    recording: Recording, config: ClipConfig, generator: np.random.Generator | None
) -> str | None:
    """The fault that training draws for a clip; event images drawn before get none of events."""
    share = config.augmentation.corruptions
    if generator is None or not share or generator.random() >= share:
        return None
    names = [
        name
        for name in config.augmentation.corruption_names or CORRUPTIONS
        if recording.events is not None or CORRUPTIONS[name].target == "rgb"
    ]
    if not names:
        return None
    strength = STRENGTHS[int(generator.integers(len(STRENGTHS)))]
    return f"{names[int(generator.integers(len(names)))]}:{strength}"


def _hidden(config: ClipConfig, generator: np.random.Generator | None) -> Modality | None:
    """The modality that a clip does not show although it is there."""
    share = config.augmentation.modality_dropout
    if config.without is not None or generator is None or not share:
        return config.without
    if generator.random() >= share:
        return None
    return config.modalities[int(generator.integers(len(config.modalities)))]
