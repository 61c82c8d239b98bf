"""The numbers and the figure of a recording."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from slow import slow_but

from evlora.errors import RecordingError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.figure import save_figure
from evlora.recordings.inspection import (
    RATE_PARTS,
    lively_window,
    rate_over_time,
    summarize,
)


def stream(
    t_us: object, *, polarity: object = None, width: int = 8, height: int = 6
) -> EventStream:
    times = np.asarray(t_us, np.int64)
    x = np.arange(len(times)) % width
    is_on = np.ones(len(times), bool) if polarity is None else np.asarray(polarity)
    return EventStream.from_arrays(times, x, x * 0, is_on, width=width, height=height)


def frames_at(*ends_us: int) -> FrameSequence:
    images = np.full((len(ends_us), 6, 8, 3), 90, np.uint8)
    return FrameSequence.from_images(images, start_us=ends_us)


# --- numbers ------------------------------------------------------------------------------------


def test_a_summary_counts_events_polarities_and_pixels():
    events = stream([5, 6, 6, 9, 1005], polarity=[True, False, True, True, False], width=3)
    summary = summarize(Recording(events, None, "test", warnings=("w",), remarks=("r",)))
    assert (summary.format, summary.width, summary.height) == ("test", 3, 6)
    assert (summary.events, summary.on, summary.off) == (5, 3, 2)
    assert (summary.t_first_us, summary.t_last_us) == (5, 1005)
    assert (summary.warnings, summary.remarks) == (("w",), ("r",))
    assert summary.frames == 0
    assert summary.frame_timing is None
    assert summary.activity is not None
    assert summary.activity.duration_us == 1000
    assert summary.activity.active_pixels == 3
    assert summary.activity.busiest_pixel == (0, 0, 2)


def test_the_rate_over_time_integrates_to_the_number_of_events():
    rng = np.random.default_rng(0)
    events = stream(np.sort(rng.integers(0, 777_777, 5000)), polarity=rng.random(5000) < 0.3)
    windows_us, rates_hz = rate_over_time(events)
    assert rates_hz.shape == (RATE_PARTS, 2)
    counts = (rates_hz * np.diff(windows_us) / 1e6).sum(axis=0)
    on = int(events.polarity.sum())
    np.testing.assert_allclose(counts, [5000 - on, on])
    activity = summarize(Recording(events, None, "test")).activity
    assert activity is not None
    assert activity.peak_rate_hz == max(activity.rate_over_time_hz)
    assert activity.rate_hz == pytest.approx(5000 / 0.777777, rel=1e-3)


def test_a_recording_of_few_microseconds_has_as_many_parts():
    windows_us, rates_hz = rate_over_time(stream([7, 7, 8]))
    assert windows_us.tolist() == [[7, 8], [8, 9]]
    assert rates_hz.tolist() == [[0, 2e6], [0, 1e6]]


def test_gaps_are_long_silences_not_slow_recordings():
    dense = np.arange(0, 100_000, 10)
    gapped = stream(np.concatenate([dense, 130_000 + dense, 250_000 + dense]))
    activity = summarize(Recording(gapped, None, "test")).activity
    assert activity is not None
    assert activity.gaps == 2
    assert activity.longest_gaps_us == ((99_990, 130_000), (229_990, 250_000))
    slow = summarize(Recording(stream(np.arange(0, 5_000_000, 50_000)), None, "test")).activity
    assert slow is not None
    assert slow.gaps == 0


def test_frames_have_an_interval_and_lost_ones_are_noticed():
    timing = summarize(Recording(None, frames_at(0, 40, 80, 160, 200), "test")).frame_timing
    assert timing is not None
    assert (timing.width, timing.height) == (8, 6)
    assert (timing.first_us, timing.last_us) == (0, 200)
    assert timing.interval_us == 40
    assert timing.lost == 1


def test_frames_without_times_have_no_interval():
    frames = FrameSequence.from_images(np.zeros((3, 6, 8), np.uint8))
    summary = summarize(Recording(None, frames, "test"))
    assert (summary.width, summary.height, summary.frames) == (8, 6, 3)
    assert summary.frame_timing is not None
    assert summary.frame_timing.interval_us is None
    assert summary.frame_timing.lost is None


@pytest.mark.parametrize("events", [None, stream([])], ids=["none", "empty"])
def test_a_recording_of_nothing_has_no_activity(events: EventStream | None):
    summary = summarize(Recording(events, None, "test"))
    assert summary.events == summary.frames == 0
    assert summary.activity is None
    assert summary.t_first_us is None
    assert summary.width == (None if events is None else 8)


def test_one_event_is_enough():
    summary = summarize(Recording(stream([42]), None, "test"))
    assert summary.activity is not None
    assert summary.activity.rate_hz == 1e6
    assert summary.activity.duration_us == 0


def test_the_lively_window_lies_where_much_happens_but_not_in_the_first_burst():
    quiet, burst = np.arange(0, 1_000_000, 1000), np.arange(600_000, 720_000, 50)
    start = np.zeros(50_000, np.int64)
    events = stream(np.sort(np.concatenate([start, quiet, burst])))
    start_us, end_us = lively_window(events)
    assert 600_000 <= start_us < end_us <= 720_000
    assert len(events.between(start_us, end_us)) >= 400


def test_the_lively_window_of_few_events_holds_all_of_them():
    assert lively_window(stream([3, 9, 12])) == (3, 13)


# --- figure -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    slow_but(["events", "frames", "both", "one event", "untimed frames"], quick="both".__eq__),
)
def test_a_figure_is_drawn_of_whatever_there_is(tmp_path: Path, kind: str):
    rng = np.random.default_rng(0)
    events = stream(np.sort(rng.integers(0, 100_000, 3000)), polarity=rng.random(3000) < 0.5)
    untimed = FrameSequence.from_images(np.zeros((2, 6, 8), np.uint8))
    recording = {
        "events": Recording(events, None, "test", Path("made.es")),
        "frames": Recording(None, frames_at(0, 40, 80), "test"),
        "both": Recording(events, frames_at(20_000, 60_000, 90_000), "test"),
        "one event": Recording(stream([5]), None, "test"),
        "untimed frames": Recording(None, untimed, "test"),
    }[kind]
    path = tmp_path / "figure.png"
    save_figure(recording, path)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert min(pixels.shape[:2]) > 300
    has_event_colour = any(
        (pixels == colour).all(axis=-1).any() for colour in ((220, 30, 30), (30, 30, 200))
    )
    assert has_event_colour == (recording.events is not None)


def test_a_figure_of_nothing_is_refused(tmp_path: Path):
    with pytest.raises(RecordingError, match="expected events or frames to show, got neither"):
        save_figure(Recording(stream([]), None, "test"), tmp_path / "figure.png")
    with pytest.raises(RecordingError, match=r"a name that ends in \.png"):
        save_figure(Recording(stream([1]), None, "test"), tmp_path / "figure.xyz")
    assert list(tmp_path.iterdir()) == []
