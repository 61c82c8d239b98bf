"""A recognizer while the camera runs, and over a recording in its own time."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evlora import StreamingRecognizer
from evlora.bundle import save_bundle
from evlora.clips import ClipConfig, collate, make_clip
from evlora.clips.playback import LiveAnswer, schedule
from evlora.errors import DatasetError, RecordingError, ShapeError
from evlora.live import predict_live
from evlora.prediction import predict
from evlora.recipe import build
from evlora.recognizer import Recognizer
from evlora.recordings import EventStream, FrameSequence, Recording

WIDTH, HEIGHT = 40, 30
PERIOD_US = 20_000


def recorded(*, frames: int, timed: bool = True, events: int = 4000) -> Recording:
    """Noise: this many frames of 20 ms, and events from the first to the last of them."""
    random = np.random.default_rng(frames)
    length_us = max(frames, 3) * PERIOD_US
    stream = EventStream.from_arrays(
        np.sort(random.integers(0, length_us, events)),
        random.integers(0, WIDTH, events),
        random.integers(0, HEIGHT, events),
        random.integers(0, 2, events),
        width=WIDTH,
        height=HEIGHT,
    )
    if not frames:
        return Recording(stream, None, "memory")
    ends = np.arange(1, frames + 1) * PERIOD_US
    images = random.integers(0, 256, (frames, HEIGHT, WIDTH, 3), dtype=np.uint8)
    times = {"start_us": ends - 5000, "end_us": ends} if timed else {}
    return Recording(
        stream if events else None, FrameSequence.from_images(images, **times), "memory"
    )


class Clock:
    """Time that passes when somebody sleeps, and while an answer is computed."""

    def __init__(self, compute_s: float = 0.0) -> None:
        self.seconds = 100.0
        self.compute_s = compute_s

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.seconds += seconds


def live(
    recognizer: Recognizer, recording: Recording, clock: Clock | None = None, **options: Any
) -> list[LiveAnswer]:
    clock = clock or Clock()
    decide = recognizer.network.decide

    def slowly(*arguments: Any) -> torch.Tensor:
        clock.seconds += clock.compute_s
        return decide(*arguments)

    recognizer.network.decide = slowly
    answers: Iterator[LiveAnswer] = predict_live(
        recognizer, recording, now=clock.now, sleep=clock.sleep, **options
    )
    return list(answers)


@pytest.fixture
def settings(tiny_settings: dict[str, Any]) -> dict[str, Any]:
    return {**tiny_settings, "clip.frames": 4}


@pytest.fixture
def recognizer(settings: dict[str, Any]) -> Recognizer:
    recognizer = build("demo", num_classes=5, overrides=settings).eval()
    with torch.no_grad():
        for parameter in recognizer.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return recognizer


def test_what_a_camera_hands_over_is_answered_as_its_clip(recognizer: Recognizer) -> None:
    recording = recorded(frames=4)
    frames, events = recording.frames, recording.events
    assert frames is not None
    assert events is not None
    stream = StreamingRecognizer(recognizer)
    assert stream.labels == recognizer.labels
    scores = None
    for number in range(4):
        window_us = (number * PERIOD_US, (number + 1) * PERIOD_US)
        scores = stream.push(frames[number], events.between(*window_us), window_us=window_us)
        assert stream.moments == number + 1
    batch = collate([make_clip(recording, recognizer.clip_config)])
    assert scores is not None
    torch.testing.assert_close(
        scores, recognizer.recognize(batch.rgb, batch.events).logits[0], atol=1e-4, rtol=1e-4
    )


def test_pictures_in_the_models_size_are_taken_as_they_are(recognizer: Recognizer) -> None:
    batch = collate([make_clip(recorded(frames=4), recognizer.clip_config)])
    assert batch.rgb is not None
    assert batch.events is not None
    as_bytes, as_numbers = StreamingRecognizer(recognizer), StreamingRecognizer(recognizer)
    for rgb, events in zip(batch.rgb[0], batch.events[0], strict=True):
        scores = as_bytes.push(rgb, events)
        again = as_numbers.push(recognizer.normalize(rgb), recognizer.normalize(events))
    wanted = recognizer.recognize(batch.rgb, batch.events).logits[0]
    for got in (scores, again):
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_a_mixture_or_another_size_is_refused(recognizer: Recognizer) -> None:
    stream = StreamingRecognizer(recognizer)
    grey, small = np.zeros((HEIGHT, WIDTH), np.uint8), torch.zeros(3, 32, 32)
    with pytest.raises(DatasetError, match="frame: expected a tensor as the other modality"):
        stream.push(grey, small)
    with pytest.raises(ShapeError, match=r"events: expected shape \(3, H=32, W=32\)"):
        stream.push(small, torch.zeros(3, 30, 40))
    with pytest.raises(DatasetError, match="found no events"):
        stream.push(grey)


@pytest.mark.parametrize("frames", [0, 1, 3, 4])
def test_the_last_answer_to_a_recording_is_the_answer_to_the_whole(
    frames: int, settings: dict[str, Any]
) -> None:
    if not frames:
        settings["clip.modalities"] = ["event"]
    recognizer = build("demo", num_classes=5, overrides=settings)
    recording = recorded(frames=frames)
    answers = live(recognizer, recording, speed=0)
    whole = predict(recognizer, recording)[0]
    assert answers[-1].moments == 4
    assert answers[-1].label == whole.label
    assert answers[-1].confidence == pytest.approx(whole.probability, abs=1e-4)
    # A difference needs two moments, events alone have none.
    assert len(answers) == (3 if frames else 4)


def test_a_recognizer_that_does_with_either_modality_does_so_live(settings: dict[str, Any]) -> None:
    settings["clip.augmentation.modality_dropout"] = 0.5
    recognizer = build("demo", num_classes=5, overrides=settings)
    recording = recorded(frames=0)
    answers = live(recognizer, recording, speed=0)
    whole = predict(recognizer, recording)[0]
    assert answers[-1].label == whole.label
    assert answers[-1].confidence == pytest.approx(whole.probability, abs=1e-4)


@pytest.mark.parametrize(("without", "frames"), [("rgb", 4), ("rgb", 0), ("event", 4)])
def test_a_hidden_modality_is_hidden_live_as_well(
    without: Any, frames: int, recognizer: Recognizer
) -> None:
    recording = recorded(frames=frames)
    answers = list(predict_live(recognizer, recording, speed=0, without=without))
    whole = predict(recognizer, recording, without=without)[0]
    assert answers[-1].label == whole.label
    assert answers[-1].confidence == pytest.approx(whole.probability, abs=1e-4)
    if frames:
        assert answers[-1].confidence != live(recognizer, recording, speed=0)[-1].confidence


def test_tensors_cannot_be_hidden(recognizer: Recognizer) -> None:
    stream = StreamingRecognizer(recognizer, without="rgb")
    image = torch.zeros(3, *recognizer.clip_config.size_px, dtype=torch.uint8)
    with pytest.raises(DatasetError, match="without rgb: expected images as the camera saw them"):
        stream.push(image, image)


def test_every_frame_is_answered_in_its_own_time(recognizer: Recognizer) -> None:
    answers = live(recognizer, recorded(frames=12), Clock(compute_s=0.004))
    # Of twelve frames a clip of four takes every third; the first difference is at the fourth.
    assert [answer.time_us for answer in answers] == [n * PERIOD_US for n in range(4, 13)]
    assert [answer.moments for answer in answers] == [2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert [answer.elapsed_us for answer in answers] == [answer.time_us for answer in answers]
    assert all(answer.latency_ms == pytest.approx(4, abs=1e-6) for answer in answers)
    assert all(answer.dropped == 0 for answer in answers)


def test_a_clock_twice_as_fast_halves_the_waiting(recognizer: Recognizer) -> None:
    clock = Clock()
    live(recognizer, recorded(frames=12), clock, speed=2)
    assert clock.seconds == pytest.approx(100 + 12 * PERIOD_US / 1e6 / 2)


def test_a_slow_machine_skips_moments_and_states_it(recognizer: Recognizer) -> None:
    answers = live(recognizer, recorded(frames=12), Clock(compute_s=0.050))
    assert len(answers) < 9
    assert sum(answer.dropped for answer in answers) == 12 - len(answers) - 3
    assert answers[-1].time_us == 12 * PERIOD_US  # the newest is never skipped
    # Nothing queues up: a moment waits for a period at most, the last one for the one before it.
    assert max(answer.latency_ms for answer in answers[:-1]) <= 50 + PERIOD_US / 1000 + 1e-6
    assert answers[-1].latency_ms <= 50 + 50 + 1e-6


def test_as_fast_as_possible_leaves_nothing_out(recognizer: Recognizer) -> None:
    clock = Clock(compute_s=0.050)
    answers = live(recognizer, recorded(frames=12), clock, speed=0)
    assert len(answers) == 9
    assert all(answer.dropped == 0 for answer in answers)
    assert clock.seconds == pytest.approx(100 + 9 * 0.050)


def test_windows_may_be_shorter_than_a_clips(settings: dict[str, Any]) -> None:
    settings["clip.modalities"] = ["event"]
    recognizer = build("demo", num_classes=5, overrides=settings)
    answers = live(recognizer, recorded(frames=0), speed=0, window_us=5000)
    assert len(answers) == 12
    assert np.diff([answer.time_us for answer in answers]) == pytest.approx(5000, abs=2)


CONFIG = ClipConfig(frames=4)


def test_moments_lie_as_far_apart_as_in_training() -> None:
    recording = recorded(frames=12)
    assert schedule(recording, CONFIG, window_us=None).stride == 3
    dense = ClipConfig(frames=4, sampling="dense", stride=2)
    assert schedule(recording, dense, window_us=None).stride == 2
    assert schedule(recording, CONFIG, window_us=1000).stride == 1
    assert schedule(recorded(frames=2), CONFIG, window_us=None).stride == 1


def test_the_events_since_the_moment_before_follow_the_stride() -> None:
    plan = schedule(recorded(frames=12), ClipConfig(frames=4, window="segment"), window_us=None)
    starts, ends = plan.moments.windows_us.T
    assert (starts[3:] == ends[:-3]).all()
    assert (starts[:3] == starts[0]).all()


def test_frames_without_times_need_an_interval() -> None:
    untimed = recorded(frames=6, timed=False, events=0)
    with pytest.raises(RecordingError, match=r"times of its 6 frames.*--window-ms"):
        schedule(untimed, CONFIG, window_us=None)
    plan = schedule(untimed, CONFIG, window_us=40_000)
    assert plan.times_us.tolist() == [40_000 * n for n in range(1, 7)]


def test_frames_alone_are_answered_by_their_own_times(settings: dict[str, Any]) -> None:
    single = {"clip.modalities": ["rgb"], "model": {"network": "single_stream"}}
    recognizer = build("demo", num_classes=5, overrides={**settings, **single})
    recording = recorded(frames=40, events=0)
    answers = live(recognizer, recording, Clock())
    assert [answer.time_us for answer in answers] == [n * PERIOD_US for n in range(1, 41)]


def test_event_images_drawn_before_come_with_their_frames(recognizer: Recognizer) -> None:
    plain = recorded(frames=8, events=0)
    drawn = recorded(frames=8).frames
    assert drawn is not None
    recording = Recording(None, plain.frames, "images", event_images=drawn)
    answers = live(recognizer, recording, Clock())
    assert [answer.time_us for answer in answers] == [n * PERIOD_US for n in range(3, 9)]


def test_what_cannot_be_shown_is_refused(recognizer: Recognizer) -> None:
    with pytest.raises(RecordingError, match="expected at most 10000000 windows"):
        schedule(_with_a_leap(), CONFIG, window_us=10)
    with pytest.raises(RecordingError, match="expected events or frames"):
        schedule(Recording(None, None, "memory"), CONFIG, window_us=None)
    with pytest.raises(DatasetError, match="found no frames"):
        live(recognizer, recorded(frames=0))


def _with_a_leap() -> Recording:
    times = [0, 10**12]
    stream = EventStream.from_arrays(times, [0, 1], [0, 1], [0, 1], width=2, height=2)
    return Recording(stream, None, "memory")


def test_the_code_of_the_page_runs(
    recognizer: Recognizer,
    project_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (project_root / "docs" / "live.md").read_text(encoding="utf-8")
    block = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert block is not None
    save_bundle(recognizer, tmp_path / "run" / "bundle")
    monkeypatch.chdir(tmp_path)
    recording = recorded(frames=4)
    assert recording.frames is not None
    camera = [(frame, recording.events) for frame in recording.frames.take(range(4))]
    exec(compile(block[1], "docs/live.md", "exec"), {"camera": camera})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.split()[0] in recognizer.labels for line in lines)
