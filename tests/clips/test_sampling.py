"""Which moments stand for a recording, and which events belong to each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evlora.clips.sampling import Choice, choose_moments
from evlora.errors import DatasetError, RecordingError
from evlora.recordings import EventStream, FrameSequence, Recording


def events_at(*t_us):
    zeros = [0] * len(t_us)
    return EventStream.from_arrays(list(t_us), zeros, zeros, zeros, width=4, height=3)


def frames_ending_at(*end_us, exposure_us=2):
    ends = np.array(end_us)
    images = np.zeros((len(ends), 3, 4), np.uint8)
    return FrameSequence.from_images(images, start_us=ends - exposure_us, end_us=ends)


def untimed_frames(count):
    return FrameSequence.from_images(np.zeros((count, 3, 4), np.uint8))


def recording(events=None, frames=None):
    return Recording(events, frames, "test")


def test_evaluation_takes_the_middle_frame_of_each_segment():
    moments = choose_moments(recording(frames=untimed_frames(12)), 4)
    assert moments.frame_indices.tolist() == [1, 4, 7, 10]


def test_as_many_frames_as_moments_are_all_taken():
    moments = choose_moments(recording(frames=untimed_frames(5)), 5)
    assert moments.frame_indices.tolist() == [0, 1, 2, 3, 4]


@given(
    length=st.integers(1, 60),
    count=st.integers(1, 12),
    seed=st.one_of(st.none(), st.integers(0, 99)),
)
def test_with_enough_frames_the_moments_are_different_frames_in_order(length, count, seed):
    generator = None if seed is None else np.random.default_rng(seed)
    moments = choose_moments(recording(frames=untimed_frames(length)), count, generator=generator)
    steps = np.diff(moments.frame_indices)
    assert (steps > 0 if length >= count else steps >= 0).all()
    assert moments.frame_indices.min() >= 0
    assert moments.frame_indices.max() < length


def test_training_draws_every_frame_of_a_segment():
    frames, generator = untimed_frames(8), np.random.default_rng(0)
    drawn = {
        int(choose_moments(recording(frames=frames), 2, generator=generator).frame_indices[1])
        for _ in range(100)
    }
    assert drawn == {4, 5, 6, 7}


def test_a_frame_has_the_events_since_the_frame_before_it_even_if_that_was_not_chosen():
    moments = choose_moments(
        recording(events_at(0, 55), frames_ending_at(10, 20, 30, 40, 50, 60)), 2
    )
    assert moments.frame_indices.tolist() == [1, 4]
    assert moments.windows_us.tolist() == [[10, 20], [40, 50]]


def test_the_first_frame_has_an_interval_as_long_as_the_others():
    moments = choose_moments(recording(events_at(0, 200), frames_ending_at(100, 110, 120)), 3)
    assert moments.windows_us[0].tolist() == [90, 100]


def test_a_single_frame_has_all_events_before_its_end():
    moments = choose_moments(recording(events_at(3, 200), frames_ending_at(100)), 1)
    assert moments.windows_us.tolist() == [[3, 100]]


def test_the_window_exposure_holds_the_events_while_the_frame_was_exposed():
    moments = choose_moments(
        recording(events_at(0), frames_ending_at(10, 20, exposure_us=4)), 2, window="exposure"
    )
    assert moments.windows_us.tolist() == [[6, 10], [16, 20]]


def test_the_window_segment_skips_no_event_before_the_last_moment():
    moments = choose_moments(
        recording(events_at(5, 55), frames_ending_at(10, 20, 30, 40, 50, 60)), 2, window="segment"
    )
    assert moments.windows_us.tolist() == [[5, 20], [20, 50]]


def test_frames_without_exposure_do_not_allow_the_window_exposure():
    frames = frames_ending_at(10, 20, exposure_us=0)
    with pytest.raises(DatasetError, match="set window: frame"):
        choose_moments(recording(events_at(0), frames), 2, window="exposure")


def test_fewer_frames_than_moments_cut_the_recording_into_equal_windows():
    frames = frames_ending_at(2, 42, exposure_us=2)
    moments = choose_moments(recording(events_at(0, 79), frames), 4)
    assert moments.windows_us.tolist() == [[0, 20], [20, 40], [40, 60], [60, 80]]
    assert moments.frame_indices.tolist() == [0, 0, 1, 1]


def test_a_frame_that_starts_with_the_end_of_a_window_is_not_current_in_it():
    frames = frames_ending_at(1, 41, exposure_us=1)
    moments = choose_moments(recording(events_at(0, 79), frames), 4)
    assert moments.frame_indices.tolist() == [0, 0, 1, 1]


def test_before_the_first_frame_has_started_it_is_taken_all_the_same():
    moments = choose_moments(recording(events_at(0, 79), frames_ending_at(50, 70)), 4)
    assert moments.frame_indices.tolist() == [0, 0, 0, 1]


def test_events_alone_are_cut_into_equal_windows_that_hold_every_event():
    moments = choose_moments(recording(events_at(10, 11, 49)), 4)
    assert moments.frame_indices is None
    assert moments.windows_us.tolist() == [[10, 20], [20, 30], [30, 40], [40, 50]]


@given(span=st.integers(0, 500), count=st.integers(1, 12), seed=st.integers(0, 99))
def test_jittered_windows_touch_and_hold_every_event(span, count, seed):
    moments = choose_moments(
        recording(events_at(7, 7 + span)), count, generator=np.random.default_rng(seed)
    )
    starts, ends = moments.windows_us.T
    assert starts[0] == 7
    assert ends[-1] == 8 + span
    assert (starts[1:] == ends[:-1]).all()
    assert (starts <= ends).all()


def test_jitter_moves_the_edges_between_equal_windows():
    stream = recording(events_at(0, 999))
    jittered = choose_moments(stream, 4, generator=np.random.default_rng(0)).windows_us
    assert (jittered[1:, 0] != choose_moments(stream, 4).windows_us[1:, 0]).all()


def test_frames_without_times_are_taken_as_spread_over_the_events():
    moments = choose_moments(recording(events_at(0, 99), untimed_frames(2)), 2)
    assert moments.windows_us.tolist() == [[0, 50], [50, 100]]


def test_frames_alone_choose_the_same_frames_as_beside_evenly_spread_events():
    for count in range(1, 9):
        alone = choose_moments(recording(frames=untimed_frames(4)), count)
        beside = choose_moments(recording(events_at(0, 839), untimed_frames(4)), count)
        assert alone.frame_indices.tolist() == beside.frame_indices.tolist()


def test_timed_frames_beside_no_event_keep_their_windows():
    moments = choose_moments(recording(events_at(), frames_ending_at(10, 20)), 2)
    assert moments.windows_us.tolist() == [[0, 10], [10, 20]]


@pytest.mark.parametrize("events", [None, events_at()])
def test_nothing_at_all_is_refused(events):
    with pytest.raises(RecordingError, match="got none of either"):
        choose_moments(recording(events), 4)


def dense(length, count, stride, **options):
    whole = recording(frames=untimed_frames(length))
    moments = choose_moments(whole, count, sampling="dense", stride=stride, **options)
    return moments.frame_indices.tolist()


def test_a_dense_stretch_lies_in_the_middle_of_the_video_for_evaluation():
    assert dense(20, 3, 4) == [5, 9, 13]


def test_training_starts_a_dense_stretch_anywhere_that_it_fits():
    generator = np.random.default_rng(0)
    drawn = [dense(13, 3, 4, generator=generator) for _ in range(200)]
    assert {indices[0] for indices in drawn} == {0, 1, 2, 3, 4}
    assert all(np.diff(indices).tolist() == [4, 4] for indices in drawn)


def test_views_of_a_dense_stretch_reach_from_the_beginning_to_the_end():
    starts = [dense(21, 3, 4, choice=Choice(number, of=3))[0] for number in range(3)]
    assert starts == [0, 6, 12]


@pytest.mark.parametrize("seed", [None, 0])
def test_a_video_that_is_too_short_for_a_stretch_is_spread_over(seed):
    generator = None if seed is None else np.random.default_rng(seed)
    assert dense(10, 4, 4, generator=generator) == [0, 3, 6, 9]
    assert dense(4, 4, 4, generator=generator) == [0, 1, 2, 3]


def test_one_dense_moment_needs_no_room():
    assert dense(1, 1, 4) == [0]


def test_views_enter_the_segments_at_evenly_spaced_places():
    whole = recording(frames=untimed_frames(24))
    chosen = [
        choose_moments(whole, 2, choice=Choice(number, of=3)).frame_indices.tolist()
        for number in range(3)
    ]
    assert chosen == [[1, 13], [5, 17], [9, 21]]


def test_equal_windows_are_the_same_in_every_view():
    """So that packed clips, whose windows were drawn before, are tested alike."""
    stream = recording(events_at(0, 799))
    views = [choose_moments(stream, 2, choice=Choice(number, of=2)) for number in range(2)]
    assert views[0].windows_us.tolist() == views[1].windows_us.tolist() == [[0, 400], [400, 800]]


@given(
    length=st.integers(1, 60),
    count=st.integers(1, 12),
    sampling=st.sampled_from(["segments", "dense"]),
    stride=st.integers(1, 9),
    views=st.integers(1, 5),
    seed=st.one_of(st.none(), st.integers(0, 99)),
)
def test_however_they_are_sampled_moments_are_frames_in_order(
    *, length, count, sampling, stride, views, seed
):
    for number in range(views):
        indices = choose_moments(
            recording(frames=untimed_frames(length)),
            count,
            sampling=sampling,
            stride=stride,
            generator=None if seed is None else np.random.default_rng(seed),
            choice=Choice(number, of=views),
        ).frame_indices
        steps = np.diff(indices)
        assert (steps > 0 if length >= count else steps >= 0).all()
        assert indices.min() >= 0
        assert indices.max() < length


@given(
    length=st.integers(1, 40),
    count=st.integers(1, 9),
    sampling=st.sampled_from(["segments", "dense"]),
    stride=st.integers(1, 5),
    seed=st.one_of(st.none(), st.integers(0, 99)),
)
def test_frames_and_events_are_one_set_of_moments(length, count, sampling, stride, seed):
    """Frame i and event i are of one moment, so whatever is chosen, their numbers agree."""
    ends = 10 * np.arange(1, length + 1)
    moments = choose_moments(
        recording(events_at(*(ends - 5)), frames_ending_at(*ends, exposure_us=10)),
        count,
        sampling=sampling,
        stride=stride,
        generator=None if seed is None else np.random.default_rng(seed),
    )
    windows_us, indices = moments.windows_us, moments.frame_indices
    assert (np.diff(windows_us[:, 0]) >= 0).all()
    if length >= count:
        assert windows_us.tolist() == [[10 * i, 10 * i + 10] for i in indices.tolist()]
    else:  # windows of equal length, each with the frame that was current at its end
        assert (indices == np.maximum((windows_us[:, 1] - 1) // 10, 0)).all()


def test_event_images_drawn_before_stand_for_the_events():
    drawn = Recording(
        events_at(0, 100), frames_ending_at(60, 61, 62), "test", event_images=untimed_frames(3)
    )
    assert choose_moments(drawn, 6, window="exposure").frame_indices.tolist() == [0, 0, 1, 1, 2, 2]
