"""Frames and event images that lie in two folders: which belong together."""

import warnings

import numpy as np
import pytest
from PIL import Image

from evlora.errors import DatasetError, RecordingError, RecordingWarning
from evlora.recordings import FrameSequence, Recording, open_recording
from evlora.recordings.opening import open_pictures


@pytest.fixture
def folder_of(tmp_path):
    """Writes a folder of pictures whose first pixel is the picture's number."""

    def write(name, numbers):
        folder = tmp_path / name
        folder.mkdir()
        for number in numbers:
            pixels = np.full((4, 5, 3), number, np.uint8)
            Image.fromarray(pixels).save(folder / f"seq-2021_09_28-{number:08d}.png")
        return folder

    return write


def numbers_in(sequence):
    return sequence.take(range(len(sequence)))[:, 0, 0, 0].tolist()


def opened(frames, event_images):
    recording = open_pictures(frames, event_images)
    return numbers_in(recording.frames), numbers_in(recording.event_images)


def test_as_many_of_one_as_of_the_other_are_pairs_in_their_order(folder_of):
    aps, dvs = folder_of("aps", [0, 5, 10]), folder_of("dvs", [0, 5, 10])
    assert opened(aps, dvs) == ([0, 5, 10], [0, 5, 10])


@pytest.mark.parametrize("others", [[0, 1, 2], [1, 6, 11]])
def test_numbers_of_another_step_or_start_are_pairs_in_their_order_where_none_is_missing(
    folder_of, others
):
    assert opened(folder_of("aps", [0, 5, 10]), folder_of("dvs", others)) == ([0, 5, 10], others)


def test_pictures_without_a_partner_are_skipped_and_reported(folder_of):
    aps, dvs = folder_of("aps", [0, 5, 10, 15]), folder_of("dvs", [5, 15, 20, 25, 30])
    with pytest.warns(RecordingWarning, match=r"aps: 2 of 4 frames and 5 event images.*skipped"):
        assert opened(aps, dvs) == ([5, 15], [5, 15])


def test_different_pictures_missing_on_both_sides_shift_nothing(folder_of):
    aps, dvs = folder_of("aps", [0, 1, 3, 4]), folder_of("dvs", [0, 1, 2, 4])
    with pytest.warns(RecordingWarning, match="3 of 4 frames and 4"):
        assert opened(aps, dvs) == ([0, 1, 4], [0, 1, 4])


def test_the_step_of_each_folder_is_found_from_its_files(folder_of):
    aps, dvs = folder_of("aps", range(6)), folder_of("dvs", [5, 10, 20])
    with pytest.warns(RecordingWarning, match="3 of 6 frames and 3"):
        assert opened(aps, dvs) == ([1, 2, 4], [5, 10, 20])


def test_equal_numbers_come_before_equal_steps(folder_of):
    aps, dvs = folder_of("aps", range(12)), folder_of("dvs", [0, 5, 10])
    with pytest.warns(RecordingWarning, match="3 of 12 frames"):
        assert opened(aps, dvs) == ([0, 5, 10], [0, 5, 10])


def test_no_number_in_common_shows_both_lists(folder_of):
    aps, dvs = folder_of("aps", [1, 2, 4, 8]), folder_of("dvs", [16, 17, 33])
    with pytest.raises(DatasetError) as caught:
        open_pictures(aps, dvs)
    message = str(caught.value)
    assert "00000001.png" in message
    assert "00000016.png" in message
    assert "of one recording" in message


def test_names_without_numbers_cannot_differ_in_count(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (5, 4)).save(tmp_path / name)
    with pytest.raises(DatasetError, match="as many of one as of the other"):
        open_pictures([tmp_path / "a.png"], [tmp_path / "a.png", tmp_path / "b.png"])


def test_event_images_alone_are_a_recording(folder_of):
    recording = open_pictures(None, folder_of("dvs", [0, 5]))
    assert recording.frames is None
    assert numbers_in(recording.event_images) == [0, 5]


def test_frames_keep_their_times_when_some_are_skipped(folder_of, tmp_path):
    events = tmp_path / "events.npz"
    np.savez(events, t=[0, 99], x=[0, 1], y=[0, 1], p=[0, 1], width=5, height=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordingWarning)
        recording = open_recording(
            events, frames=folder_of("aps", range(4)), event_images=folder_of("dvs", [1, 3])
        )
    assert recording.frames.start_us.tolist() == [25, 75]
    assert len(recording.events) == 2


def test_a_recording_holds_one_event_image_for_each_frame():
    frames = FrameSequence.from_images(np.zeros((3, 4, 5), np.uint8))
    event_images = FrameSequence.from_images(np.zeros((2, 4, 5), np.uint8))
    with pytest.raises(RecordingError, match="each of 3 frames, got 2"):
        Recording(None, frames, "test", event_images=event_images)
