"""What every reader of events shares: the file in pieces, its sensor's size, and the checks.

A reader decodes its file chunk by chunk and notes in `Findings` what was wrong with it. Here the
chunks are checked, put together or handed on, so that no reader repeats it: events outside the
sensor are skipped and counted, and time that runs backwards is counted and put in order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError, SensorSizeError
from evlora.limits import limits, raising
from evlora.recordings.events import EventStream
from evlora.recordings.frames import FrameSequence
from evlora.recordings.recording import Recording
from evlora.recordings.triggers import Triggers

CHUNK_EVENTS = 1 << 18
"""Events that a reader decodes at once: small enough for the cache, large enough for numpy."""
LARGEST_SENSOR_PX = 1 << 16
"""A coordinate has 16 bits."""
LARGEST_GAP_US = 3_600_000_000
"""A leap of more than an hour between two events is reported: most often it is a damaged clock."""


FIELD_DTYPES = (np.int64, np.uint16, np.uint16, np.bool_)
"""Types of t_us, x, y and polarity in an event stream."""
LARGEST_SHARE_OUTSIDE = 0.01
"""Of events outside a sensor that hold where width and height change places, to call it that."""
NEGATIVE = 1 << 62
"""Stands for the reach of columns or rows that begin before 0."""
LATEST_US = 1 << 60
"""Times beyond 36,000 years are damage; within, differences fit 64 bits."""
SIZING = (
    "give width and height (--width and --height to inspect, convert and predict, width= and "
    "height= to prepare)"
)
"""What helps where nothing states the size of a sensor."""


class EventChunk(NamedTuple):
    """Some events in the order of the file; every field has shape (N,)."""

    t_us: NDArray[Any]
    x: NDArray[Any]
    y: NDArray[Any]
    polarity: NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class Findings:
    """What a reader found out about a file while reading it."""

    path: Path
    warnings: list[str] = field(default_factory=list[str])
    """What was wrong; the user is warned of it."""
    remarks: list[str] = field(default_factory=list[str])
    """What was detected rather than declared."""
    trigger_parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = field(
        default_factory=list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]
    )
    """Triggers met so far: arrays of times, channels and polarities."""
    read_share: float = 0.0
    """How much of the file its reader has gone through, from 0 to 1."""
    is_enough: bool = False
    """Whether the caller wants no more; the reader then ends as if the file did."""

    def warn(self, message: str) -> None:
        """Note what was wrong."""
        self.warnings.append(f"{self.path}: {message}")

    def remark(self, message: str) -> None:
        """Note what was detected."""
        self.remarks.append(f"{self.path}: {message}")

    def ends_at(self, share: float) -> bool:
        """Note that this share of the file was read; whether reading ends here."""
        self.read_share = share
        return self.is_enough

    def add_triggers(
        self, t_us: NDArray[Any], channel: NDArray[Any], polarity: NDArray[Any]
    ) -> None:
        """Keep some triggers, each array of shape (N,); see `Triggers`."""
        is_timely = (t_us > -LATEST_US) & (t_us < LATEST_US)
        if is_timely.any():
            self.trigger_parts.append((t_us[is_timely], channel[is_timely], polarity[is_timely]))

    @property
    def triggers(self) -> Triggers | None:
        """The triggers met so far, in the order of time; None when there were none."""
        if not self.trigger_parts:
            return None
        return Triggers.from_arrays(*map(np.concatenate, zip(*self.trigger_parts, strict=True)))


@dataclass(slots=True, eq=False)
class EventFile:
    """A file of events, opened; its chunks can be read once."""

    format: str
    width: int
    height: int
    chunks: Iterator[EventChunk]
    findings: Findings
    most_events: int | None = None
    """How many events there can be at most, where the file's length gives it."""
    doubt: str = ""
    """What was assumed rather than declared, and what to do if that is wrong."""
    frames: Callable[[], FrameSequence | None] | None = None
    """The frames met in what was read; None where they were not asked for."""

    @classmethod
    def of_recording(cls, recording: Recording, events: EventStream) -> "EventFile":
        """A recording that was read at once, as if it were read in pieces."""
        chunk = EventChunk(events.t_us, events.x, events.y, events.polarity)
        findings = Findings(
            recording.path or Path(), list(recording.warnings), list(recording.remarks)
        )
        findings.read_share = 1.0
        return cls(recording.format, events.width, events.height, iter([chunk]), findings)


def collect(file: EventFile) -> Recording:
    """All events of the file in the order of time.

    Raises:
        RecordingError: Every event lies outside the sensor, or the reader gave up.
    """
    columns = None if file.most_events is None else _places(file.most_events)
    t_us, x, y, polarity = _gathered(file) if columns is None else _filled(file, columns)
    findings = file.findings
    backwards = int(np.count_nonzero(t_us[1:] < t_us[:-1]))
    if backwards:
        at = int(np.flatnonzero(t_us[1:] < t_us[:-1])[0]) + 1
        findings.warn(
            f"time runs backwards {backwards} times, first at event {at} "
            f"({t_us[at - 1]} → {t_us[at]} µs); the events were put in the order of time"
        )
    events = EventStream.from_arrays(
        t_us, x, y, polarity, width=file.width, height=file.height, sort=backwards > 0
    )
    if not len(events):
        findings.warn("holds no event")
    return Recording(
        events,
        None,
        file.format,
        findings.path,
        tuple(findings.warnings),
        tuple(findings.remarks),
        triggers=findings.triggers,
    )


def checked_chunks(file: EventFile) -> Iterator[EventChunk]:
    """The file's chunks without the events that lie outside its sensor.

    Raises:
        RecordingError: Most events lie outside the sensor or beyond reasonable times.
    """
    outside = untimely = count = leaps = 0
    last_us: int | None = None
    reach = (0, 0)
    for whole in file.chunks:
        chunk = whole
        count += len(chunk.t_us)
        is_timely = _timely(chunk.t_us)
        if is_timely is not None:
            untimely += len(is_timely) - int(np.count_nonzero(is_timely))
            chunk = _chosen(chunk, is_timely)
        furthest = _furthest(chunk)
        reach = (max(reach[0], furthest[0]), max(reach[1], furthest[1]))
        if furthest[0] >= file.width or furthest[1] >= file.height:
            is_inside = _inside(chunk, file.width, file.height)
            outside += len(is_inside) - int(np.count_nonzero(is_inside))
            chunk = _chosen(chunk, is_inside)
        if not len(chunk.t_us):
            continue
        leaps += _leaps(chunk.t_us, last_us)
        last_us = int(chunk.t_us[-1])
        yield chunk
    if not count:
        return
    reached = "x < 0 or y < 0" if NEGATIVE in reach else f"x = {reach[0]}, y = {reach[1]}"
    sensor = f"{file.width}×{file.height} sensor (they reach {reached})"
    faults = [
        (outside, f"lie outside the {sensor}"),
        (untimely, f"have times beyond ±{LATEST_US} µs"),
    ]
    if outside + untimely > count / 2:
        said = " and ".join(f"{number} {what}" for number, what in faults if number)
        doubt = f"; {file.doubt}" if file.doubt else ""
        raise RecordingError(
            f"{file.findings.path}: of {count} events {said}; give the sensor's true size, the "
            f"right columns and unit, or the file is damaged{doubt}"
        )
    if outside > LARGEST_SHARE_OUTSIDE * count and reach[0] < file.height and reach[1] < file.width:
        raise RecordingError(
            f"{file.findings.path}: {outside} of {count} events lie outside the {sensor}, and all "
            f"inside one of {file.height}×{file.width}: width and height seem to be swapped; give "
            f"width={file.height} and height={file.width} (--width {file.height} --height "
            f"{file.width})"
        )
    for number, what in faults:
        if number:
            file.findings.warn(f"{number} of {count} events {what} and were skipped")
    if leaps:
        file.findings.warn(
            f"time leaps by more than an hour {leaps} times; its clock may be damaged"
        )


def sensor_size(
    path: Path,
    declared: tuple[int, int] | None,
    *,
    width: int | None,
    height: int | None,
    hint: str = "",
    may_be_swapped: bool = False,
) -> tuple[int, int]:
    """Width and height: what the file declares, else what the caller states; never a guess.

    Args:
        path: The file, for messages.
        declared: Width and height by the file's header or its camera's model.
        width: Columns by the caller.
        height: Rows by the caller.
        hint: What else helps where nothing states it.
        may_be_swapped: Whether people write rows before columns into such files, so that the
            caller may state the same two numbers the other way round.

    Raises:
        SensorSizeError: Nobody states it, they contradict each other, or it is no sensor's size.
    """
    if (width is None) != (height is None):
        raise SensorSizeError(f"{path}: expected both width and height, or neither")
    is_sound = declared is not None and _can_be(*declared)
    if width is None or height is None:
        if declared is None:
            raise SensorSizeError(
                f"{path}: the file does not state the size of its sensor; {SIZING}"
                + (f"; {hint}" if hint else "")
            )
        if not is_sound:
            raise SensorSizeError(
                f"{path}: the file declares a sensor of {declared[0]}×{declared[1]}, expected 1 to "
                f"{LARGEST_SENSOR_PX} each way and {limits().sensor_px:,} pixels in all; it is "
                f"damaged, or give width and height, or {raising('sensor_px')}"
            )
        return declared
    if not _can_be(width, height):
        raise SensorSizeError(
            f"{path}: expected width and height of 1 to {LARGEST_SENSOR_PX} and "
            f"{limits().sensor_px:,} pixels in all, got {width}×{height}; "
            f"{raising('sensor_px')}"
        )
    is_agreed = declared == (width, height) or (may_be_swapped and declared == (height, width))
    if declared is not None and is_sound and not is_agreed:
        raise SensorSizeError(
            f"{path}: the file declares a sensor of {declared[0]}×{declared[1]}, width and height "
            f"say {width}×{height}; leave them out"
        )
    return width, height


def _can_be(width: int, height: int) -> bool:
    """Whether a sensor can be so large: each side, and in all the memory of an event image."""
    is_addressable = 0 < width <= LARGEST_SENSOR_PX and 0 < height <= LARGEST_SENSOR_PX
    return is_addressable and width * height <= limits().sensor_px


def _chosen(chunk: EventChunk, is_chosen: NDArray[np.bool_]) -> EventChunk:
    return EventChunk(*(values[is_chosen] for values in chunk))


def _timely(t_us: NDArray[Any]) -> NDArray[np.bool_] | None:
    if not len(t_us) or (int(t_us.min()) > -LATEST_US and int(t_us.max()) < LATEST_US):
        return None
    return (t_us > -LATEST_US) & (t_us < LATEST_US)


def _furthest(chunk: EventChunk) -> tuple[int, int]:
    """The largest column and row, or `NEGATIVE` where one lies before the first."""
    # Reductions cost far less than comparing and copying each event.
    if not len(chunk.x):
        return 0, 0
    is_negative = [values.dtype.kind == "i" and int(values.min()) < 0 for values in chunk[1:3]]
    x, y = (
        NEGATIVE if is_before else int(values.max())
        for is_before, values in zip(is_negative, chunk[1:3], strict=True)
    )
    return x, y


def _inside(chunk: EventChunk, width: int, height: int) -> NDArray[np.bool_]:
    return (chunk.x >= 0) & (chunk.x < width) & (chunk.y >= 0) & (chunk.y < height)


def _leaps(t_us: NDArray[Any], last_us: int | None) -> int:
    # Within a chunk as long as the threshold is not reached there is nothing to look for.
    first = int(t_us[0])
    between = int(last_us is not None and abs(first - last_us) > LARGEST_GAP_US)
    if int(t_us.max()) - int(t_us.min()) <= LARGEST_GAP_US:
        return between
    return between + int(np.count_nonzero(np.abs(np.diff(t_us)) > LARGEST_GAP_US))


def _places(most_events: int) -> list[NDArray[Any]] | None:
    # Memory that is never written to is never taken from the system; more than there is, as a
    # damaged file may ask for, is refused.
    try:
        return [np.empty(most_events, dtype) for dtype in FIELD_DTYPES]
    except (MemoryError, ValueError):
        return None


def _filled(file: EventFile, columns: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """The fields of all chunks, written into place as they come: each is held once."""
    start = 0
    for chunk in checked_chunks(file):
        stop = start + len(chunk.t_us)
        for column, values in zip(columns, chunk, strict=True):
            column[start:stop] = values
        start = stop
    return [column[:start] for column in columns]


def _gathered(file: EventFile) -> list[NDArray[Any]]:
    """The fields of all chunks, joined at the end, one field after the other."""
    parts: list[list[NDArray[Any]]] = [[], [], [], []]
    for chunk in checked_chunks(file):
        for column, values, dtype in zip(parts, chunk, FIELD_DTYPES, strict=True):
            column.append(np.ascontiguousarray(values, dtype))
    return [_joined(column, dtype) for column, dtype in zip(parts, FIELD_DTYPES, strict=True)]


def _joined(parts: list[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    if len(parts) == 1:
        return parts[0]
    joined = np.empty(sum(map(len, parts)), dtype)
    start = 0
    for number, part in enumerate(parts):
        joined[start : start + len(part)] = part
        start += len(part)
        parts[number] = joined[:0]  # lets go of the part
    return joined
