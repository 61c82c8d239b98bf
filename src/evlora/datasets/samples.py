"""A sample of a dataset: its files, its label and its split, as one line of `manifest.jsonl`."""

import json
import operator
from collections import deque
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass, fields
from itertools import repeat
from types import NoneType
from typing import Any, Literal

from pydantic_core import from_json

from evlora.recordings.parts import Part, part_faults
from evlora.untrusted import parse_json

SPLITS = ("train", "val", "test")
NO_SPLIT = "none"
"""The split of samples that a run does not use; never written."""
SAMPLE_KEYS = ("sample", "events", "frames", "label", "split")
PART_KEYS = ("start_us", "end_us", "start_frame", "end_frame")
OPTIONAL_KEYS = ("event_images", "sensor_px", "columns", *PART_KEYS)


@dataclass(frozen=True, slots=True)
class Sample:
    """One recording of a dataset; its paths are relative to the dataset's source."""

    sample: str
    """Its name, which no other sample of the dataset has."""
    events: str | None
    """A recording; it may hold frames of its own."""
    frames: str | tuple[str, ...] | None
    """A picture, a folder of pictures, a video, a recording with frames, or several pictures."""
    label: str
    split: str
    event_images: str | tuple[str, ...] | None = None
    """Event images, drawn before: one for each frame, as a folder of pictures, a video or
    several pictures."""
    sensor_px: tuple[int, int] | None = None
    """Width and height of the sensor, where the file of the events does not hold them."""
    part: Part | None = None
    """Which part of the recording it is; None is all of it."""
    columns: tuple[tuple[str, str], ...] = ()
    """Names and values of what else is known of it, such as subject or light, for slices."""

    def value_of(self, column: str) -> str | None:
        """What it has in one of its columns, or as label, split or sensor_px; None for nothing."""
        if column in ("label", "split"):
            return getattr(self, column)
        if column == "sensor_px" and self.sensor_px is not None:
            return "×".join(map(str, self.sensor_px))
        return dict(self.columns).get(column)

    @property
    def paths(self) -> list[str]:
        """All files and folders of the sample."""
        parts = (self.events, self.frames, self.event_images)
        return [
            path
            for part in parts
            if part is not None
            for path in ((part,) if isinstance(part, str) else part)
        ]


def to_line(sample: Sample) -> str:
    """The sample as a line of `manifest.jsonl`, without its end."""
    fields: dict[str, Any] = {
        "sample": sample.sample,
        "events": sample.events,
        "frames": sample.frames,
        "label": sample.label,
        "split": sample.split,
    }
    if sample.event_images is not None:
        fields["event_images"] = sample.event_images
    if sample.sensor_px is not None:
        fields["sensor_px"] = sample.sensor_px
    if sample.columns:
        fields["columns"] = dict(sample.columns)
    if sample.part is not None:
        fields[f"start_{sample.part.unit}"] = sample.part.start
        if sample.part.end is not None:
            fields[f"end_{sample.part.unit}"] = sample.part.end
    return json.dumps(fields, ensure_ascii=False)


_VALUES = operator.itemgetter(*SAMPLE_KEYS)
_PUT = tuple(getattr(Sample, field.name).__set__ for field in fields(Sample))


def parse_lines(lines: Sequence[str], labels: Set[str]) -> list[Sample | str | None]:
    """For each line its sample, or what is wrong with it, or None where it is empty.

    Lines that all have nothing but the usual keys are read together, several times as fast as one
    by one; others, and those with a fault, by `parse_line`.

    Args:
        lines: Of `manifest.jsonl`.
        labels: The dataset's.
    """
    try:
        together = from_json(f"[{','.join(lines)}]", cache_strings="keys")
    except ValueError:
        together = []
    if len(together) == len(lines) and (plain := _plain_samples(together, labels)):
        return list(plain)
    return [None if line.isspace() else parse_line(line, labels) for line in lines]


def _plain_samples(found: list[Any], labels: Set[str]) -> list[Sample]:
    """The samples of keys and values, or none where one of them is not plain."""
    if set(map(type, found)) != {dict} or set(map(len, found)) != {len(SAMPLE_KEYS)}:
        return []
    try:
        columns = list(zip(*map(_VALUES, found), strict=True))
    except KeyError:
        return []
    names, events, frames, classes, splits = columns
    are_texts = all(set(map(type, column)) == {str} for column in (names, classes, splits))
    are_paths = all(set(map(type, column)) <= {str, NoneType} for column in (events, frames))
    if not (are_texts and are_paths and all(names) and all(map(operator.or_, *_given(columns)))):
        return []
    if not (labels >= set(classes) and set(splits) <= set(SPLITS)):
        return []
    # A frozen dataclass's `__init__` takes several times as long as filling its slots by column.
    samples = [object.__new__(Sample) for _ in found]
    defaults = (None, None, None, ())
    for put, column in zip(_PUT, (*columns, *map(repeat, defaults)), strict=True):
        deque(map(put, samples, column), maxlen=0)
    return samples


def _given(columns: list[tuple[Any, ...]]) -> tuple[Iterator[bool], Iterator[bool]]:
    """Whether each sample has events, and whether it has frames."""
    return map(bool, columns[1]), map(bool, columns[2])


def parse_line(line: str, labels: Collection[str]) -> Sample | str:
    """The sample of a line, or what is wrong with it."""
    try:
        fields = parse_json(line)
    except json.JSONDecodeError as error:
        return f"expected one JSON object, {error.msg} at column {error.colno}"
    except ValueError as error:
        return f"expected one JSON object: {error}"
    if not isinstance(fields, dict) or set(fields) - set(OPTIONAL_KEYS) != set(SAMPLE_KEYS):
        keys = ", ".join(map(str, fields)) if isinstance(fields, dict) else type(fields).__name__
        return (
            f"expected the keys {', '.join(SAMPLE_KEYS)}, and {', '.join(OPTIONAL_KEYS)} where "
            f"there are any, got {keys or 'none'}"
        )
    name, events = fields["sample"], fields["events"]
    if not isinstance(name, str) or not name:
        return f"expected a name as sample, got {name!r}"
    if not (events is None or isinstance(events, str)):
        return f"expected a path or null as events, got {events!r}"
    pictures: dict[str, str | tuple[str, ...] | None] = {}
    for key in ("frames", "event_images"):
        paths = fields.get(key)
        if isinstance(paths, list) and paths and all(isinstance(path, str) for path in paths):
            paths = tuple(paths)
        if not (paths is None or isinstance(paths, str | tuple)):
            return f"expected a path, a list of paths, or null as {key}, got {paths!r}"
        pictures[key] = paths
    if events is None and not any(pictures.values()):
        return f"{name}: expected events or frames, got neither"
    sensor_px = fields.get("sensor_px")
    if sensor_px is not None:
        try:
            width, height = map(operator.index, sensor_px)
        except (TypeError, ValueError):
            return f"expected width and height as sensor_px, got {sensor_px!r}"
        sensor_px = width, height
    part = _part(fields)
    if isinstance(part, str):
        return f"{name}: {part}"
    columns = fields.get("columns", {})
    if not isinstance(columns, dict) or not all(type(v) is str for v in columns.values()):
        return f"{name}: expected names and values of text as columns, got {columns!r}"
    if type(fields["label"]) is not str or fields["label"] not in labels:
        return (
            f"{name}: expected one of the dataset's {len(labels)} labels, got {fields['label']!r}"
        )
    if fields["split"] not in SPLITS:
        return f"{name}: expected a split of {', '.join(SPLITS)}, got {fields['split']!r}"
    return Sample(
        name,
        events,
        pictures["frames"],
        fields["label"],
        fields["split"],
        pictures["event_images"],
        sensor_px,
        part,
        tuple(columns.items()),
    )


def _part(fields: dict[str, Any]) -> Part | str | None:
    """The part of a recording that a line names, or what is wrong with it."""
    given = {key: fields[key] for key in PART_KEYS if key in fields}
    units: set[Literal["us", "frame"]] = {"us" if key.endswith("_us") else "frame" for key in given}
    if not given:
        return None
    if len(units) > 1:
        return f"expected start and end in one unit, got {', '.join(given)}"
    (unit,) = units
    start, end = given.get(f"start_{unit}", 0), given.get(f"end_{unit}")
    for key, value in given.items():
        if not isinstance(value, int) or isinstance(value, bool):
            return f"expected a whole number as {key}, got {value!r}"
    return part_faults(start, end) or Part(start, end, unit)
