"""The numbers of a recording as lines for a person to read."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from evlora.cli.printing import echo

if TYPE_CHECKING:
    from evlora.recordings.inspection import Activity, Summary
    from evlora.recordings.survey import Part

SPARKS = "▁▂▃▄▅▆▇█"
SPARK_COLUMNS = 50


def print_summary(summary: "Summary", part: "Part | None") -> None:
    """Print them, a line each.

    Args:
        summary: The numbers.
        part: What part of the file they are of; None where it is the whole.
    """
    for name, value in _rows(summary, part):
        echo(f"{name:<11} {value}")


def _rows(summary: "Summary", part: "Part | None") -> Iterator[tuple[str, str]]:
    yield "format", summary.format
    if part is not None:
        yield "part", f"the first {part.shown}; all below is of this part, --whole reads the rest"
    if summary.width is not None:
        yield "sensor", f"{summary.width} × {summary.height} pixels"
    activity, timing = summary.activity, summary.frame_timing
    yield "events", f"{summary.events:,}"
    if activity is not None:
        share = 100 * summary.on / summary.events
        yield "polarity", f"{summary.on:,} ON, {summary.off:,} OFF ({share:.1f} % ON)"
        yield "time", f"{summary.t_first_us:,} … {summary.t_last_us:,} µs"
        yield "duration", f"{activity.duration_us / 1e6:.3f} s"
        yield "rate", f"{activity.rate_hz:,.0f} events/s, at most {activity.peak_rate_hz:,.0f}"
        yield "over time", _sparkline(activity.rate_over_time_hz)
        yield "pixels", _pixels_text(activity)
        yield "gaps", _gaps_text(activity)
    yield "frames", f"{summary.frames:,}"
    if timing is not None and summary.events:
        yield "frame size", f"{timing.width} × {timing.height} pixels"
    if timing is not None and timing.interval_us:
        lost = f", about {timing.lost} lost" if timing.lost else ""
        yield "interval", f"{timing.interval_us / 1e3:.2f} ms from frame to frame{lost}"
    if summary.triggers is not None:
        triggers = summary.triggers
        inputs = ", ".join(map(str, triggers.channels))
        span = f"from {triggers.first_us:,} to {triggers.last_us:,} µs"
        yield "triggers", f"{triggers.count:,} at input {inputs}, {span}"
    for remark in summary.remarks:
        yield "remark", remark
    for warning in summary.warnings:
        yield "warning", warning


def _pixels_text(activity: "Activity") -> str:
    x, y, count = activity.busiest_pixel
    return f"{activity.active_pixels:,} sent events; the busiest, ({x}, {y}), sent {count:,}"


def _gaps_text(activity: "Activity") -> str:
    if not activity.gaps:
        return "none"
    before, after = max(activity.longest_gaps_us, key=lambda gap: gap[1] - gap[0])
    return f"{activity.gaps:,}; the longest of {(after - before) / 1e3:.1f} ms, after {before:,} µs"


def _sparkline(values: tuple[float, ...]) -> str:
    step = max(1, -(-len(values) // SPARK_COLUMNS))
    means = [
        sum(values[at : at + step]) / len(values[at : at + step])
        for at in range(0, len(values), step)
    ]
    highest = max(means)
    return "".join(SPARKS[min(int(len(SPARKS) * mean / highest), 7)] for mean in means)
