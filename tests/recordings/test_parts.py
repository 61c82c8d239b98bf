"""Parts of recordings, by times and by numbers of frames."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from evlora.errors import RecordingError
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.parts import Part, microseconds, part_of

CLOCK_US = 5_000_000
"""What the camera's clock showed at the first event."""


def whole(*, events: bool = True, frames: bool = True, timed: bool = True) -> Recording:
    """An event each 10 ms for a second, and ten frames that end at 100, 200, … 1000 ms."""
    t_us = CLOCK_US + np.arange(0, 1_000_000, 10_000)
    zeros = np.zeros(len(t_us), np.int64)
    stream = EventStream.from_arrays(t_us, zeros, zeros, zeros > 0, width=4, height=4)
    images = np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    ends_us = CLOCK_US + np.arange(100_000, 1_100_000, 100_000)
    sequence = FrameSequence.from_images(
        images.repeat(4, 1).repeat(4, 2),
        start_us=ends_us - 50_000 if timed else None,
        end_us=ends_us if timed else None,
    )
    return Recording(stream if events else None, sequence if frames else None, "test")


def shown(recording: Recording) -> list[int]:
    assert recording.frames is not None
    return [int(frame[0, 0, 0]) for frame in recording.frames.take(range(len(recording.frames)))]


def test_times_count_from_the_first_event() -> None:
    part = part_of(whole(), Part(200_000, 500_000))
    assert part.events is not None
    assert (part.events.first_us, part.events.last_us) == (CLOCK_US + 200_000, CLOCK_US + 490_000)
    assert shown(part) == [1, 2, 3]


def test_the_parts_of_a_division_hold_each_event_and_frame_once() -> None:
    cuts = [0, 130_000, 400_000, 730_000, None]
    parts = [part_of(whole(), Part(a or 0, b)) for a, b in pairwise(cuts)]
    assert sum(len(part.events) for part in parts if part.events) == 100
    assert [number for part in parts for number in shown(part)] == list(range(10))


def test_numbers_of_frames_take_the_events_since_the_frame_before() -> None:
    part = part_of(whole(), Part(2, 4, "frame"))
    assert shown(part) == [2, 3]
    assert part.events is not None
    assert (part.events.first_us, part.events.last_us) == (CLOCK_US + 200_000, CLOCK_US + 390_000)


def test_frames_without_times_are_counted() -> None:
    part = part_of(whole(events=False, timed=False), Part(7, None, "frame"))
    assert shown(part) == [7, 8, 9]


def test_a_video_counts_its_time_from_the_first_frame() -> None:
    assert shown(part_of(whole(events=False), Part(0, 300_000))) == [0, 1, 2]


def test_an_end_a_little_behind_the_last_event_is_taken() -> None:
    assert shown(part_of(whole(), Part(500_000, 1_000_000))) == [4, 5, 6, 7, 8]
    assert shown(part_of(whole(), Part(500_000, 1_040_000))) == [4, 5, 6, 7, 8, 9]


def test_event_images_go_with_their_frames() -> None:
    recording = whole()
    part = part_of(replace(recording, event_images=recording.frames), Part(2, 4, "frame"))
    assert part.event_images is not None
    assert len(part.event_images) == 2


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Part(500_000, 200_000), "expected an end behind the start, got 500000 to 200000"),
        (Part(-1, 200_000), "expected a start of 0 or more"),
        (Part(2_000_000, None), r"within the recording's 1000001 µs .*got 2000000-end µs"),
        (Part(500_000, 3_000_000), "within the recording's 1000001 µs"),
        (Part(4, 11, "frame"), "within the recording's 10 frames, got 4-11 frames"),
        (Part(10, None, "frame"), "within the recording's 10 frames"),
        (Part(1_000, 2_000), "expected events or frames in the part 1000-2000 µs, found none"),
    ],
)
def test_a_part_outside_the_recording_is_refused(part: Part, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        part_of(whole(), part)


def test_what_a_recording_does_not_have_is_refused() -> None:
    with pytest.raises(RecordingError, match="expected frames to count"):
        part_of(whole(frames=False), Part(0, 2, "frame"))
    with pytest.raises(RecordingError, match="frames with times, got neither"):
        part_of(whole(events=False, timed=False), Part(0, 100))


def test_parts_that_touch_do_not_overlap() -> None:
    assert not Part(0, 10).overlaps(Part(10, 20))
    assert not Part(10, None).overlaps(Part(0, 10))
    assert Part(0, 11).overlaps(Part(10, 20))
    assert Part(5, None).overlaps(Part(10, 20))
    assert Part(0, 10).overlaps(Part(90, 95, "frame"))  # nothing shows that it does not


@pytest.mark.parametrize(
    ("text", "us"), [("1.5s", 1_500_000), ("300 ms", 300_000), ("20us", 20), ("2", 2_000_000)]
)
def test_times_have_units(text: str, us: int) -> None:
    assert microseconds(text) == us


@pytest.mark.parametrize("text", ["", "nan", "1h", "-1s", "1.5.s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time such as"):
        microseconds(text)
