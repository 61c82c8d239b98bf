"""One figure of a recording: its rate over time, its events, and its frames with events on top."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.escaping import in_figure
from evlora.files import writing_file
from evlora.recordings.events import EventStream
from evlora.recordings.frames import FrameSequence, ImageArray
from evlora.recordings.inspection import events_if_any, lively_window, rate_over_time
from evlora.recordings.recording import Recording
from evlora.recordings.rendering import (
    PICTURE_SUFFIXES,
    animation_windows,
    draw_activity,
    draw_counts,
    draw_events,
    draw_over_frame,
    require_suffix,
)
from evlora.recordings.representations import OFF_COLOUR, ON_COLOUR, WHITE, WindowArray
from evlora.recordings.survey import Part, Survey

PANEL_IN, RATE_IN, TITLE_IN = 4.6, 2.4, 0.5
"""Width of a picture in a figure, height of the rate curve and of a title, in inches."""
PEAK_OUTSIDE = 4.0
"""A rate above this many times the 95th percentile leaves the panel; it would flatten the curve."""

Panels = list[tuple[str, ImageArray]]
"""Pictures that stand side by side, with their titles."""
Rates = tuple[WindowArray, NDArray[np.float64]]
"""Parts of a recording, and the events per second in each; see `rate_over_time`."""


def save_figure(recording: Recording, path: str | Path, part: Part | None = None) -> None:
    """Draw a recording: its rate over time, its events, and its frames with events on top.

    Args:
        recording: Events, frames, or both.
        path: Where to; a picture of the kind that the suffix names.
        part: What part of the file it is of; None where it is the whole.

    Raises:
        RecordingError: There is nothing in the recording, or no such kind of picture.
    """
    target = require_suffix(path, PICTURE_SUFFIXES, "picture")
    events = events_if_any(recording)
    rates = None if events is None else rate_over_time(events)
    name = recording.path.name if recording.path is not None else "recording"
    title = f"{name} ({recording.format}){_of_part(part)}"
    _save(target, title, _panels(recording), rates, recording.frames)


def save_survey_figure(survey: Survey, path: str | Path) -> None:
    """Draw what a survey found: the rate over time, an excerpt, and how often each pixel fired.

    Args:
        survey: Of a long file of events.
        path: Where to; a picture of the kind that the suffix names.

    Raises:
        RecordingError: No such kind of picture.
    """
    target = require_suffix(path, PICTURE_SUFFIXES, "picture")
    start_us, end_us = survey.excerpt.first_us, survey.excerpt.last_us + 1
    panels = [
        _events_panel(survey.excerpt, start_us, end_us, int(survey.windows_us[0, 0])),
        ("all events, log scale", draw_counts(survey.pixel_counts)),
    ]
    title = f"{survey.path.name} ({survey.summary.format}){_of_part(survey.part)}"
    if survey.frames is not None:
        panels.insert(1, _frame_panel(survey.frames, (start_us + end_us) // 2))
    _save(target, title, panels, (survey.windows_us, survey.rates_hz), None)


def _of_part(part: Part | None) -> str:
    return "" if part is None else f", the first {part.shown}"


def _save(
    target: Path, title: str, panels: Panels, rates: Rates | None, frames: FrameSequence | None
) -> None:
    from matplotlib.figure import Figure

    height, width = panels[0][1].shape[:2]
    tall_in = PANEL_IN * height / width + TITLE_IN
    rows_in = [tall_in] if rates is None else [RATE_IN, tall_in]
    size_in = (PANEL_IN * max(len(panels), 2), sum(rows_in) + TITLE_IN)
    figure = Figure(figsize=size_in, layout="constrained")
    figure.suptitle(in_figure(title))
    grid = figure.add_gridspec(len(rows_in), len(panels), height_ratios=rows_in)
    if rates is not None:
        _plot_rate(figure.add_subplot(grid[0, :]), rates, frames)
    for column, (name, picture) in enumerate(panels):
        axes = figure.add_subplot(grid[-1, column])
        axes.imshow(picture, interpolation="nearest")
        axes.set_title(in_figure(name), fontsize="medium")
    with writing_file(target) as temporary:
        figure.savefig(temporary, dpi=110)


def _panels(recording: Recording) -> Panels:
    events, frames = events_if_any(recording), recording.frames
    if events is None and frames is not None and len(frames):
        shown = sorted({0, len(frames) // 2, len(frames) - 1})
        return [(f"frame {number}", frames[number]) for number in shown]
    if events is None:
        raise RecordingError(
            f"{recording.path or 'recording'}: expected events or frames to show, got neither"
        )
    start_us, end_us = lively_window(events)
    panels: Panels = []
    if frames is not None and len(frames):
        windows_us, numbers = animation_windows(recording)
        held = np.diff(np.searchsorted(events.t_us, windows_us))[:, 0]
        fullest = int(held.argmax())
        start_us, end_us = windows_us[fullest].tolist()
        number = fullest if numbers is None else numbers[fullest]
        overlay = draw_over_frame(events, frames[number], start_us=start_us, end_us=end_us)
        panels.append((f"frame {number} and its events", overlay))
    panels.insert(0, _events_panel(events, start_us, end_us, events.first_us))
    panels.append(("all events, log scale", draw_activity(events)))
    return panels


def _frame_panel(frames: FrameSequence, t_us: int) -> tuple[str, ImageArray]:
    """The frame that ends nearest to a time; of frames without times the middle one."""
    if frames.end_us is None:
        return "a frame, of unknown time", frames[len(frames) // 2]
    number = int(np.abs(frames.end_us - t_us).argmin())
    apart_ms = (int(frames.end_us[number]) - t_us) / 1e3
    side = "after" if apart_ms > 0 else "before"
    return f"a frame, {abs(apart_ms):.0f} ms {side} them", frames[number]


def _events_panel(
    events: EventStream, start_us: int, end_us: int, first_us: int
) -> tuple[str, ImageArray]:
    since_ms, lasted_ms = (start_us - first_us) / 1e3, (end_us - start_us) / 1e3
    title = f"events of {lasted_ms:.1f} ms, from {since_ms:.0f} ms on"
    return title, draw_events(events, start_us=start_us, end_us=end_us)


def _plot_rate(axes: Any, rates: Rates, frames: FrameSequence | None) -> None:
    windows_us, rates_hz = rates
    first_us = int(windows_us[0, 0])
    seconds = (np.append(windows_us[:, 0], windows_us[-1, 1]) - first_us) / 1e6
    counts = (rates_hz * np.diff(windows_us) / 1e6).sum(axis=0).round().astype(np.int64)
    for polarity, (name, colour) in enumerate((("OFF", OFF_COLOUR), ("ON", ON_COLOUR))):
        axes.stairs(
            rates_hz[:, polarity] / 1e3,
            seconds,
            color=tuple(value / WHITE for value in colour),
            label=f"{name} {counts[polarity]:,}",
        )
    if frames is not None and frames.end_us is not None:
        marks = (frames.end_us - first_us) / 1e6
        axes.plot(marks, np.zeros(len(marks)), "|", color="0.4", label=f"frames {len(frames):,}")
    axes.set_xlim(seconds[0], seconds[-1])
    total_hz, usual_hz = rates_hz.sum(axis=1), np.quantile(rates_hz, 0.95)
    is_outside = rates_hz.max() > PEAK_OUTSIDE * usual_hz > 0
    axes.set_ylim(0, 1.6 * usual_hz / 1e3 if is_outside else None)
    peak = f"the peak of {total_hz.max() / 1e3:,.0f} lies outside; " if is_outside else ""
    axes.set_xlabel(f"{peak}seconds since the first event")
    axes.set_ylabel("thousand events / s")
    axes.legend(loc="upper right", fontsize="small")
