"""Changing the format of recordings: of a part of one, or of all in a folder."""

import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from evlora.companions import is_companion
from evlora.errors import EvloraError, RecordingError, RecordingWarning
from evlora.recordings.alignment import aligned, read_homography, shifted, warped
from evlora.recordings.excerpts import (
    begin_us,
    behind_us,
    between,
    split_at_triggers,
)
from evlora.recordings.filters.table import filtered
from evlora.recordings.opening import open_recording
from evlora.recordings.readers import is_of_events
from evlora.recordings.readers.table import TEXT_SUFFIXES
from evlora.recordings.recording import Recording
from evlora.recordings.writers import write_recording
from evlora.recordings.writers.table import WRITERS, writer_named


@dataclass(frozen=True, slots=True)
class Conversion:
    """What to write of a recording, and as what."""

    to: str | None = None
    """The format; None goes by the suffix."""
    start_us: int | None = None
    """Since the recording began; None is its begin."""
    end_us: int | None = None
    """The same way; None is its end."""
    filters: tuple[str, ...] = ()
    """What the part passes, in this order; see `evlora.recordings.filters`."""
    shift_us: int = 0
    """By how much events are made later, where their clock is another one than the frames'."""
    is_aligned: bool = False
    """Whether events are shifted by the offset that is found between them and the frames."""
    homography: Path | None = None
    """A file with a 3 × 3 matrix from the events' pixels to those of the frames."""
    is_split_at_triggers: bool = False
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """How to open the recording; see `open_recording`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recording of a folder."""

    source: Path
    written: tuple[Path, ...]
    events: int
    error: str | None
    warnings: tuple[str, ...]


def convert(source: Path, target: Path, conversion: Conversion) -> tuple[tuple[Path, ...], int]:
    """Write the recording, or its parts, as `target`; parts get a number behind the name.

    Returns:
        The files written, and the number of events in them.

    Raises:
        RecordingError: The recording cannot be read, cut or written so.
    """
    recording = _in_step(open_recording(source, **conversion.options), conversion)
    if conversion.start_us is not None or conversion.end_us is not None:
        origin_us = begin_us(recording)
        start_us = origin_us + (conversion.start_us or 0)
        end_us = behind_us(recording)
        if conversion.end_us is not None:
            end_us = origin_us + conversion.end_us
        if start_us >= end_us:
            raise RecordingError(
                f"{source}: expected a part that begins before it ends, got {start_us - origin_us} "
                f"to {end_us - origin_us} µs after the recording's begin"
            )
        recording = between(recording, start_us, end_us)
    recording = filtered(recording, conversion.filters)
    if not conversion.is_split_at_triggers:
        write_recording(recording, target, conversion.to)
        return (target,), _count(recording)
    written: list[Path] = []
    events = 0
    for number, part in enumerate(split_at_triggers(recording)):
        written.append(target.with_name(f"{target.stem}_{number:04d}{target.suffix}"))
        write_recording(part, written[-1], conversion.to)
        events += _count(part)
    return tuple(written), events


def _in_step(recording: Recording, conversion: Conversion) -> Recording:
    """The recording with its events on the clock and the pixels of its frames, if so asked."""
    if conversion.is_aligned:
        recording, _ = aligned(recording)
    if conversion.shift_us:
        recording = shifted(recording, conversion.shift_us)
    if conversion.homography is not None:
        recording = warped(recording, read_homography(conversion.homography))
    return recording


def convert_folder(
    source: Path, target: Path, conversion: Conversion, *, jobs: int = 1
) -> Iterator[Outcome]:
    """Convert every recording below a folder into the same place below another.

    Args:
        source: The folder; pictures, videos and text without events in it are skipped.
        target: Where to; folders are made as needed.
        conversion: With a format.
        jobs: How many processes.

    Raises:
        RecordingError: No format is named, or the folder holds no recording.
    """
    if conversion.to is None:
        known = ", ".join(row.name for row in WRITERS)
        raise RecordingError(f"{source}: a folder needs a format to convert to; one of {known}")
    suffix = writer_named(conversion.to, source)[1]
    paths = recordings_below(source).recordings
    if not paths:
        raise RecordingError(f"{source}: expected recordings below this folder, got none")
    pairs = [(path, (target / path.relative_to(source)).with_suffix(suffix)) for path in paths]
    if len({place for _, place in pairs}) < len(pairs):
        # Two recordings of one name and several suffixes: keep the suffix in the name.
        pairs = [(path, place.with_name(f"{path.name}{suffix}")) for path, place in pairs]
    if jobs == 1:
        for path, place in pairs:
            yield _outcome(path, place, conversion)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(_outcome, path, place, conversion) for path, place in pairs]
        for done in as_completed(waiting):
            yield done.result()


@dataclass(frozen=True, slots=True)
class Found:
    """What lies below a folder, in the order of names."""

    recordings: list[Path]
    notes: list[Path]
    """Text files that hold no events in their first lines."""


def recordings_below(folder: Path) -> Found:
    """The recordings of events below a folder, without what systems leave there.

    Raises:
        RecordingError: A text file cannot be read.
    """
    found = Found([], [])
    for path in sorted(folder.rglob("*")):
        if is_companion(str(path.relative_to(folder))) or not path.is_file():
            continue
        if is_of_events(path):
            found.recordings.append(path)
        elif path.suffix.lower() in TEXT_SUFFIXES:
            found.notes.append(path)
    return found


def _outcome(source: Path, target: Path, conversion: Conversion) -> Outcome:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RecordingWarning)
        try:
            written, events = convert(source, target, conversion)
            error = None
        except EvloraError as failure:
            written, events, error = (), 0, str(failure)
    said = tuple(str(one.message) for one in caught if one.category is RecordingWarning)
    return Outcome(source, written, events, error, said)


def _count(recording: Recording) -> int:
    return 0 if recording.events is None else len(recording.events)
