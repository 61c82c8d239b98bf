"""Long recordings in windows of time or of events, with bounded memory.

A file is decoded in pieces and a window is handed out as soon as it is complete, so that only the
current window and one piece are in memory. Cameras write events nearly in order: those that come
late by up to `LATENESS_US` are put in their place, later ones are skipped and reported.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings.events import EventStream
from evlora.recordings.readers.decoding import EventChunk, EventFile, checked_chunks
from evlora.recordings.readers.table import reader_for
from evlora.untrusted import existing

LATENESS_US = 20_000
"""How far back an event's time may lie behind the latest one and still find its place."""
PIECE_EVENTS = 1 << 20
"""Events in a piece of a stream that is in memory already."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The events of one window; start_us ≤ t < end_us."""

    number: int
    """0 for the window that begins with the first event; windows without events are counted."""
    start_us: int
    end_us: int
    events: EventStream


def iterate_windows(
    recording: EventStream | str | Path,
    *,
    duration_us: int | None = None,
    count: int | None = None,
    format: str | None = None,
    width: int | None = None,
    height: int | None = None,
    columns: str | Sequence[str] | None = None,
    unit: str | None = None,
    topics: Sequence[str] | None = None,
) -> Iterator[Window]:
    """The events in windows of one duration or one number of events, in the order of time.

    The first window begins with the first event. Windows of time without any event are passed
    over: a damaged clock may leap by years. The last window may be shorter.

    Args:
        recording: A file of any format that holds events, or a stream in memory.
        duration_us: Length of a window in microseconds.
        count: Events of a window; exactly one of the two is given.
        format: The name of a format, where the suffix does not tell.
        width: Columns of the sensor, for formats whose files do not say.
        height: Rows of the sensor.
        columns: The columns of a table; see `open_recording`.
        unit: Of a table's times.
        topics: The topics of a ROS bag to read; see `open_recording`.

    Returns:
        An iterator of windows, with `number`, `start_us`, `end_us` and `events`.

    Raises:
        RecordingError: Not exactly one of the lengths, or the file cannot be read.

    Warns:
        RecordingWarning: At the end, what was wrong with the file.
    """
    if (duration_us is None) == (count is None):
        raise RecordingError("windows: expected either duration_us or count, and only one of them")
    length = duration_us if duration_us is not None else count
    if length is None or length < 1:
        raise RecordingError(f"windows: expected a length of at least 1, got {length}")
    if isinstance(recording, EventStream):
        pieces = _pieces(recording)
        notes: list[str] = []
    else:
        options = {
            "width": width,
            "height": height,
            "columns": columns,
            "unit": unit,
            "topics": topics,
        }
        file = _opened(Path(recording), format, options)
        pieces = _streams(file)
        notes = file.findings.warnings
    windows = _by_time if duration_us is not None else _by_count
    yield from windows(pieces, length)
    for note in notes:
        warnings.warn(note, RecordingWarning, stacklevel=2)


def _opened(path: Path, format: str | None, options: Mapping[str, Any]) -> EventFile:
    row = reader_for(existing(path, RecordingError), format)
    if row.streams:
        return row.open_events(path, **options)
    recording = row.read(path, **options)
    if recording.events is None:
        raise RecordingError(f"{path}: expected events, the {row.name} file holds only frames")
    return EventFile.of_recording(recording, recording.events)


def _pieces(stream: EventStream) -> Iterator[EventStream]:
    for start in range(0, len(stream), PIECE_EVENTS):
        yield stream.part(slice(start, start + PIECE_EVENTS))


def _streams(file: EventFile) -> Iterator[EventStream]:
    """The file's events in pieces that are checked once, not with every window cut of them."""
    for piece in _in_order(file):
        yield EventStream.from_arrays(*piece, width=file.width, height=file.height)


def _in_order(file: EventFile) -> Iterator[EventChunk]:
    """The file's events in the order of time; the newest wait until none can come before them."""
    waiting: EventChunk | None = None
    settled_us: int | None = None
    backwards = late = 0
    for chunk in checked_chunks(file):
        piece = chunk if waiting is None else _joined([waiting, chunk])
        falls = int(np.count_nonzero(piece.t_us[1:] < piece.t_us[:-1]))
        if falls:
            order = np.argsort(piece.t_us, kind="stable")
            piece = EventChunk(*(values[order] for values in piece))
            backwards += falls
        if settled_us is not None and int(piece.t_us[0]) < settled_us:
            first = int(np.searchsorted(piece.t_us, settled_us))
            late += first
            piece = _part(piece, slice(first, None))
            if not len(piece.t_us):
                continue
        settled_us = max(int(piece.t_us[-1]) - LATENESS_US, settled_us or int(piece.t_us[0]))
        settled = int(np.searchsorted(piece.t_us, settled_us))
        # A copy, so that what waits does not keep the whole piece in memory.
        waiting = EventChunk(*(values[settled:].copy() for values in piece))
        if settled:
            yield _part(piece, slice(None, settled))
    if waiting is not None and len(waiting.t_us):
        yield waiting
    if backwards:
        file.findings.warn(
            f"time runs backwards {backwards} times; events up to {LATENESS_US} µs late were put "
            f"in order, {late} later ones were skipped"
        )


def _by_time(pieces: Iterator[EventStream], duration_us: int) -> Iterator[Window]:
    origin_us: int | None = None
    number = 0
    held: list[EventStream] = []
    for piece in pieces:
        if origin_us is None:
            origin_us = piece.first_us
        numbers = (piece.t_us - origin_us) // duration_us
        borders = np.flatnonzero(np.diff(numbers, prepend=number)).tolist()
        for start, stop in zip([0, *borders], [*borders, len(numbers)], strict=True):
            if start == stop:
                continue
            if int(numbers[start]) != number and held:
                yield _window(held, number, origin_us, duration_us)
                held = []
            number = int(numbers[start])
            held.append(piece.part(slice(start, stop)))
    if held and origin_us is not None:
        yield _window(held, number, origin_us, duration_us)


def _window(held: list[EventStream], number: int, origin_us: int, duration_us: int) -> Window:
    start_us = origin_us + number * duration_us
    return Window(number, start_us, start_us + duration_us, _stream(held))


def _by_count(pieces: Iterator[EventStream], count: int) -> Iterator[Window]:
    held: list[EventStream] = []
    present = number = 0
    for whole in pieces:
        piece = whole
        while present + len(piece) >= count:
            held.append(piece.part(slice(0, count - present)))
            piece = piece.part(slice(count - present, None))
            yield _counted_window(held, number)
            held, present, number = [], 0, number + 1
        if len(piece):
            held.append(piece)
            present += len(piece)
    if held:
        yield _counted_window(held, number)


def _counted_window(held: list[EventStream], number: int) -> Window:
    events = _stream(held)
    return Window(number, events.first_us, events.last_us + 1, events)


def _stream(held: list[EventStream]) -> EventStream:
    if len(held) == 1:
        return held[0]
    parts = [EventChunk(part.t_us, part.x, part.y, part.polarity) for part in held]
    return EventStream.from_arrays(*_joined(parts), width=held[0].width, height=held[0].height)


def _joined(pieces: list[EventChunk]) -> EventChunk:
    if len(pieces) == 1:
        return pieces[0]
    return EventChunk(
        np.concatenate([piece.t_us for piece in pieces]),
        np.concatenate([piece.x for piece in pieces]),
        np.concatenate([piece.y for piece in pieces]),
        np.concatenate([piece.polarity for piece in pieces]),
    )


def _part(piece: EventChunk, index: slice) -> EventChunk:
    return EventChunk(piece.t_us[index], piece.x[index], piece.y[index], piece.polarity[index])
