"""What `evlora play` draws."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evlora.errors import RecordingError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.playing import Shown, half_blocks, play, with_strip
from evlora.recordings.rendering import save_animation

WHITE, RED = (255, 255, 255), (220, 0, 0)


@pytest.fixture
def recording() -> Recording:
    """100 ms: a frame every 20 ms whose grey is its number, an ON event every ms at (2, 1)."""
    times = np.arange(100) * 1000
    twos = np.full(100, 2)
    events = EventStream.from_arrays(times, twos, twos // 2, twos // 2, width=8, height=6)
    images = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 6, 8), np.uint8)
    starts = 20_000 * np.arange(5)
    frames = FrameSequence.from_images(images, start_us=starts, end_us=starts + 19_999)
    return Recording(events, frames, "memory")


def test_each_picture_shows_the_frame_and_the_events_until_then(recording: Recording) -> None:
    shown = list(play(recording, rate_hz=50))
    assert [one.time_us for one in shown] == [20_000, 40_000, 60_000, 80_000, 100_000]
    for number, one in enumerate(shown):
        assert one.image.shape == (6, 8 + 4 + 8, 3)
        assert (one.image[:, :8] == number).all()
        assert (one.image[1, 14] != WHITE).any()
        assert (one.image[0, 12:] == WHITE).all()


def test_slow_motion_has_more_pictures_and_each_fewer_events(recording: Recording) -> None:
    assert len(list(play(recording, rate_hz=50, slow=4))) == 20
    assert len(list(play(recording, rate_hz=50, slow=0.5))) == 3
    assert recording.events is not None
    sparse = Recording(recording.events.between(0, 10_000), recording.frames, "memory")
    empty = list(play(sparse, rate_hz=50))[2]
    lingering = list(play(sparse, rate_hz=50, window_us=60_000))[2]
    assert (empty.image[:, 12:] == WHITE).all()
    assert (lingering.image[1, 14] != WHITE).any()


def test_nothing_to_play_and_too_much_are_errors(recording: Recording) -> None:
    with pytest.raises(RecordingError, match="expected events or frames to play"):
        next(play(Recording(None, None, "memory"), rate_hz=25))
    with pytest.raises(RecordingError, match="play a part of it"):
        next(play(recording, rate_hz=240, slow=1e6))


def test_a_terminals_characters_show_two_pixels_each() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[0] = RED
    lines = half_blocks(image, columns=4, rows=2, is_true_colour=True).split("\n")
    assert lines[0] == "\x1b[38;2;220;0;0;48;2;0;0;0m▀" * 4 + "\x1b[0m"
    assert len(lines) == 2
    few = half_blocks(image, columns=4, rows=2, is_true_colour=False)
    assert few.startswith("\x1b[38;5;160;48;5;16m▀")
    narrow = half_blocks(image, columns=2, rows=9, is_true_colour=True)
    assert narrow.count("▀") == 2


def test_a_label_is_written_under_the_picture() -> None:
    shown = Shown(5, 5, np.zeros((10, 10, 3), np.uint8))
    plain, labelled = with_strip(shown, ""), with_strip(shown, "cat\x1b[2J  90%")
    assert plain.shape == labelled.shape == (320 + 28, 320, 3)
    assert (plain != labelled).any()
    assert (plain[:320] == labelled[:320]).all()
    with_strip(shown, "long " * 100)  # is cut


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_what_is_played_is_written_whole_or_not_at_all(
    recording: Recording, tmp_path: Path, suffix: str
) -> None:
    pictures = [with_strip(one, "") for one in play(recording, rate_hz=50)]
    path = tmp_path / f"played{suffix}"
    save_animation(pictures, path, pictures_per_second=12.5)
    if suffix != ".mp4":
        with Image.open(path) as opened:
            opened.load()
            assert opened.n_frames == 5  # pyright: ignore[reportAttributeAccessIssue]
            assert opened.info["duration"] == 80
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
