"""A sample of a dataset: its files, its label and its split, as one line of `manifest.jsonl`."""

import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from evlora.messages import shown
from evlora.recordings.parts import Part, part_faults
from evlora.untrusted import parse_json

SPLITS = ("train", "val", "test")
NO_SPLIT = "none"
"""The split of samples that a run does not use; never written."""
SAMPLE_KEYS = ("sample", "events", "frames", "label", "split")
PART_KEYS = ("start_us", "end_us", "start_frame", "end_frame")
OPTIONAL_KEYS = ("event_images", "sensor_px", *PART_KEYS, "conditions")
MOST_CONDITIONS, LONGEST_CONDITION = 64, 200
"""Of one sample, and in characters."""


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
    conditions: tuple[tuple[str, str], ...] = ()
    """What else is known of it, such as ("light", "dim"); reports show the accuracy by it."""

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
    if sample.part is not None:
        fields[f"start_{sample.part.unit}"] = sample.part.start
        if sample.part.end is not None:
            fields[f"end_{sample.part.unit}"] = sample.part.end
    if sample.conditions:
        fields["conditions"] = dict(sample.conditions)
    return json.dumps(fields, ensure_ascii=False)


def parse_line(line: str, labels: Sequence[str]) -> Sample | str:
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
    conditions = fields.get("conditions", {})
    if not _are_conditions(conditions):
        return (
            f"{name}: expected up to {MOST_CONDITIONS} names with values of up to "
            f"{LONGEST_CONDITION} characters as conditions, got {shown(conditions)}"
        )
    if fields["label"] not in labels:
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
        tuple(conditions.items()),
    )


def _are_conditions(value: object) -> bool:
    if not isinstance(value, dict) or len(value) > MOST_CONDITIONS:
        return False
    texts = cast(Mapping[object, object], value).items()
    return all(isinstance(t, str) and len(t) <= LONGEST_CONDITION for pair in texts for t in pair)


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


def choose_evenly(samples: Sequence[Sample], fraction: float, *, seed: int) -> set[str]:
    """Names of a share of the samples, each class giving its part and keeping one at least.

    The choice depends on the seed and on the samples' names and labels, not on their order.

    Args:
        samples: Whom to choose from.
        fraction: The share, in (0, 1); one sample is chosen at least where a class can spare it.
        seed: Picks the samples.
    """
    by_label: dict[str, list[str]] = {}
    for sample in sorted(samples, key=lambda sample: sample.sample):
        by_label.setdefault(sample.label, []).append(sample.sample)
    names = sorted(by_label)
    shares = np.array([fraction * len(by_label[name]) for name in names])
    counts = np.floor(shares).astype(int)
    missing = max(1, round(fraction * len(samples))) - int(counts.sum())
    for place in np.argsort(counts - shares, kind="stable")[: max(0, missing)]:
        counts[place] += 1
    generator = np.random.default_rng(seed)
    chosen: set[str] = set()
    for name, count in zip(names, counts, strict=True):
        order = generator.permutation(len(by_label[name]))
        most = min(int(count), len(order) - 1)
        chosen |= {by_label[name][place] for place in order[:most]}
    return chosen
