"""Filters: what each keeps by its definition, in pieces as on the whole."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_samples import frames, stream

from evlora.errors import RecordingError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.filters import (
    FILTERS,
    BackgroundActivity,
    EventRateLimit,
    FilterChain,
    RefractoryPeriod,
    filter_background_activity,
    filter_refractory_period,
    filtered,
    find_hot_pixels,
    flip_polarity,
    limit_event_rate,
    mask_pixels,
    parse_filter,
    read_calibration,
    undistort,
)

WIDTH, HEIGHT = 6, 5
OPENCV = """%YAML:1.0
---
image_width: 64
image_height: 48
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 60., 0., 31.5, 0., 58., 23.5, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [ -0.3, 0.1, 0.001, -0.002, 0.01 ]
"""


def few(t_us, x, y) -> EventStream:
    on = np.arange(len(t_us)) % 2 == 0
    return EventStream.from_arrays(t_us, x, y, on, width=WIDTH, height=HEIGHT)


@st.composite
def streams(draw) -> EventStream:
    count = draw(st.integers(0, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    t_us = np.sort(rng.integers(0, draw(st.sampled_from((20, 300, 5_000))), count))
    return few(t_us, rng.integers(0, WIDTH, count), rng.integers(0, HEIGHT, count))


def kept_one_by_one(events: EventStream, is_kept) -> EventStream:
    """The events that `is_kept(t, x, y, earlier)` keeps; `earlier` maps pixels to times."""
    mask, latest, kept = [], {}, {}
    for t, x, y in zip(events.t_us.tolist(), events.x.tolist(), events.y.tolist(), strict=True):
        mask.append(is_kept(t, x, y, latest, kept))
        latest[x, y] = t
        if mask[-1]:
            kept[x, y] = t
    return events.chosen(np.array(mask, np.bool_))


def assert_same(found: EventStream, expected: EventStream) -> None:
    for name in ("t_us", "x", "y", "polarity"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert (found.width, found.height) == (expected.width, expected.height)


@settings(max_examples=40, deadline=None)
@given(streams(), st.sampled_from((1, 7, 100)))
def test_background_activity_keeps_what_one_of_eight_neighbours_explains(events, window_us):
    around = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy]

    def is_explained(t, x, y, latest, kept):
        del kept
        return any(t - latest.get((x + dx, y + dy), -1_000_000) < window_us for dx, dy in around)

    expected = kept_one_by_one(events, is_explained)

    assert_same(filter_background_activity(events, window_us=window_us), expected)


@settings(max_examples=40, deadline=None)
@given(streams(), st.sampled_from((1, 7, 100)))
def test_a_refractory_period_counts_from_the_last_event_kept(events, period_us):
    expected = kept_one_by_one(
        events, lambda t, x, y, _, kept: t - kept.get((x, y), -1_000_000) >= period_us
    )

    assert_same(filter_refractory_period(events, period_us=period_us), expected)


@settings(max_examples=40, deadline=None)
@given(
    streams(),
    st.lists(st.integers(0, 120), max_size=5),
    st.sampled_from(
        (
            lambda: BackgroundActivity(20),
            lambda: RefractoryPeriod(20),
            lambda: EventRateLimit(1e5, 30),
        )
    ),
)
def test_pieces_give_what_the_whole_gives(events, cuts, start):
    borders = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    running = start()
    parts = [running.push(events.part(slice(*pair))) for pair in pairwise(borders)]

    whole = start().push(events)

    for name in ("t_us", "x", "y", "polarity"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name))


def test_a_filter_refuses_a_piece_of_another_sensor():
    running = RefractoryPeriod(10)
    running.push(few([1], [1], [1]))

    with pytest.raises(RecordingError, match="a 6×5 sensor as before, got 64×48"):
        running.push(stream())


def test_a_busy_pixel_among_quiet_ones_is_hot_and_a_busy_area_is_not():
    x = np.array([*[3] * 60, *[0, 1] * 60])
    y = np.array([*[3] * 60, *[0, 1] * 30, *[1, 0] * 30])
    events = few(np.arange(len(x)), x, y)

    mask = find_hot_pixels(events, least=10)

    assert np.argwhere(mask).tolist() == [[3, 3]]
    assert len(mask_pixels(events, mask)) == 120
    assert not find_hot_pixels(events, least=61).any()
    assert not find_hot_pixels(EventStream.empty(width=1, height=1)).any()


def test_an_interval_lets_its_first_events_pass():
    events = few([0, 1, 2, 9, 10, 19, 25], [0] * 7, [0] * 7)

    kept = limit_event_rate(events, rate_hz=2e5, interval_us=10)

    assert kept.t_us.tolist() == [0, 1, 10, 19, 25]


def test_polarities_are_exchanged():
    events = stream()
    np.testing.assert_array_equal(flip_polarity(events).polarity, ~events.polarity)


@pytest.fixture
def calibration(tmp_path):
    path = tmp_path / "camera.yaml"
    path.write_text(OPENCV)
    return path


def test_what_a_lens_bends_is_bent_back(calibration):
    lens = read_calibration(calibration)
    ideal = np.array([[31.5, 23.5], [5.0, 4.0], [60.0, 44.0], [2.0, 40.0]])

    seen = lens.distort(ideal)

    assert np.abs(seen - ideal).max() > 1
    np.testing.assert_allclose(lens.undistort(seen), ideal, atol=1e-3)


def test_distortion_is_that_of_opencv(calibration):
    # cv2.projectPoints of opencv-python-headless 5.0.0 on these pixels of an ideal lens.
    ideal = np.array([[10.0, 10.0], [40.0, 30.0], [2.0, 40.0]])
    expected = np.array([[11.0619, 10.6911], [39.9109, 29.9367], [4.4250, 38.6407]])

    found = read_calibration(calibration).distort(ideal)

    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_events_and_frames_are_undistorted_alike(calibration):
    lens = read_calibration(calibration)
    spot = np.zeros((1, 48, 64, 3), np.uint8)
    spot[:, 9:12, 9:12] = 255
    events = EventStream.from_arrays([1], [10], [10], [True], width=64, height=48)
    straight = undistort(Recording(events, FrameSequence.from_images(spot), "made"), lens)

    y, x = np.unravel_index(straight.frames[0][..., 0].argmax(), (48, 64))
    assert abs(int(x) - int(straight.events.x[0])) <= 1
    assert abs(int(y) - int(straight.events.y[0])) <= 1
    with pytest.raises(RecordingError, match=r"expected 64×48 pixels, .* got 6×5"):
        undistort(Recording(few([1], [1], [1]), None, "made"), lens)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"D": [0, 0, 0, 0]}, "a key of camera_matrix"),
        ({"K": [1, 0, 0, 0, 1, 0, 0, 0, 1], "D": [0, 0]}, "expected 4 or 5 or 8 numbers"),
        ({"K": [[1, 0, "x"]], "D": [0] * 4}, "K: expected numbers"),
        ({"K": [-1, 0, 0, 0, 1, 0, 0, 0, 1], "D": [0] * 4}, "positive focal lengths"),
        ({"distortion_model": "equidistant"}, "radial and tangential distortion"),
        ([1], "expected keys and values"),
    ],
)
def test_what_is_no_calibration_is_refused(content, message, tmp_path):
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(content))

    with pytest.raises(RecordingError, match=message):
        read_calibration(path)


def test_a_tag_of_another_language_in_a_calibration_is_refused(tmp_path):
    path = tmp_path / "camera.yaml"
    path.write_text("K: !!python/object/apply:os.getcwd []\n")

    with pytest.raises(RecordingError, match="is no YAML"):
        read_calibration(path)


def test_filters_work_in_their_order_on_events_and_frames():
    whole = Recording(stream(), frames(), "made")

    part = filtered(whole, ["crop:x=8:y=4:width=32:height=40", "downsample:factor=2"])

    assert (part.events.width, part.events.height) == (16, 20)
    assert part.frames[0].shape == (20, 16, 3)
    assert filtered(whole, []) is whole


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("background_activty", "did you mean background_activity"),
        ("refractory_period:period=3", "no setting is called 'period'"),
        ("refractory_period:period_us=long", "expected a whole number as period_us, got 'long'"),
        ("refractory_period:period_us=0", "period_us of at least 1, got 0"),
        ("event_rate", "expected rate_hz, as in event_rate:rate_hz=…"),
        ("event_rate:rate_hz=nan", "expected a number as rate_hz"),
        ("event_rate:rate_hz=9:rate_hz=8", "rate_hz is given twice"),
        ("flip_polarity:x=1", "it has none"),
        ("hot_pixels:pixels=1,2", "expected pixels as COLUMNxROW"),
    ],
)
def test_a_wrong_filter_is_refused_with_what_would_be_right(text, message):
    with pytest.raises(RecordingError, match=message):
        parse_filter(text)


def test_hot_pixels_by_name_work_on_pieces_and_found_ones_do_not():
    events = few([1, 2, 3], [1, 2, 1], [1, 2, 1])
    chain = FilterChain(["hot_pixels:pixels=1x1"], in_pieces=True)

    assert len(chain.push(Recording(events, None, "made")).events) == 1
    with pytest.raises(RecordingError, match="expected pixels where a recording comes in pieces"):
        FilterChain(["hot_pixels"], in_pieces=True)
    with pytest.raises(RecordingError, match="pixels of a 6×5 sensor, got 9x9"):
        filtered(Recording(events, None, "made"), ["hot_pixels:pixels=9x9"])


def test_every_filter_has_a_sentence():
    assert all(row.__doc__ for row in FILTERS.values())
