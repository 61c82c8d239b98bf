"""The numbers that there are to know about a recording at a glance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.recordings.events import EventStream
from evlora.recordings.recording import Recording
from evlora.recordings.representations import (
    WindowArray,
    equal_windows,
    polarity_counts,
)
from evlora.recordings.triggers import Triggers

RATE_PARTS = 100
"""The number of equal parts of a recording that its rate over time is given in."""
SHORTEST_GAP_US = 10_000
GAP_MEAN_INTERVALS = 100
"""A gap is silence of at least `SHORTEST_GAP_US` and of this many times the mean interval."""
LONGEST_GAPS = 10
"""The most gaps that are listed."""
LOST_FRAME_INTERVALS = 1.5
"""Frames that lie further apart than this many usual intervals have lost one between them."""
LIVELY_QUANTILE = 0.9
"""The event image is taken where the rate is higher than in this share of the parts."""
SHOWN_SHARE, FEWEST_SHOWN = 0.15, 400
"""A picture shows as many events as this share of the pixels, and not fewer than that many."""
PANEL_IN, RATE_IN, TITLE_IN = 4.6, 2.4, 0.5
"""Width of a picture in a figure, height of the rate curve and of a title, in inches."""
PEAK_OUTSIDE = 4.0
"""A rate above this many times the 95th percentile leaves the panel; it would flatten the curve."""
EVENTS_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True)
class Activity:
    """When and where a recording's events happened; times in µs."""

    duration_us: int
    """From the first event to the last one."""
    rate_hz: float
    """Events per second over the whole recording."""
    peak_rate_hz: float
    """The highest of `rate_over_time_hz`."""
    rate_over_time_hz: tuple[float, ...]
    """Events per second in equal parts of the recording, `RATE_PARTS` of them."""
    gaps: int
    """How often the sensor was silent for long."""
    longest_gaps_us: tuple[tuple[int, int], ...]
    """Last event before and first event after the longest gaps, in the order of time."""
    active_pixels: int
    """Pixels that sent at least one event."""
    busiest_pixel: tuple[int, int, int]
    """Column and row of the pixel that sent most, and how many it sent."""


@dataclass(frozen=True, slots=True)
class FrameTiming:
    """Size and times of a recording's frames; times are None where they are unknown."""

    width: int
    height: int
    first_us: int | None
    """End of the first frame's exposure."""
    last_us: int | None
    """End of the last frame's exposure."""
    interval_us: float | None
    """Median time from the end of one frame to the end of the next."""
    lost: int | None
    """How often a frame seems to be missing between two others."""


@dataclass(frozen=True, slots=True)
class TriggerSummary:
    """When signals came at the camera's inputs."""

    count: int
    channels: tuple[int, ...]
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of a recording; what it does not have is None."""

    format: str
    width: int | None
    """Columns of the sensor, or of the frames where there are no events."""
    height: int | None
    """Rows, the same way."""
    events: int
    on: int
    off: int
    t_first_us: int | None
    t_last_us: int | None
    frames: int
    warnings: tuple[str, ...]
    """What was wrong with the file: damage, events skipped, time that ran backwards."""
    remarks: tuple[str, ...]
    """What was detected rather than declared."""
    activity: Activity | None
    frame_timing: FrameTiming | None
    triggers: TriggerSummary | None
    """None where the format keeps no triggers, or there were none."""


def summarize(recording: Recording) -> Summary:
    """The numbers of a recording."""
    events, frames = recording.events, recording.frames
    size = frames if events is None else events
    count = 0 if events is None else len(events)
    on = 0 if events is None else int(np.count_nonzero(events.polarity))
    some = events_if_any(recording)
    return Summary(
        format=recording.format,
        width=None if size is None else size.width,
        height=None if size is None else size.height,
        events=count,
        on=on,
        off=count - on,
        t_first_us=None if some is None else some.first_us,
        t_last_us=None if some is None else some.last_us,
        frames=0 if frames is None else len(frames),
        warnings=recording.warnings,
        remarks=recording.remarks,
        activity=None if some is None else _activity(some),
        frame_timing=None
        if frames is None
        else frame_timing(frames.width, frames.height, frames.end_us),
        triggers=None if recording.triggers is None else trigger_summary(recording.triggers),
    )


def lively_window(events: EventStream) -> tuple[int, int]:
    """Start and end in µs of as many events as make a legible picture, where much happens.

    Not where most happens: many recordings begin with a burst of the whole sensor.

    Raises:
        RecordingError: There is no event.
    """
    windows_us, rates_hz = rate_over_time(events)
    lively = windows_us[lively_part(rates_hz)]
    middle = int(np.searchsorted(events.t_us, lively.mean()))
    shown = shown_events(events.width, events.height)
    first = max(min(middle - shown // 2, len(events) - shown), 0)
    last = min(first + shown, len(events)) - 1
    return int(events.t_us[first]), int(events.t_us[last]) + 1


def lively_part(rates_hz: NDArray[np.float64]) -> int:
    """Which part of a recording is livelier than most others, by rates of shape (parts, 2)."""
    total_hz = rates_hz.sum(axis=1)
    return int(np.argsort(total_hz)[round(LIVELY_QUANTILE * (len(total_hz) - 1))])


def shown_events(width: int, height: int) -> int:
    """How many events make a legible picture of a sensor of this size."""
    return max(FEWEST_SHOWN, round(SHOWN_SHARE * width * height))


def rate_over_time(
    events: EventStream, parts: int = RATE_PARTS
) -> tuple[WindowArray, NDArray[np.float64]]:
    """The rate of events in equal parts of the recording.

    Args:
        events: At least one.
        parts: How many; a recording of fewer microseconds has one part for each of them.

    Returns:
        Half-open intervals in µs, shape (parts, 2), and events per second, OFF before ON, shape
        (parts, 2).

    Raises:
        RecordingError: There is no event.
    """
    windows_us = equal_windows(events, min(parts, events.last_us + 1 - events.first_us))
    bounds = np.searchsorted(events.t_us, windows_us)
    on = [np.count_nonzero(events.polarity[first:stop]) for first, stop in bounds.tolist()]
    counts = np.stack([np.diff(bounds)[:, 0] - on, on], axis=1)
    return windows_us, counts * 1e6 / np.diff(windows_us)


def events_if_any(recording: Recording) -> EventStream | None:
    """The events of a recording; None where there are none to count or draw."""
    return recording.events if recording.events is not None and len(recording.events) else None


def _activity(events: EventStream) -> Activity:
    _, rates_hz = rate_over_time(events)
    return activity_of(
        len(events),
        events.first_us,
        events.last_us,
        rates_hz=rates_hz,
        pixel_counts=polarity_counts(events, equal_windows(events, 1))[0],
        silences_us=_silences_us(events),
    )


def activity_of(
    count: int,
    first_us: int,
    last_us: int,
    *,
    rates_hz: NDArray[np.float64],
    pixel_counts: NDArray[Any],
    silences_us: Sequence[tuple[int, int]],
) -> Activity:
    """When and where events happened, by what was counted of them.

    Args:
        count: Of all events, at least 1.
        first_us: Time of the first event.
        last_us: Time of the last event.
        rates_hz: Events per second in equal parts of the recording, shape (parts, 2).
        pixel_counts: Events of each pixel, OFF before ON, shape (2, H, W).
        silences_us: Last event before and first after each silence of `SHORTEST_GAP_US` or more.
    """
    total_hz = tuple(rates_hz.sum(axis=1).round(1).tolist())
    shortest_us = GAP_MEAN_INTERVALS * (last_us - first_us) / count
    gaps_us = [gap for gap in silences_us if gap[1] - gap[0] >= shortest_us]
    longest = sorted(gaps_us, key=lambda gap: gap[0] - gap[1])[:LONGEST_GAPS]
    per_pixel = pixel_counts.sum(axis=0)
    y, x = np.unravel_index(int(per_pixel.argmax()), per_pixel.shape)
    return Activity(
        duration_us=last_us - first_us,
        rate_hz=round(count * 1e6 / (last_us + 1 - first_us), 1),
        peak_rate_hz=max(total_hz),
        rate_over_time_hz=total_hz,
        gaps=len(gaps_us),
        longest_gaps_us=tuple(sorted(longest)),
        active_pixels=int(np.count_nonzero(per_pixel)),
        busiest_pixel=(int(x), int(y), int(per_pixel.max())),
    )


def trigger_summary(triggers: Triggers) -> TriggerSummary:
    """When signals came, of which there is at least one."""
    channels = tuple(np.unique(triggers.channel).tolist())
    first_us, last_us = int(triggers.t_us[0]), int(triggers.t_us[-1])
    return TriggerSummary(len(triggers), channels, first_us, last_us)


def _silences_us(events: EventStream) -> list[tuple[int, int]]:
    silences: list[tuple[int, int]] = []
    # Piece by piece: the differences of all times would need as much memory as the times.
    for at in range(0, len(events) - 1, EVENTS_AT_ONCE):
        times = events.t_us[at : at + EVENTS_AT_ONCE + 1]
        before = np.flatnonzero(np.diff(times) >= SHORTEST_GAP_US)
        silences += zip(times[before].tolist(), times[before + 1].tolist(), strict=True)
    return silences


def frame_timing(width: int, height: int, ends: NDArray[np.int64] | None) -> FrameTiming:
    """Size and times of frames, by the ends of their exposures in µs, None where unknown."""
    if ends is None or not len(ends):
        return FrameTiming(width, height, None, None, None, None)
    intervals = np.diff(ends)
    usual_us = float(np.median(intervals)) if len(intervals) else None
    lost = 0
    if usual_us is not None:
        lost = int(np.count_nonzero(intervals > LOST_FRAME_INTERVALS * usual_us))
    return FrameTiming(width, height, int(ends[0]), int(ends[-1]), usual_us, lost)
