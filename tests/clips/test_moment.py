"""One moment by itself looks as it does in its clip."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from evlora.clips import ClipConfig, make_clip
from evlora.clips.moment import draw_moment
from evlora.clips.sampling import choose_moments
from evlora.errors import DatasetError, RecordingError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.representations import REPRESENTATIONS

WIDTH, HEIGHT, FRAMES = 48, 36, 4


def recorded(*, frame_size: tuple[int, int] = (HEIGHT, WIDTH)) -> Recording:
    random = np.random.default_rng(0)
    events = EventStream.from_arrays(
        np.sort(random.integers(0, 100_000, 5000)),
        random.integers(0, WIDTH, 5000),
        random.integers(0, HEIGHT, 5000),
        random.integers(0, 2, 5000),
        width=WIDTH,
        height=HEIGHT,
    )
    ends = np.arange(1, FRAMES + 1) * 25_000
    images = random.integers(0, 256, (FRAMES, *frame_size, 3), dtype=np.uint8)
    frames = FrameSequence.from_images(images, start_us=ends - 10_000, end_us=ends)
    return Recording(events, frames, "memory")


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_a_moment_is_what_its_clip_shows(fit: str, representation: str) -> None:
    config = ClipConfig.model_validate(
        {
            "frames": FRAMES,
            "size": 32,
            "fit": fit,
            "representation": representation,
            "exposure": 0.3,
        }
    )
    recording = recorded(frame_size=(30, 40))
    clip = make_clip(recording, config)
    assert clip.rgb is not None
    assert clip.events is not None
    assert recording.frames is not None
    assert recording.events is not None
    for number, (start_us, end_us) in enumerate(choose_moments(recording, FRAMES).windows_us):
        rgb, events = draw_moment(
            config,
            frame=recording.frames[number],
            events=recording.events.between(start_us, end_us),
            window_us=(start_us, end_us),
        )
        assert rgb is not None
        assert events is not None
        assert torch.equal(rgb, clip.rgb[number])
        assert torch.equal(events, clip.events[number])


def test_only_what_is_asked_for_is_looked_at() -> None:
    recording = recorded()
    assert recording.events is not None
    only_events = ClipConfig(frames=1, size=32, modalities=("event",))
    rgb, events = draw_moment(only_events, events=recording.events)
    assert rgb is None
    assert events is not None
    clip = make_clip(Recording(recording.events, None, "memory"), only_events)
    assert clip.events is not None
    assert torch.equal(events, clip.events[0])


@pytest.mark.parametrize("hidden", ["rgb", "event"])
def test_what_is_hidden_or_may_be_missing_is_blank_as_in_a_clip(hidden: str) -> None:
    recording = recorded()
    frames, events = recording.frames, recording.events
    assert frames is not None
    assert events is not None
    tolerant = {"frames": FRAMES, "size": 32, "augmentation": {"modality_dropout": 0.5}}
    for settings in (tolerant, {"frames": FRAMES, "size": 32, "without": hidden}):
        config = ClipConfig.model_validate(settings)
        lacking = replace(recording, **{"rgb": {"frames": None}, "event": {"events": None}}[hidden])
        clip = make_clip(lacking, config)
        window_us = choose_moments(lacking, FRAMES).windows_us[1].tolist()
        rgb, drawn = draw_moment(
            config,
            frame=None if hidden == "rgb" else frames[1],
            events=None if hidden == "event" else events.between(*window_us),
            window_us=window_us,
        )
        assert rgb is not None
        assert drawn is not None
        assert clip.rgb is not None
        assert clip.events is not None
        assert torch.equal(rgb, clip.rgb[1])
        assert torch.equal(drawn, clip.events[1])
    hiding = ClipConfig.model_validate({"size": 32, "without": hidden})
    pictures = draw_moment(hiding, frame=frames[0], events=events)
    is_blank = [bool((p == p[:, :1, :1]).all()) for p in pictures if p is not None]
    assert is_blank == [hidden == "rgb", hidden == "event"]


def test_event_images_and_grey_frames_are_taken_too() -> None:
    config = ClipConfig(size=32)
    grey = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH).astype(np.uint8)
    rgb, events = draw_moment(config, frame=grey, events=np.stack([grey] * 3, axis=-1))
    assert rgb is not None
    assert events is not None
    assert torch.equal(rgb, events)


def test_no_events_are_an_empty_picture() -> None:
    config = ClipConfig(size=32, modalities=("event",))
    _, events = draw_moment(config, events=EventStream.empty(width=WIDTH, height=HEIGHT))
    assert events is not None
    assert bool((events == 255).all())


def test_what_is_missing_or_no_picture_is_refused() -> None:
    config = ClipConfig(size=32)
    grey = np.zeros((HEIGHT, WIDTH), np.uint8)
    with pytest.raises(DatasetError, match="expected rgb and event, found no events"):
        draw_moment(config, frame=grey)
    with pytest.raises(RecordingError, match="expected frames as uint8, got float64"):
        draw_moment(config, frame=np.zeros((HEIGHT, WIDTH)), events=grey)
