"""Corruptions: each damages its modality, more with its strength, and the same way again."""

import numpy as np
import pytest
from recording_samples import frames, stream

from evlora.errors import RecordingError
from evlora.recordings import Recording
from evlora.recordings.corruptions import CORRUPTIONS, corrupted, parse_corruption
from evlora.recordings.corruptions.events import dead_half, threshold_drift


def whole() -> Recording:
    return Recording(stream(4_000), frames(6), "made")


def bytes_of(recording: Recording) -> dict[str, bytes]:
    events = recording.events
    fields = (events.t_us, events.x, events.y, events.polarity)
    pixels = recording.frames.take(range(len(recording.frames)))
    return {"event": b"".join(f.tobytes() for f in fields), "rgb": pixels.tobytes()}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_changes_its_modality_alone_and_the_same_way_again(name):
    before = bytes_of(whole())

    after = corrupted(whole(), f"{name}:5", sample="a")

    changed = {part for part, was in before.items() if bytes_of(after)[part] != was}
    assert changed == {"rgb" if CORRUPTIONS[name].target == "rgb" else "event"}
    assert bytes_of(corrupted(whole(), f"{name}:5", sample="a")) == bytes_of(after)
    assert (np.diff(after.events.t_us) >= 0).all()
    assert after.events.x.max() < after.events.width


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_recording_without_events_or_frames_stays_so(name):
    nothing = Recording(stream(0), None, "made")
    assert len(corrupted(nothing, f"{name}:5").events) == 0
    assert corrupted(Recording(None, frames(), "made"), f"{name}:3").events is None


@pytest.mark.parametrize(
    ("name", "grows"),
    [
        *((name, True) for name in ("hot_pixels", "noise_bursts", "flicker")),
        *((name, False) for name in ("dropped_packets", "dead_half", "threshold_drift")),
        ("pixel_offset", False),
    ],
)
def test_more_strength_adds_or_removes_more_events(name, grows):
    counts = [
        np.mean([len(corrupted(whole(), f"{name}:{k}", sample=s).events) for s in "abcdefgh"])
        for k in (1, 3, 5)
    ]
    assert counts == sorted(counts, reverse=not grows)
    assert len(set(counts)) == 3


def test_frames_get_darker_lighter_and_lost():
    def mean(text: str) -> float:
        return float(corrupted(whole(), text).frames.take(range(6)).mean())

    clean = float(frames(6).take(range(6)).mean())
    assert mean("frames_underexposed:5") < mean("frames_underexposed:1") < clean
    assert clean < mean("frames_overexposed:1") < mean("frames_overexposed:5")
    assert mean("frames_lost:5") == 0


def test_a_dead_half_is_one_of_four_and_half_of_the_sensor():
    events = stream(20_000)
    kept = [len(dead_half(events, 0.5, np.random.default_rng(seed))) for seed in range(8)]
    assert all(0.45 < count / len(events) < 0.55 for count in kept)


def test_thresholds_twice_as_high_let_half_of_a_pixels_events_pass():
    events = stream(20_000, width=4, height=4)

    kept = threshold_drift(events, 3.0, np.random.default_rng(0))

    # The mean of 1 / threshold, which rises evenly from 1 to 3, is log(3) / 2.
    assert len(kept) / len(events) == pytest.approx(np.log(3) / 2, abs=0.02)


def test_clocks_out_of_step_leave_frames_where_they_are():
    after = corrupted(whole(), "time_offset:5")

    shift = after.events.t_us - whole().events.t_us
    assert set(np.abs(shift).tolist()) == {100_000}
    np.testing.assert_array_equal(after.frames.end_us, frames(6).end_us)


def test_what_was_drawn_before_cannot_be_damaged():
    drawn = Recording(None, None, "packed", event_images=frames())
    with pytest.raises(RecordingError, match="got event images that were drawn before"):
        corrupted(drawn, "hot_pixels:1", sample="a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hot_pixel:3", "did you mean hot_pixels"),
        ("hot_pixels", "a strength of 1 to 5, such as hot_pixels:3, got ''"),
        ("hot_pixels:6", "got '6'"),
    ],
)
def test_a_wrong_corruption_is_refused(text, message):
    with pytest.raises(RecordingError, match=message):
        parse_corruption(text)
