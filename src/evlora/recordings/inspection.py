"""What there is to know about a recording at a glance: numbers, and one figure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.files import writing_file
from evlora.recordings.events import EventStream
from evlora.recordings.frames import FrameSequence, ImageArray
from evlora.recordings.recording import Recording
from evlora.recordings.rendering import (
    PICTURE_SUFFIXES,
    animation_windows,
    draw_activity,
    draw_events,
    draw_over_frame,
    require_suffix,
)
from evlora.recordings.representations import (
    OFF_COLOUR,
    ON_COLOUR,
    WHITE,
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
    some = _events_if_any(recording)
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
        frame_timing=None if frames is None else _frame_timing(frames),
        triggers=None if recording.triggers is None else _trigger_summary(recording.triggers),
    )


def lively_window(events: EventStream) -> tuple[int, int]:
    """Start and end in µs of as many events as make a legible picture, where much happens.

    Not where most happens: many recordings begin with a burst of the whole sensor.

    Raises:
        RecordingError: There is no event.
    """
    windows_us, rates_hz = rate_over_time(events)
    total_hz = rates_hz.sum(axis=1)
    lively = windows_us[np.argsort(total_hz)[round(LIVELY_QUANTILE * (len(total_hz) - 1))]]
    middle = int(np.searchsorted(events.t_us, lively.mean()))
    shown = max(FEWEST_SHOWN, round(SHOWN_SHARE * events.width * events.height))
    first = max(min(middle - shown // 2, len(events) - shown), 0)
    last = min(first + shown, len(events)) - 1
    return int(events.t_us[first]), int(events.t_us[last]) + 1


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


def save_figure(recording: Recording, path: str | Path) -> None:
    """Draw a recording: its rate over time, its events, and its frames with events on top.

    Args:
        recording: Events, frames, or both.
        path: Where to; a picture of the kind that the suffix names.

    Raises:
        RecordingError: There is nothing in the recording, or no such kind of picture.
    """
    from matplotlib.figure import Figure

    target = require_suffix(path, PICTURE_SUFFIXES, "picture")
    panels, events = _panels(recording), _events_if_any(recording)
    height, width = panels[0][1].shape[:2]
    tall_in = PANEL_IN * height / width + TITLE_IN
    rows_in = [tall_in] if events is None else [RATE_IN, tall_in]
    size_in = (PANEL_IN * max(len(panels), 2), sum(rows_in) + TITLE_IN)
    figure = Figure(figsize=size_in, layout="constrained")
    name = recording.path.name if recording.path is not None else "recording"
    figure.suptitle(f"{name} ({recording.format})")
    grid = figure.add_gridspec(len(rows_in), len(panels), height_ratios=rows_in)
    if events is not None:
        _plot_rate(figure.add_subplot(grid[0, :]), events, recording.frames)
    for column, (title, picture) in enumerate(panels):
        axes = figure.add_subplot(grid[-1, column])
        axes.imshow(picture, interpolation="nearest")
        axes.set_title(title, fontsize="medium")
    with writing_file(target) as temporary:
        figure.savefig(temporary, dpi=110)


def _events_if_any(recording: Recording) -> EventStream | None:
    return recording.events if recording.events is not None and len(recording.events) else None


def _activity(events: EventStream) -> Activity:
    _, rates_hz = rate_over_time(events)
    total_hz = tuple(rates_hz.sum(axis=1).round(1).tolist())
    gaps_us = _gaps_us(events)
    longest = sorted(gaps_us, key=lambda gap: gap[0] - gap[1])[:LONGEST_GAPS]
    per_pixel = polarity_counts(events, equal_windows(events, 1))[0].sum(axis=0)
    y, x = np.unravel_index(int(per_pixel.argmax()), per_pixel.shape)
    return Activity(
        duration_us=events.last_us - events.first_us,
        rate_hz=round(len(events) * 1e6 / (events.last_us + 1 - events.first_us), 1),
        peak_rate_hz=max(total_hz),
        rate_over_time_hz=total_hz,
        gaps=len(gaps_us),
        longest_gaps_us=tuple(sorted(longest)),
        active_pixels=int(np.count_nonzero(per_pixel)),
        busiest_pixel=(int(x), int(y), int(per_pixel.max())),
    )


def _trigger_summary(triggers: Triggers) -> TriggerSummary:
    channels = tuple(np.unique(triggers.channel).tolist())
    first_us, last_us = int(triggers.t_us[0]), int(triggers.t_us[-1])
    return TriggerSummary(len(triggers), channels, first_us, last_us)


def _gaps_us(events: EventStream) -> list[tuple[int, int]]:
    mean_us = (events.last_us - events.first_us) / len(events)
    shortest_us = max(SHORTEST_GAP_US, GAP_MEAN_INTERVALS * mean_us)
    gaps: list[tuple[int, int]] = []
    # Piece by piece: the differences of all times would need as much memory as the times.
    for at in range(0, len(events) - 1, EVENTS_AT_ONCE):
        times = events.t_us[at : at + EVENTS_AT_ONCE + 1]
        before = np.flatnonzero(np.diff(times) >= shortest_us)
        gaps += zip(times[before].tolist(), times[before + 1].tolist(), strict=True)
    return gaps


def _frame_timing(frames: FrameSequence) -> FrameTiming:
    ends = frames.end_us
    if ends is None or not len(ends):
        return FrameTiming(frames.width, frames.height, None, None, None, None)
    intervals = np.diff(ends)
    usual_us = float(np.median(intervals)) if len(intervals) else None
    lost = 0
    if usual_us is not None:
        lost = int(np.count_nonzero(intervals > LOST_FRAME_INTERVALS * usual_us))
    return FrameTiming(frames.width, frames.height, int(ends[0]), int(ends[-1]), usual_us, lost)


def _panels(recording: Recording) -> list[tuple[str, ImageArray]]:
    events, frames = _events_if_any(recording), recording.frames
    if events is None and frames is not None and len(frames):
        shown = sorted({0, len(frames) // 2, len(frames) - 1})
        return [(f"frame {number}", frames[number]) for number in shown]
    if events is None:
        raise RecordingError(
            f"{recording.path or 'recording'}: expected events or frames to show, got neither"
        )
    start_us, end_us = lively_window(events)
    panels: list[tuple[str, ImageArray]] = []
    if frames is not None and len(frames):
        windows_us, numbers = animation_windows(recording)
        held = np.diff(np.searchsorted(events.t_us, windows_us))[:, 0]
        fullest = int(held.argmax())
        start_us, end_us = windows_us[fullest].tolist()
        number = fullest if numbers is None else numbers[fullest]
        overlay = draw_over_frame(events, frames[number], start_us=start_us, end_us=end_us)
        panels.append((f"frame {number} and its events", overlay))
    since_ms, lasted_ms = (start_us - events.first_us) / 1e3, (end_us - start_us) / 1e3
    title = f"events of {lasted_ms:.1f} ms, from {since_ms:.0f} ms on"
    panels.insert(0, (title, draw_events(events, start_us=start_us, end_us=end_us)))
    panels.append(("all events, log scale", draw_activity(events)))
    return panels


def _plot_rate(axes: Any, events: EventStream, frames: FrameSequence | None) -> None:
    windows_us, rates_hz = rate_over_time(events)
    seconds = (np.append(windows_us[:, 0], windows_us[-1, 1]) - events.first_us) / 1e6
    for polarity, (name, colour) in enumerate((("OFF", OFF_COLOUR), ("ON", ON_COLOUR))):
        axes.stairs(
            rates_hz[:, polarity] / 1e3,
            seconds,
            color=tuple(value / WHITE for value in colour),
            label=f"{name} {np.count_nonzero(events.polarity == polarity):,}",
        )
    if frames is not None and frames.end_us is not None:
        marks = (frames.end_us - events.first_us) / 1e6
        axes.plot(marks, np.zeros(len(marks)), "|", color="0.4", label=f"frames {len(frames):,}")
    axes.set_xlim(seconds[0], seconds[-1])
    total_hz, usual_hz = rates_hz.sum(axis=1), np.quantile(rates_hz, 0.95)
    is_outside = rates_hz.max() > PEAK_OUTSIDE * usual_hz > 0
    axes.set_ylim(0, 1.6 * usual_hz / 1e3 if is_outside else None)
    peak = f"the peak of {total_hz.max() / 1e3:,.0f} lies outside; " if is_outside else ""
    axes.set_xlabel(f"{peak}seconds since the first event")
    axes.set_ylabel("thousand events / s")
    axes.legend(loc="upper right", fontsize="small")
