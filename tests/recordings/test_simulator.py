"""The simulator against what can be computed by hand: ramps, edges, rates."""

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings import EventStream
from evlora.recordings.simulator import EventSimulator, SensorModel

NOISELESS = SensorModel(
    positive_threshold=0.2,
    negative_threshold=0.3,
    threshold_spread=0,
    refractory_us=0,
    leak_rate_hz=0,
    shot_noise_rate_hz=0,
    dark_level=1,
)
FRAME_US = 10_000


def luma_of(log_brightness: float, *, width: int = 3, height: int = 2) -> NDArray[np.float64]:
    """A frame of one brightness, whose logarithm with NOISELESS's dark level is this."""
    return np.full((height, width), math.exp(log_brightness) - NOISELESS.dark_level)


def events_of(
    frames: list[NDArray[np.floating]] | list[NDArray[np.uint8]],
    sensor: SensorModel = NOISELESS,
    *,
    frame_us: int = FRAME_US,
    seed: int = 0,
) -> EventStream:
    height, width = frames[0].shape[:2]
    simulator = EventSimulator(width=width, height=height, sensor=sensor, seed=seed)
    parts = [simulator.push(frame, number * frame_us) for number, frame in enumerate(frames)]
    return EventStream.from_arrays(
        np.concatenate([part.t_us for part in parts]),
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        np.concatenate([part.polarity for part in parts]),
        width=width,
        height=height,
    )


def at_pixel(events: EventStream, x: int, y: int) -> list[tuple[int, bool]]:
    chosen = (events.x == x) & (events.y == y)
    return list(zip(events.t_us[chosen].tolist(), events.polarity[chosen].tolist(), strict=True))


# --- ramps: count and times ---------------------------------------------------------------------


@pytest.mark.parametrize(("change", "threshold", "is_on"), [(1.05, 0.2, True), (-1.05, 0.3, False)])
def test_a_ramp_fires_at_every_pixel_when_each_threshold_is_crossed(
    change: float, threshold: float, is_on: bool
):
    events = events_of([luma_of(3.0), luma_of(3.0 + change)])
    count = math.floor(abs(change) / threshold)
    times = [math.ceil(n * threshold / abs(change) * FRAME_US) for n in range(1, count + 1)]
    assert len(events) == 6 * count
    for x in range(3):
        for y in range(2):
            assert at_pixel(events, x, y) == [(t_us, is_on) for t_us in times]


def test_a_ramp_in_many_frames_gives_the_events_of_the_same_ramp_in_two():
    once = events_of([luma_of(2.0), luma_of(3.47)], frame_us=70_000)
    often = events_of([luma_of(2.0 + 1.47 * n / 7) for n in range(8)], frame_us=10_000)
    assert len(once) == len(often) == 6 * math.floor(1.47 / 0.2)
    np.testing.assert_array_equal(once.t_us, often.t_us)


def test_a_pixel_remembers_its_last_level_when_brightness_turns():
    # Up by 0.5: ON at 0.2 and 0.4, level 0.4. Down to −0.25: OFF at 0.1 and −0.2.
    events = events_of([luma_of(3.0), luma_of(3.5), luma_of(2.75)])
    up, down = 0.5 / FRAME_US, 0.75 / FRAME_US
    expected = [
        (math.ceil(0.2 / up), True),
        (math.ceil(0.4 / up), True),
        (FRAME_US + math.ceil((0.5 - 0.1) / down), False),
        (FRAME_US + math.ceil((0.5 + 0.2) / down), False),
    ]
    assert at_pixel(events, 1, 1) == expected


def test_bytes_and_numbers_and_grey_rgb_give_the_same_events():
    levels = [20, 90, 40, 200]
    as_bytes = events_of([np.full((2, 3), level, np.uint8) for level in levels])
    assert len(as_bytes)
    for frames in (
        [np.full((2, 3), level, np.float32) for level in levels],
        [np.full((2, 3, 3), level, np.uint8) for level in levels],
    ):
        other = events_of(frames)
        np.testing.assert_allclose(other.t_us, as_bytes.t_us, rtol=0, atol=1)
        np.testing.assert_array_equal(other.polarity, as_bytes.polarity)


def test_green_weighs_more_than_red_and_red_more_than_blue():
    def count(channel: int) -> int:
        dark, coloured = np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)
        coloured[..., channel] = 200
        return len(events_of([dark, coloured]))

    expected = [math.floor(math.log(1 + 200 * w) / 0.2) for w in (0.299, 0.587, 0.114)]
    assert [count(channel) for channel in range(3)] == expected


def test_nothing_changes_nothing_fires():
    frame = np.random.default_rng(0).integers(0, 256, (6, 7)).astype(np.uint8)
    assert len(events_of([frame] * 5)) == 0


# --- a moving edge ------------------------------------------------------------------------------


def test_an_edge_fires_column_after_column_as_it_passes():
    dark, bright, width = 20, 200, 8
    columns = np.arange(width)
    frames = [
        np.broadcast_to(np.where(columns < front, bright, dark), (4, width)).astype(np.uint8)
        for front in range(width + 1)
    ]
    rise = math.log((bright + 1) / (dark + 1))
    count = math.floor(rise / 0.2)
    events = events_of(frames)
    assert len(events) == 4 * width * count
    assert events.polarity.all()
    for x in range(width):
        times = [x * FRAME_US + math.ceil(n * 0.2 / rise * FRAME_US) for n in range(1, count + 1)]
        for y in range(4):
            assert at_pixel(events, x, y) == [(t_us, True) for t_us in times]


def test_the_trailing_edge_of_a_bar_fires_off():
    frames: list[NDArray[np.uint8]] = []
    for front in range(9):
        frame = np.full((3, 12), 20, np.uint8)
        frame[:, front : front + 3] = 200
        frames.append(frame)
    events = events_of(frames)
    rise = math.log(201 / 21)
    assert int(events.polarity.sum()) == 3 * 8 * math.floor(rise / 0.2)
    assert int((~events.polarity).sum()) == 3 * 8 * math.floor(rise / 0.3)
    assert (events.x[events.polarity] >= 3).all()
    assert (events.x[~events.polarity] <= 7).all()


# --- what a real sensor adds --------------------------------------------------------------------


def test_the_leak_rate_is_that_of_the_sensor():
    rate_hz, seconds = 5.0, 20
    sensor = NOISELESS.model_copy(update={"leak_rate_hz": rate_hz, "threshold_spread": 0.2})
    frame = np.full((30, 40), 100, np.uint8)
    events = events_of([frame] * (seconds + 1), sensor, frame_us=1_000_000)
    pixels = frame.size
    # A pixel fires a whole number of times, the phase of its cycle deciding which of two: the
    # variance of a pixel's count is at most 1/4.
    assert abs(len(events) - rate_hz * seconds * pixels) <= 5 * math.sqrt(pixels / 4)
    assert events.polarity.all()
    counts = np.bincount(events.y.astype(int) * 40 + events.x, minlength=pixels)
    assert abs(counts - rate_hz * seconds).max() <= 1
    # The phases are spread: the first events do not come all at once.
    first = events.t_us[events.t_us <= 1e6 / rate_hz]
    assert first.mean() == pytest.approx(0.5e6 / rate_hz, rel=5 / math.sqrt(12 * len(first)) * 2)


def test_the_shot_noise_rate_is_that_of_the_sensor():
    rate_hz, seconds, pixels = 4.0, 10, 50 * 40
    sensor = NOISELESS.model_copy(update={"shot_noise_rate_hz": rate_hz})
    frame = np.full((40, 50), 100, np.uint8)
    events = events_of([frame] * (10 * seconds + 1), sensor, frame_us=100_000)
    expected = rate_hz * seconds * pixels
    assert abs(len(events) - expected) <= 5 * math.sqrt(expected)
    assert abs(int(events.polarity.sum()) - len(events) / 2) <= 5 * math.sqrt(len(events) / 4)
    counts = np.bincount(events.y.astype(int) * 50 + events.x, minlength=pixels)
    # Poisson: the variance over the pixels is the mean; its own error is √(2/pixels).
    assert counts.var() / counts.mean() == pytest.approx(1, abs=5 * math.sqrt(2 / pixels))
    assert events.t_us.mean() == pytest.approx(
        seconds * 5e5, abs=5 * seconds * 1e6 / math.sqrt(12 * len(events))
    )


def test_the_thresholds_spread_as_the_sensor_states():
    sensor = NOISELESS.model_copy(update={"threshold_spread": 0.1})
    width, height, rise = 100, 80, 0.35
    events = events_of(
        [luma_of(2, width=width, height=height), luma_of(2 + rise, width=width, height=height)],
        sensor,
        frame_us=1_000_000,
    )
    pixel = events.y.astype(int) * width + events.x
    _, first = np.unique(pixel, return_index=True)
    thresholds = events.t_us[first] / 1_000_000 * rise
    pixels = width * height
    assert len(first) == pixels
    assert thresholds.mean() == pytest.approx(0.2, abs=5 * 0.02 / math.sqrt(pixels))
    assert thresholds.std() == pytest.approx(0.02, rel=5 / math.sqrt(2 * pixels))


def test_a_pixel_is_deaf_after_an_event():
    refractory_us = 1_500
    rng = np.random.default_rng(3)
    frames = [rng.integers(0, 256, (9, 11)).astype(np.uint8) for _ in range(6)]
    noisy = NOISELESS.model_copy(update={"shot_noise_rate_hz": 50.0})
    everything = events_of(frames, noisy)
    used = events_of(frames, noisy.model_copy(update={"refractory_us": refractory_us}))
    sent: list[tuple[int, int, int, bool]] = []
    deaf_until: dict[tuple[int, int], int] = {}
    for t_us, x, y, is_on in zip(
        everything.t_us.tolist(),
        everything.x.tolist(),
        everything.y.tolist(),
        everything.polarity.tolist(),
        strict=True,
    ):
        if t_us >= deaf_until.get((x, y), 0):
            sent.append((t_us, x, y, is_on))
            deaf_until[x, y] = t_us + refractory_us
    assert 0 < len(sent) < len(everything)
    rows = zip(
        used.t_us.tolist(),
        used.x.tolist(),
        used.y.tolist(),
        used.polarity.tolist(),
        strict=True,
    )
    assert list(rows) == sent


def test_the_same_seed_gives_the_same_events_and_another_one_others():
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 256, (20, 30)).astype(np.uint8) for _ in range(4)]
    one, same, other = (events_of(frames, SensorModel(), seed=seed) for seed in (7, 7, 8))
    for field in ("t_us", "x", "y", "polarity"):
        np.testing.assert_array_equal(getattr(one, field), getattr(same, field))
    assert not np.array_equal(one.t_us, other.t_us)


# --- frame by frame -----------------------------------------------------------------------------


def test_each_push_gives_the_events_since_the_frame_before():
    simulator = EventSimulator(width=3, height=2, sensor=NOISELESS)
    assert len(simulator.push(luma_of(1.0), 5_000)) == 0
    for number, level in enumerate((2.0, 4.0, 1.0), start=1):
        events = simulator.push(luma_of(level), 5_000 + number * FRAME_US)
        assert len(events)
        assert events.first_us > 5_000 + (number - 1) * FRAME_US
        assert events.last_us <= 5_000 + number * FRAME_US


def test_memory_does_not_grow_with_the_number_of_frames():
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (60, 80)).astype(np.uint8) for _ in range(2)]

    def peak(count: int) -> int:
        simulator = EventSimulator(width=80, height=60)
        tracemalloc.start()
        for number in range(count):
            simulator.push(frames[number % 2], number * FRAME_US)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(80) < 1.1 * peak(8)


@pytest.mark.parametrize(
    ("frame", "t_us", "message"),
    [
        (np.zeros((2, 4), np.uint8), 9, r"expected frames of shape \(2, 3\) or \(2, 3, 3\)"),
        (np.zeros((2, 3, 4), np.uint8), 9, r"got \(2, 3, 4\)"),
        (np.zeros((2, 3), np.int64), 9, "uint8 or floating in 0…255, got int64"),
        (np.zeros((2, 3), np.uint8), 5, "later than 5 µs, got one of 5 µs"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(frame: NDArray[np.generic], t_us: int, message: str):
    simulator = EventSimulator(width=3, height=2)
    simulator.push(np.zeros((2, 3), np.uint8), 5)
    with pytest.raises(RecordingError, match=message):
        simulator.push(frame, t_us)


def test_a_sensor_without_pixels_is_refused():
    with pytest.raises(RecordingError, match="at least 1×1 pixel, got 0×4"):
        EventSimulator(width=0, height=4)


def test_the_docs_list_every_key_of_the_sensor_with_its_default(project_root: Path):
    text = (project_root / "docs" / "simulator.md").read_text(encoding="utf-8")
    for name, field in SensorModel.model_fields.items():
        assert f"| `{name}` | {field.default:g} |" in text
