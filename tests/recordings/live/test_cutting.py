"""What came so far becomes moments: once each, in order, bounded."""

import numpy as np
import pytest

from evlora.recordings import EventStream
from evlora.recordings.live.cutting import (
    LATEST_FRAME_S,
    LEAP_US,
    FrameCutter,
    LiveMoment,
    WindowCutter,
)
from evlora.recordings.live.decoding import LiveFrame

SIZE = (8, 6)


def events(*times_us: int) -> EventStream:
    zeros = np.zeros(len(times_us), int)
    return EventStream.from_arrays(times_us, zeros, zeros, zeros, width=8, height=6)


def frame(end_us: int, exposure_us: int = 0) -> LiveFrame:
    return LiveFrame(np.full((6, 8, 3), end_us % 256, np.uint8), end_us - exposure_us, end_us)


def times(moment: LiveMoment) -> list[int]:
    assert moment.events is not None
    return moment.events.t_us.tolist()


def test_a_window_is_complete_when_an_event_is_beyond_it() -> None:
    cutter = WindowCutter(100, size=SIZE)
    assert list(cutter.add_events(events(1000, 1050, 1099))) == []
    (first,) = cutter.add_events(events(1100, 1150))
    assert first.window_us == (1000, 1100)
    assert times(first) == [1000, 1050, 1099]
    assert first.rate_hz == 3e4
    (last,) = cutter.rest()
    assert (last.window_us, times(last)) == ((1100, 1200), [1100, 1150])


def test_windows_without_events_are_moments_too() -> None:
    cutter = WindowCutter(100, size=SIZE)
    list(cutter.add_events(events(0)))
    assert [times(moment) for moment in cutter.add_events(events(310))] == [[0], [], []]


def test_events_that_come_too_late_are_counted() -> None:
    cutter = WindowCutter(100, size=SIZE)
    list(cutter.add_events(events(0, 120)))
    list(cutter.add_events(events(90, 130)))
    (moment,) = cutter.rest()
    assert times(moment) == [120, 130]
    assert cutter.late == 1


@pytest.mark.parametrize("leap_us", [2 * LEAP_US, -3_000_000])
def test_a_clock_that_leaps_begins_again_instead_of_a_million_empty_windows(leap_us: int) -> None:
    cutter = WindowCutter(100, size=SIZE)
    list(cutter.add_events(events(5_000_000, 5_000_050)))
    assert list(cutter.add_events(events(5_000_050 + leap_us))) == []
    (moment,) = cutter.rest()
    assert moment.is_after_leap
    assert moment.window_us[0] == 5_000_050 + leap_us


def test_a_window_takes_the_frame_that_had_begun_at_its_end() -> None:
    cutter = WindowCutter(100, size=SIZE)
    for end_us in (50, 140, 260):
        list(cutter.add_frame(frame(end_us), 0.0))
    first, second = cutter.add_events(events(0, 210))
    assert first.frame is not None
    assert second.frame is not None
    assert (first.frame[0, 0, 0], second.frame[0, 0, 0]) == (50, 140)


def test_a_frame_waits_for_the_events_up_to_its_end() -> None:
    cutter = FrameCutter(window="frame", stride=1, size=SIZE)
    assert list(cutter.add_frame(frame(100), 0.0)) == []
    assert list(cutter.add_events(events(10, 60, 110))) == []  # its window is not known yet
    (first,) = cutter.add_frame(frame(200), 0.0)
    assert (first.window_us, times(first)) == ((0, 100), [10, 60])
    (second,) = cutter.add_events(events(150, 200))
    assert (second.window_us, times(second)) == ((100, 200), [110, 150])


def test_a_frame_of_a_still_scene_comes_without_events() -> None:
    cutter = FrameCutter(window="frame", stride=1, size=SIZE)
    list(cutter.add_frame(frame(100), 0.0))
    list(cutter.add_frame(frame(200), 0.0))
    assert list(cutter.overdue(LATEST_FRAME_S / 2)) == []
    assert [times(moment) for moment in cutter.overdue(2 * LATEST_FRAME_S)] == [[], []]


def test_the_events_of_a_frame_are_those_that_clips_take() -> None:
    exposure = FrameCutter(window="exposure", stride=1, size=SIZE)
    segment = FrameCutter(window="segment", stride=2, size=SIZE)
    found: dict[str, list[LiveMoment]] = {"exposure": [], "segment": []}
    for name, cutter in (("exposure", exposure), ("segment", segment)):
        for end_us in (100, 200, 300):
            found[name] += cutter.add_frame(frame(end_us, exposure_us=40), 0.0)
            found[name] += cutter.add_events(events(end_us - 50, end_us - 10, end_us))
    assert [m.window_us for m in found["exposure"]] == [(60, 100), (160, 200), (260, 300)]
    assert times(found["exposure"][2]) == [290]
    assert [m.window_us for m in found["segment"]] == [(0, 100), (0, 200), (100, 300)]
    assert times(found["segment"][2]) == [100, 150, 190, 200, 250, 290]


def test_frames_alone_are_moments() -> None:
    cutter = FrameCutter(window="frame", stride=1, size=None)
    list(cutter.add_frame(frame(100), 0.0))
    first, second = cutter.add_frame(frame(200), 0.0)
    assert first.events is None
    assert second.window_us == (100, 200)
