"""Representations: every event counts once, at its pixel, in its window, in its colour."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evlora.errors import ShapeError
from evlora.recordings import EventStream
from evlora.recordings.representations import (
    EVENTS_AT_ONCE,
    REPRESENTATIONS,
    as_rgb_images,
    equal_windows,
    event_image,
    polarity_counts,
    time_surface,
    voxel_grid,
)

WIDTH, HEIGHT = 5, 3
ON, OFF, WHITE = (220, 30, 30), (30, 30, 200), (255, 255, 255)

Event = tuple[int, int, int, bool]
EVENTS = st.lists(
    st.tuples(
        st.integers(-50, 50),
        st.integers(0, WIDTH - 1),
        st.integers(0, HEIGHT - 1),
        st.booleans(),
    ),
    max_size=40,
)
WINDOWS = st.lists(
    st.tuples(st.integers(-60, 60), st.integers(0, 60)).map(lambda pair: [pair[0], sum(pair)]),
    min_size=1,
    max_size=4,
).map(np.array)


def stream_of(rows: list[Event]) -> EventStream:
    t_us, x, y, polarity = zip(*rows, strict=True) if rows else ((), (), (), ())
    return EventStream.from_arrays(t_us, x, y, polarity, width=WIDTH, height=HEIGHT, sort=True)


def random_stream(count: int, *, width: int, height: int, seed: int = 0) -> EventStream:
    generator = np.random.default_rng(seed)
    return EventStream.from_arrays(
        np.sort(generator.integers(0, 1_000_000, count)),
        generator.integers(0, width, count),
        generator.integers(0, height, count),
        generator.random(count) < 0.5,
        width=width,
        height=height,
    )


def colour(image: NDArray[np.uint8], x: int, y: int) -> tuple[int, ...]:
    return tuple(int(value) for value in image[:, y, x])


# --- windows ------------------------------------------------------------------------------------


@given(EVENTS.filter(bool), st.integers(1, 9))
def test_equal_windows_touch_and_hold_every_event(rows: list[Event], count: int):
    events = stream_of(rows)
    windows = equal_windows(events, count)
    assert windows.shape == (count, 2)
    assert windows[0, 0] == events.first_us
    assert windows[-1, 1] == events.last_us + 1
    assert (windows[1:, 0] == windows[:-1, 1]).all()
    assert np.ptp(windows[:, 1] - windows[:, 0]) <= 1
    assert sum(len(events.between(*window)) for window in windows.tolist()) == len(events)


def test_a_stream_without_events_gives_windows_of_no_length():
    windows = equal_windows(stream_of([]), 3)
    assert windows.tolist() == [[0, 0]] * 3


@pytest.mark.parametrize(
    "windows",
    [np.zeros(2, np.int64), np.zeros((1, 3), np.int64), np.zeros((1, 2)), np.array([[5, 4]])],
    ids=["one axis", "three columns", "not whole", "end before start"],
)
@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_windows_that_make_no_sense_are_refused(name: str, windows: NDArray[np.int64]):
    with pytest.raises(ShapeError, match="windows: expected"):
        REPRESENTATIONS[name](stream_of([(1, 1, 1, True)]), windows)


def test_numbers_out_of_range_are_refused():
    events, windows = stream_of([(1, 1, 1, True)]), np.array([[0, 2]])
    with pytest.raises(ShapeError, match="at least 1, got 0"):
        equal_windows(events, 0)
    with pytest.raises(ShapeError, match="at least 1 bin, got 0"):
        voxel_grid(events, windows, bins=0)
    with pytest.raises(ShapeError, match="above 0 µs, got 0"):
        time_surface(events, windows, decay_us=0)
    with pytest.raises(ShapeError, match=r"'picture'; there are: event_image, polarity_counts"):
        as_rgb_images(events, windows, representation="picture")


# --- every representation -----------------------------------------------------------------------


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_an_empty_stream_shows_the_same_nothing_everywhere(name: str):
    windows = np.array([[0, 10], [10, 10]])
    empty = REPRESENTATIONS[name](stream_of([]), windows)
    assert empty.shape[0] == 2
    assert empty.shape[2:] == (HEIGHT, WIDTH)
    assert len(np.unique(empty)) == 1
    rgb = as_rgb_images(stream_of([]), windows, representation=name)
    assert (rgb == rgb[:1, :, :1, :1]).all()


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_an_event_changes_its_own_pixel_alone_even_in_the_corners(name: str):
    windows = np.array([[0, 10]])
    background = as_rgb_images(stream_of([]), windows, representation=name)
    for x, y in [(0, 0), (WIDTH - 1, 0), (0, HEIGHT - 1), (WIDTH - 1, HEIGHT - 1)]:
        for is_on in (False, True):
            rgb = as_rgb_images(stream_of([(5, x, y, is_on)]), windows, representation=name)
            changed = (rgb != background).any(axis=(0, 1))
            assert np.argwhere(changed).tolist() == [[y, x]]


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_rgb_images_have_three_channels_of_bytes(name: str):
    events = random_stream(3000, width=20, height=10)
    rgb = as_rgb_images(events, equal_windows(events, 4), representation=name)
    assert rgb.shape == (4, 3, 10, 20)
    assert rgb.dtype == np.uint8
    assert len(np.unique(rgb)) > 1


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_a_slice_does_not_depend_on_the_other_windows_or_on_events_outside(name: str):
    events = random_stream(3000, width=20, height=10)
    windows = equal_windows(events, 5)
    together = REPRESENTATIONS[name](events, windows)
    for number in range(5):
        alone = REPRESENTATIONS[name](events.between(*windows[number].tolist()), windows[[number]])
        np.testing.assert_array_equal(together[[number]], alone)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_more_events_than_are_painted_at_once_are_all_painted(name: str):
    events = random_stream(2 * EVENTS_AT_ONCE + 17, width=30, height=20)
    window = equal_windows(events, 1)
    whole = REPRESENTATIONS[name](events, window)
    halves = [
        REPRESENTATIONS[name](events.part(part), window)
        for part in (slice(0, EVENTS_AT_ONCE + 5), slice(EVENTS_AT_ONCE + 5, None))
    ]
    joined = {
        "event_image": lambda: expected_image(events, window),
        "polarity_counts": lambda: halves[0] + halves[1],
        "voxel_grid": lambda: halves[0] + halves[1],
        "time_surface": lambda: np.maximum(halves[0], halves[1]),
    }[name]()
    np.testing.assert_allclose(whole, joined, rtol=0, atol=1e-3)


# --- event image --------------------------------------------------------------------------------


def expected_image(events: EventStream, windows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Painted one event after the other: white, then every ON event, then every OFF event."""
    images = np.full((len(windows), events.height, events.width, 3), 255, np.uint8)
    for number, window in enumerate(windows.tolist()):
        part = events.between(*window)
        for is_on, paint in ((True, ON), (False, OFF)):
            chosen = part.polarity == is_on
            images[number, part.y[chosen], part.x[chosen]] = paint
    return images.transpose(0, 3, 1, 2)


@given(EVENTS, WINDOWS)
def test_the_event_image_is_white_with_red_on_and_blue_off_on_top(
    rows: list[Event], windows: NDArray[np.int64]
):
    events = stream_of(rows)
    np.testing.assert_array_equal(event_image(events, windows), expected_image(events, windows))


def test_off_covers_on_whichever_came_last():
    events = stream_of([(1, 0, 0, False), (2, 0, 0, True), (1, 1, 0, True), (2, 1, 0, False)])
    image = event_image(events, np.array([[0, 10]]))[0]
    assert colour(image, 0, 0) == colour(image, 1, 0) == OFF
    assert colour(image, 2, 0) == WHITE


def test_an_event_at_the_border_belongs_to_the_window_that_starts_there():
    images = event_image(stream_of([(10, 2, 1, True)]), np.array([[0, 10], [10, 20]]))
    assert colour(images[0], 2, 1) == WHITE
    assert colour(images[1], 2, 1) == ON


# --- polarity counts ----------------------------------------------------------------------------


@given(EVENTS, st.integers(1, 6))
def test_the_counts_of_all_slices_sum_to_the_number_of_events(rows: list[Event], count: int):
    events = stream_of(rows)
    counts = polarity_counts(events, equal_windows(events, count))
    assert counts.shape == (count, 2, HEIGHT, WIDTH)
    assert counts.sum() == len(events)
    assert counts[:, 1].sum() == events.polarity.sum()


@given(EVENTS, WINDOWS)
def test_the_counts_are_those_of_counting_one_by_one(rows: list[Event], windows: NDArray[np.int64]):
    expected = np.zeros((len(windows), 2, HEIGHT, WIDTH), np.int32)
    for number, (start, end) in enumerate(windows.tolist()):
        for t_us, x, y, is_on in rows:
            expected[number, int(is_on), y, x] += start <= t_us < end
    np.testing.assert_array_equal(polarity_counts(stream_of(rows), windows), expected)


def test_a_pixel_may_count_beyond_two_bytes():
    count = 70_000
    zeros = np.zeros(count, np.int64)
    events = EventStream.from_arrays(zeros, zeros, zeros, zeros, width=1, height=1)
    assert polarity_counts(events, equal_windows(events, 1)).tolist() == [[[[count]], [[0]]]]


def test_counts_in_rgb_are_red_for_on_and_blue_for_off_and_saturate():
    rows = [(0, 0, 0, True)] + [(0, 1, 0, False)] * 3 + [(0, 2, 0, True)] * 4000
    image = as_rgb_images(stream_of(rows), np.array([[0, 1]]), representation="polarity_counts")[0]
    assert colour(image, 0, 0) == (127, 0, 0)
    assert colour(image, 1, 0) == (0, 0, 191)
    assert colour(image, 2, 0) == (254, 0, 0)
    assert colour(image, 3, 0) == (0, 0, 0)


# --- voxel grid ---------------------------------------------------------------------------------


def expected_voxels(
    rows: list[Event], windows: NDArray[np.int64], bins: int
) -> NDArray[np.float64]:
    """Zhu et al., CVPR 2019, equation 2, term by term: p · max(0, 1 − |b − t*|)."""
    grid = np.zeros((len(windows), bins, HEIGHT, WIDTH))
    for number, (start, end) in enumerate(windows.tolist()):
        for t_us, x, y, is_on in rows:
            if start <= t_us < end:
                moment = (bins - 1) * (t_us - start) / (end - start)
                for b in range(bins):
                    grid[number, b, y, x] += (1 if is_on else -1) * max(0, 1 - abs(b - moment))
    return grid


@given(EVENTS, WINDOWS, st.integers(1, 6))
def test_the_voxel_grid_is_that_of_its_equation(
    rows: list[Event], windows: NDArray[np.int64], bins: int
):
    grid = voxel_grid(stream_of(rows), windows, bins=bins)
    np.testing.assert_allclose(grid, expected_voxels(rows, windows, bins), rtol=0, atol=1e-4)


@pytest.mark.parametrize("is_on", [False, True])
@given(rows=EVENTS, count=st.integers(1, 5), bins=st.integers(1, 6))
def test_the_total_absolute_weight_of_one_polarity_is_its_number_of_events(
    is_on: bool, rows: list[Event], count: int, bins: int
):
    events = stream_of([(*row[:3], is_on) for row in rows])
    grid = voxel_grid(events, equal_windows(events, count), bins=bins)
    assert np.abs(grid).sum() == pytest.approx(len(events), abs=1e-3)
    assert grid.sum() == pytest.approx(len(events) if is_on else -len(events), abs=1e-3)


@given(EVENTS, st.integers(1, 6))
def test_the_voxel_grid_sums_to_on_minus_off(rows: list[Event], count: int):
    events = stream_of(rows)
    difference = 2 * int(events.polarity.sum()) - len(events)
    grid = voxel_grid(events, equal_windows(events, count))
    assert grid.sum() == pytest.approx(difference, abs=1e-3)


def test_the_last_microsecond_of_a_window_of_days_stays_inside_the_grid():
    end_us = 10**12 + 1
    events = stream_of([(0, 0, 0, True), (end_us - 1, WIDTH - 1, HEIGHT - 1, True)])
    grid = voxel_grid(events, np.array([[0, end_us]]), bins=7)
    assert grid[0, :, 0, 0].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert grid[0, :, HEIGHT - 1, WIDTH - 1] == pytest.approx([0, 0, 0, 0, 0, 0, 1], abs=1e-5)


def test_a_voxel_grid_in_rgb_is_grey_where_nothing_happened():
    rows = [(0, 0, 0, True), (0, 1, 0, False)]
    image = as_rgb_images(stream_of(rows), np.array([[0, 9]]), representation="voxel_grid")[0]
    assert colour(image, 0, 0) == (191, 128, 128)
    assert colour(image, 1, 0) == (64, 128, 128)
    assert colour(image, 2, 0) == (128, 128, 128)


# --- time surface -------------------------------------------------------------------------------


@given(EVENTS, WINDOWS, st.sampled_from([1.0, 20.0, 30_000.0]))
def test_the_time_surface_falls_from_the_last_event_of_each_polarity(
    rows: list[Event], windows: NDArray[np.int64], decay_us: float
):
    expected = np.zeros((len(windows), 2, HEIGHT, WIDTH))
    for number, (start, end) in enumerate(windows.tolist()):
        for t_us, x, y, is_on in rows:
            if start <= t_us < end:
                value = math.exp(-(end - t_us) / decay_us)
                expected[number, int(is_on), y, x] = max(expected[number, int(is_on), y, x], value)
    surface = time_surface(stream_of(rows), windows, decay_us=decay_us)
    np.testing.assert_allclose(surface, expected, rtol=1e-5, atol=1e-7)


def test_a_time_surface_in_rgb_is_red_for_on_and_blue_for_off():
    rows = [(29_999, 0, 0, True), (0, 1, 0, False)]
    image = as_rgb_images(stream_of(rows), np.array([[0, 30_000]]), representation="time_surface")[
        0
    ]
    assert colour(image, 0, 0) == (255, 0, 0)
    assert colour(image, 1, 0) == (0, 0, round(255 / math.e))


def test_nothing_changes_its_arguments():
    events = random_stream(500, width=20, height=10)
    windows = equal_windows(events, 3)
    before = [array.copy() for array in (events.t_us, events.x, events.y, events.polarity, windows)]
    for name, representation in REPRESENTATIONS.items():
        representation(events, windows)
        as_rgb_images(events, windows, representation=name)
    after = (events.t_us, events.x, events.y, events.polarity, windows)
    for was, now in zip(before, after, strict=True):
        np.testing.assert_array_equal(was, now)
