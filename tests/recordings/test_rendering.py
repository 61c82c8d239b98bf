"""Pictures of recordings: right way up, right colours, in files that open again."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from evlora.errors import RecordingError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.rendering import (
    FEWEST_PICTURES,
    LEGIBLE_PX,
    MOST_PICTURES,
    animate,
    animation_windows,
    draw_activity,
    draw_events,
    draw_over_frame,
    enlarged,
    save_animation,
    save_picture,
)

ON, OFF, WHITE = [220, 30, 30], [30, 30, 200], [255, 255, 255]
WIDTH, HEIGHT = 6, 4


def stream(*rows: tuple[int, int, int, bool]) -> EventStream:
    t_us, x, y, polarity = zip(*rows, strict=True) if rows else ((), (), (), ())
    return EventStream.from_arrays(t_us, x, y, polarity, width=WIDTH, height=HEIGHT)


def frames_at(*ends_us: int, value: int = 100) -> FrameSequence:
    images = np.full((len(ends_us), HEIGHT, WIDTH, 3), value, np.uint8)
    images[:] += np.arange(len(ends_us), dtype=np.uint8)[:, None, None, None]
    return FrameSequence.from_images(images, start_us=ends_us)


@pytest.fixture
def events() -> EventStream:
    """ON at the top right at 10 µs, OFF at the bottom left at 20 µs."""
    return stream((10, WIDTH - 1, 0, True), (20, 0, HEIGHT - 1, False))


# --- single pictures ----------------------------------------------------------------------------


def test_events_are_drawn_right_way_up_in_their_colours(events: EventStream):
    picture = draw_events(events, start_us=0, end_us=100)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture[0, -1].tolist() == ON
    assert picture[-1, 0].tolist() == OFF
    assert (picture != 255).any(axis=-1).sum() == 2


def test_only_the_events_of_the_window_are_drawn(events: EventStream):
    picture = draw_events(events, start_us=10, end_us=20)
    assert picture[0, -1].tolist() == ON
    assert picture[-1, 0].tolist() == WHITE


def test_a_frame_is_pale_under_events_that_keep_their_colours(events: EventStream):
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[:, 3:] = 200
    picture = draw_over_frame(events, frame, start_us=0, end_us=100)
    assert picture[0, -1].tolist() == ON
    assert picture[-1, 0].tolist() == OFF
    assert picture[1, 0].tolist() == [127, 127, 127]
    assert picture[1, -1].tolist() == [227, 227, 227]


def test_a_frame_of_another_size_is_scaled_to_the_sensor(events: EventStream):
    frame = np.zeros((3 * HEIGHT, 3 * WIDTH, 3), np.uint8)
    frame[:, 9:] = 255
    picture = draw_over_frame(events, frame, start_us=0, end_us=1)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture[0, 0, 0] < picture[0, -1, 0]


def test_activity_shows_more_events_darker_and_each_polarity_in_its_colour():
    rows = [(t, 0, 0, True) for t in range(20)] + [(20, 1, 0, True), (21, 2, 0, False)]
    picture = draw_activity(stream(*rows)).astype(int)
    assert picture[0, 0].tolist() == ON
    assert picture[0, 1].sum() > picture[0, 0].sum()
    assert picture[0, 1, 0] > picture[0, 1, 2]
    assert picture[0, 2, 0] < picture[0, 2, 2]
    assert picture[1, 1].tolist() == WHITE
    assert (draw_activity(stream()) == 255).all()


@pytest.mark.parametrize(("size", "factor"), [((34, 34), 15), ((240, 320), 2), ((720, 1280), 1)])
def test_small_sensors_are_enlarged_by_whole_pixels(size: tuple[int, int], factor: int):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    large = enlarged(picture)
    assert max(large.shape) >= LEGIBLE_PX
    assert large.shape == (factor * size[0], factor * size[1], 3)
    np.testing.assert_array_equal(large[::factor, ::factor], picture)


# --- animations ---------------------------------------------------------------------------------


def test_an_animation_of_events_shows_every_event_once():
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, 3_000_000, 500))
    zeros = np.zeros(500, np.int64)
    events = EventStream.from_arrays(times, zeros, zeros, zeros, width=1, height=1)
    windows_us, numbers = animation_windows(Recording(events, None, "test"))
    assert numbers is None
    assert sum(len(events.between(*window)) for window in windows_us.tolist()) == 500
    assert len(windows_us) == 75


@pytest.mark.parametrize(("last_us", "count"), [(5_000, FEWEST_PICTURES), (10**9, MOST_PICTURES)])
def test_short_and_long_recordings_have_a_bounded_number_of_pictures(last_us: int, count: int):
    recording = Recording(stream((0, 0, 0, True), (last_us, 0, 0, True)), None, "test")
    assert len(list(animate(recording))) == count


def test_each_frame_is_shown_with_the_events_since_the_one_before():
    events = stream((5, 0, 0, True), (15, 1, 0, True), (25, 2, 0, True), (35, 3, 0, True))
    recording = Recording(events, frames_at(10, 20, 30), "test")
    pictures = [picture[:: 480 // 6, :: 480 // 6] for picture in animate(recording)]
    assert len(pictures) == 3
    for number, picture in enumerate(pictures):
        is_on = (picture == ON).all(axis=-1)
        assert np.argwhere(is_on).tolist() == [[0, number]]


def test_many_frames_are_pruned_evenly():
    recording = Recording(stream((0, 0, 0, True)), frames_at(*range(10, 2510, 10)), "test")
    windows_us, numbers = animation_windows(recording)
    assert numbers is not None
    assert len(numbers) == len(windows_us) == MOST_PICTURES
    assert numbers[-1] == 249
    assert set(np.diff(numbers)) == {1, 2}


def test_frames_without_events_or_times_are_shown_as_they_are():
    images = np.arange(2 * HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(2, HEIGHT, WIDTH, 3)
    recording = Recording(None, FrameSequence.from_images(images), "test")
    pictures = list(animate(recording))
    np.testing.assert_array_equal(np.stack(pictures)[:, ::80, ::80], images)


@pytest.mark.parametrize("events", [None, stream()], ids=["none", "empty"])
def test_a_recording_of_nothing_is_refused(events: EventStream | None):
    with pytest.raises(RecordingError, match="expected events or frames to show, got neither"):
        list(animate(Recording(events, None, "test")))


# --- files --------------------------------------------------------------------------------------


def test_a_picture_comes_back_from_its_file(tmp_path: Path, events: EventStream):
    picture = draw_events(events, start_us=0, end_us=100)
    save_picture(picture, tmp_path / "events.png")
    with Image.open(tmp_path / "events.png") as image:
        np.testing.assert_array_equal(np.asarray(image), picture)


def test_a_gif_repeats_and_keeps_the_colours(tmp_path: Path, events: EventStream):
    path = tmp_path / "events.gif"
    pictures = [draw_events(events, start_us=start, end_us=start + 10) for start in (10, 20)]
    save_animation(iter(pictures), path, pictures_per_second=10)
    with Image.open(path) as image:
        assert image.n_frames == 2
        assert image.info["loop"] == 0
        assert image.info["duration"] == 100
        for number, picture in enumerate(pictures):
            image.seek(number)
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), picture)


def test_an_mp4_shows_the_pictures_even_of_an_odd_size(tmp_path: Path):
    import av

    def picture(row: int) -> NDArray[np.uint8]:
        image = np.full((45, 61, 3), 255, np.uint8)
        image[8 * row : 8 * row + 8] = ON
        return image

    path = tmp_path / "events.mp4"
    save_animation((picture(row) for row in range(5)), path)
    with av.open(str(path)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(shown) == 5
    for row, image in enumerate(shown):
        assert image.shape == (46, 62, 3)
        np.testing.assert_allclose(image[8 * row + 3, 30], ON, atol=25)


@pytest.mark.parametrize("name", ["events.avi", "events", "events.png"])
def test_an_animation_of_another_kind_is_refused(tmp_path: Path, name: str):
    with pytest.raises(RecordingError, match=r"ends in \.gif, \.webp, \.mp4 for the animation"):
        save_animation([np.zeros((2, 2, 3), np.uint8)], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_an_animation_without_pictures_is_refused(tmp_path: Path):
    with pytest.raises(RecordingError, match="at least one picture to show"):
        save_animation([], tmp_path / "events.gif")
    assert list(tmp_path.iterdir()) == []


def test_an_animation_that_fails_half_way_leaves_nothing(tmp_path: Path):
    def pictures():
        yield np.zeros((2, 2, 3), np.uint8)
        raise RecordingError("the file ended")

    for name in ("events.gif", "events.mp4"):
        with pytest.raises(RecordingError, match="the file ended"):
            save_animation(pictures(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []
