"""Parts of recordings: what is in them and what is not."""

import numpy as np
import pytest
from recording_samples import HEIGHT, WIDTH, frames, stream

from evlora.errors import RecordingError
from evlora.recordings import Recording
from evlora.recordings.excerpts import between, cropped, downsampled, split_at_triggers
from evlora.recordings.triggers import Triggers


def whole() -> Recording:
    triggers = Triggers.from_arrays([60_000, 20_000, 140_000, 60_500], [0, 0, 0, 1], [1, 1, 1, -1])
    return Recording(stream(), frames(), "made", triggers=triggers)


def test_a_part_of_the_time_holds_what_lies_in_it():
    part = between(whole(), 50_000, 150_000)

    t_us = stream().t_us
    expected = t_us[(t_us >= 50_000) & (t_us < 150_000)]
    np.testing.assert_array_equal(part.events.t_us, expected)
    assert part.frames.end_us.tolist() == [50_000, 100_000]
    np.testing.assert_array_equal(part.frames.take([1]), frames().take([1]))
    assert part.triggers.t_us.tolist() == [60_000, 60_500, 140_000]


def test_a_part_without_frames_has_none():
    assert between(whole(), 0, 10).frames is None


def test_an_end_before_the_start_is_refused():
    with pytest.raises(RecordingError, match="an end behind 10 µs, got 5"):
        between(whole(), 10, 5)


def test_a_crop_moves_the_origin_and_takes_the_frames_with_it():
    events = stream()
    part = cropped(whole(), x=10, y=5, width=20, height=8)

    is_inside = (events.x >= 10) & (events.x < 30) & (events.y >= 5) & (events.y < 13)
    np.testing.assert_array_equal(part.events.x, events.x[is_inside] - 10)
    np.testing.assert_array_equal(part.events.y, events.y[is_inside] - 5)
    assert (part.events.width, part.events.height) == (20, 8)
    np.testing.assert_array_equal(part.frames[2], frames()[2][5:13, 10:30])
    assert (part.frames.width, part.frames.height) == (20, 8)


def test_a_crop_beyond_the_sensor_is_refused():
    with pytest.raises(RecordingError, match=f"within {WIDTH}×{HEIGHT} pixels"):
        cropped(whole(), x=60, y=0, width=20, height=8)


def test_fewer_pixels_keep_the_events_of_whole_ones_and_average_frames():
    events = stream()
    part = downsampled(whole(), 5)  # 64×48 becomes 12×9, three columns and rows are cut off

    is_inside = (events.x < 60) & (events.y < 45)
    np.testing.assert_array_equal(part.events.x, events.x[is_inside] // 5)
    np.testing.assert_array_equal(part.events.t_us, events.t_us[is_inside])
    assert (part.events.width, part.events.height) == (12, 9)
    assert part.frames[0].shape == (9, 12, 3)
    assert abs(int(part.frames[0][2, 3, 1]) - frames()[0][10:15, 15:20, 1].mean()) <= 0.5


def test_a_factor_that_leaves_no_pixel_is_refused():
    with pytest.raises(RecordingError, match=f"a factor of 1 to {HEIGHT}, got 49"):
        downsampled(whole(), 49)


def test_a_recording_is_split_from_each_trigger_to_the_next():
    samples = list(split_at_triggers(whole(), channel=0))

    starts = [20_000, 60_000, 140_000]
    assert [sample.triggers.t_us[0] for sample in samples] == starts
    t_us = stream().t_us
    assert sum(len(sample.events) for sample in samples) == int((t_us >= 20_000).sum())
    assert all(sample.events.first_us >= t for sample, t in zip(samples, starts, strict=True))
    assert sum(len(sample.frames or ()) for sample in samples) == 3


def test_triggers_of_one_polarity_are_chosen():
    assert len(list(split_at_triggers(whole(), polarity=-1))) == 1


def test_a_recording_without_such_triggers_is_refused():
    with pytest.raises(RecordingError, match=r"expected triggers .* got inputs \[0, 1\]"):
        list(split_at_triggers(whole(), channel=5))
