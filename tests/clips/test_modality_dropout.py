"""Clips of which one modality is hidden in training, hidden in a test, or missing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from evlora.clips import Clip, ClipConfig, make_clip
from evlora.clips.transforms import Augmentation
from evlora.errors import DatasetError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.representations import REPRESENTATIONS

STILL = Augmentation(crop=1, colour=0, event_drop=0)


@pytest.fixture
def recording() -> Recording:
    """Six bright frames of 8×8 with an event in each."""
    ends = 100 * np.arange(1, 7)
    events = EventStream.from_arrays(
        ends - 50, np.arange(6), np.full(6, 3), np.ones(6, bool), width=8, height=8
    )
    frames = np.full((6, 8, 8, 3), 200, np.uint8)
    return Recording(
        events, FrameSequence.from_images(frames, start_us=ends - 100, end_us=ends), "test"
    )


def config(share: float = 0.0, **settings: object) -> ClipConfig:
    augmentation = STILL.model_copy(update={"modality_dropout": share})
    return ClipConfig.model_validate(
        {"frames": 3, "size": 8, "jitter": False, "augmentation": augmentation, **settings}
    )


def training_clips(recording: Recording, share: float, count: int = 200) -> list[Clip]:
    return [
        make_clip(recording, config(share), generator=np.random.default_rng(seed))
        for seed in range(count)
    ]


def shown(clip: Clip) -> str:
    assert clip.rgb is not None
    assert clip.events is not None
    return " ".join(["rgb"] * bool(clip.rgb.any()) + ["event"] * bool((clip.events < 255).any()))


def test_training_hides_the_share_of_clips_that_it_is_given_and_each_modality_as_often(
    recording: Recording,
) -> None:
    seen = [shown(clip) for clip in training_clips(recording, 0.5)]
    assert set(seen) == {"rgb event", "rgb", "event"}
    assert 80 < seen.count("rgb event") < 120
    assert 35 < seen.count("rgb") < 65


def test_what_is_not_hidden_is_as_it_would_be(recording: Recording) -> None:
    whole = make_clip(recording, config())
    assert whole.rgb is not None
    assert whole.events is not None
    for clip in training_clips(recording, 0.9, count=20):
        assert clip.rgb is not None
        assert clip.events is not None
        assert "rgb" not in shown(clip) or torch.equal(clip.rgb, whole.rgb)
        assert "event" not in shown(clip) or torch.equal(clip.events, whole.events)


def test_nothing_is_hidden_in_a_test_or_with_dropout_off(recording: Recording) -> None:
    assert shown(make_clip(recording, config(0.9))) == "rgb event"
    assert {shown(clip) for clip in training_clips(recording, 0.0, count=20)} == {"rgb event"}


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("modality", ["rgb", "event"])
def test_hidden_and_missing_look_alike(
    recording: Recording, modality: str, representation: str
) -> None:
    settings = config(0.1, representation=representation)
    lacking = replace(recording, **{"frames" if modality == "rgb" else "events": None})
    of_missing = make_clip(lacking, settings)
    of_hidden = make_clip(recording, settings.hiding(modality))  # type: ignore[arg-type]
    of_silence = make_clip(
        replace(recording, events=EventStream.empty(width=8, height=8)), settings
    )
    if modality == "rgb":
        assert of_missing.rgb is not None
        assert of_hidden.rgb is not None
        assert not of_missing.rgb.any()
        assert torch.equal(of_missing.rgb, of_hidden.rgb)
    else:
        assert of_missing.events is not None
        assert of_hidden.events is not None
        assert of_silence.events is not None
        assert torch.equal(of_missing.events, of_silence.events)
        assert torch.equal(of_hidden.events, of_silence.events)


def test_a_recording_that_lacks_one_is_refused_without_dropout(recording: Recording) -> None:
    for name in ("frames", "events"):
        with pytest.raises(DatasetError, match=f"found no {name}; .*modality_dropout"):
            make_clip(replace(recording, **{name: None}), config())


def test_a_recording_that_has_only_what_is_hidden_is_refused(recording: Recording) -> None:
    with pytest.raises(DatasetError, match="found no events"):
        make_clip(replace(recording, events=None), config(0.5).hiding("rgb"))


def test_only_one_of_two_modalities_can_be_hidden() -> None:
    with pytest.raises(DatasetError, match="without rgb: expected both modalities"):
        config(modalities=["rgb"]).hiding("rgb")
    with pytest.raises(
        DatasetError, match="without thermal: expected 'rgb' or 'event', got 'thermal'"
    ):
        config().hiding("thermal")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="expected both modalities"):
        config(modalities=["event"], without="event")


def test_one_modality_has_nothing_to_drop(recording: Recording) -> None:
    settings = config(0.9, modalities=["rgb"])
    for seed in range(10):
        clip = make_clip(recording, settings, generator=np.random.default_rng(seed))
        assert clip.events is None
        assert clip.rgb is not None
        assert clip.rgb.any()
