"""Columns of a table that make parts of long recordings samples: start and end."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evlora.datasets.layouts.table import Progress
from evlora.datasets.opening import open_sample
from evlora.datasets.samples import Sample
from evlora.errors import DatasetError, RecordingError, RecordingWarning
from evlora.recordings import Recording
from evlora.recordings.parts import US_OF_UNIT, Part, microseconds, part_faults, part_of

FRAME = "frame"
UNITS = ("us", "ms", "s", FRAME)
COLUMNS: Mapping[str, tuple[str, ...]] = {
    name: (name, *(f"{name}_{unit}" for unit in UNITS)) for name in ("start", "end")
}


def part_in(cells: Mapping[str, str | None], header: Mapping[str, str], where: str) -> Part | None:
    """The part of a recording that a row names; None where its cells are empty.

    Args:
        cells: Of the row, by `start` and `end`.
        header: What the table calls these columns, in lower case.
        where: The table and the row, for messages.

    Raises:
        DatasetError: A cell is no time and no number of a frame, or the two contradict each other.
    """
    given = {name: text for name in COLUMNS if (text := cells.get(name))}
    if not given:
        return None
    units = {name: header[name].removeprefix(name).lstrip("_") for name in given}
    if len(set(units.values())) > 1 and FRAME in units.values():
        raise DatasetError(
            f"{where}: expected start and end in one unit, got the columns "
            f"{' and '.join(header[name] for name in given)}"
        )
    values = {name: _value(text, units[name], header[name], where) for name, text in given.items()}
    start, end = values.get("start", 0), values.get("end")
    fault = part_faults(start, end)
    unit = FRAME if FRAME in units.values() else "us"
    if fault is not None:
        cells_shown = ", ".join(f"{header[name]} is {text}" for name, text in given.items())
        raise DatasetError(f"{where}: {fault}{' µs' if unit == 'us' else ''}; {cells_shown}")
    return Part(round(start), None if end is None else round(end), unit)


def _value(text: str, unit: str, column: str, where: str) -> float:
    """The number of a frame, or microseconds."""
    try:
        if not unit and text[-1].isalpha():
            return microseconds(text)
        if unit == FRAME:
            return int(text)
        if unit:
            return float(text) * US_OF_UNIT[unit]
        raise ValueError("a number alone may be of seconds, microseconds or frames")
    except ValueError as error:
        kind = "the number of a frame" if unit == FRAME else f"a number of {unit}"
        cure = (
            f"a time with its unit, such as 1.5s or 300ms, or columns called {column}_s, "
            f"{column}_us or {column}_{FRAME}"
        )
        raise DatasetError(
            f"{where}: {column}: expected {kind if unit else cure}, got {text!r}"
        ) from error


def with_part(sample: Sample, part: Part | None) -> Sample:
    """The sample as this part of its recording, which its name then shows."""
    if part is None:
        return sample
    unit = "" if part.unit == FRAME else "us"
    end = "end" if part.end is None else f"{part.end}{unit}"
    kind = "@frame" if part.unit == FRAME else "@"
    return replace(sample, sample=f"{sample.sample}{kind}{part.start}{unit}-{end}", part=part)


def require_within(
    samples: Sequence[tuple[int, Sample]], table: Path, progress: Progress | None
) -> None:
    """Check that parts lie within their recordings; each of these is opened once.

    Args:
        samples: With the numbers of their rows.
        table: Where they stand.
        progress: Receives how many were looked at, and of how many.

    Raises:
        DatasetError: One does not.
    """
    parts = [(number, sample) for number, sample in samples if sample.part is not None]
    parts.sort(key=lambda one: str(one[1].paths))
    opened: tuple[list[str], Recording | None] = ([], None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordingWarning)  # whoever reads the clips warns
        for done, (number, sample) in enumerate(parts, start=1):
            if sample.paths != opened[0]:
                opened = (sample.paths, _opened(sample, table.parent))
            recording = opened[1]
            try:
                if recording is not None and sample.part is not None:
                    part_of(recording, sample.part)
            except RecordingError as error:
                raise DatasetError(f"{table} row {number}: {error}") from error
            if progress is not None:
                progress(done, len(parts))


def _opened(sample: Sample, source: Path) -> Recording | None:
    try:
        return open_sample(replace(sample, part=None), source)
    except (RecordingError, DatasetError):
        return None  # missing or damaged: reported where files are checked and clips are read
