"""What to know of a dataset before training: what is rare, missing, there twice or unreadable."""

import hashlib
import math
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evlora.datasets.known import known_datasets
from evlora.datasets.layouts.table import Progress
from evlora.datasets.manifest import Manifest
from evlora.datasets.samples import Sample
from evlora.errors import EvloraError, RecordingWarning
from evlora.messages import listed
from evlora.rank_group import ALONE, Ranks
from evlora.recordings.parts import Part

FEW_SAMPLES = 10
"""Training samples of a class below which little can be learned of it."""
IMBALANCE = 10
"""How many times as many training samples the largest class may have as the smallest one."""
HEAD_BYTES = 4096
NUMBER = re.compile(r"\d[\d,]*\d|\d")
NUMBER_STATED = re.compile(rf"({NUMBER.pattern})( letters)?($|, |; | \()")
"""A fact that begins with a number of samples, not of recordings that are cut or of persons."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What opening every sample has shown."""

    modalities: Mapping[str, str]
    """Sample → what is in it, such as `events, frames`."""
    faults: tuple[tuple[str, str], ...]
    """Samples that cannot be read, and why."""
    cautions: tuple[tuple[str, str], ...]
    """Samples that were read only in part, and what is wrong with them."""


def parts_of(sample: Sample) -> str:
    """What a sample consists of by the manifest; a recording may hold frames of its own."""
    found = [
        name
        for name, part in (
            ("recording", sample.events),
            ("frames", sample.frames),
            ("event images", sample.event_images),
        )
        if part is not None
    ]
    return ", ".join(found)


Found = tuple[str | None, str | None, list[str]]
"""What is in a sample, why it cannot be read, and what is wrong with it."""


def check(manifest: Manifest, *, progress: Progress | None = None, ranks: Ranks = ALONE) -> Checked:
    """Open every sample of a dataset of recordings, and its first and last frame.

    Args:
        manifest: Of recordings, not of packed clips.
        progress: Receives how many samples were opened, and of how many of this rank.
        ranks: Processes that divide the samples; each has what all have found.
    """
    places = ranks.places(len(manifest.samples))

    def look() -> list[Found]:
        found: list[Found] = []
        for place in places:
            found.append(_look_at(manifest.samples[place], manifest.source))
            if progress is not None:
                progress(len(found), len(places))
        return found

    found = ranks.in_order(ranks.gather(look))
    names = [sample.sample for sample in manifest.samples]
    each = list(zip(names, found, strict=True))
    return Checked(
        {name: parts for name, (parts, _, _) in each if parts is not None},
        tuple((name, fault) for name, (_, fault, _) in each if fault is not None),
        tuple((name, caution) for name, (_, _, cautions) in each for caution in cautions),
    )


def _look_at(sample: Sample, source: Path) -> Found:
    from evlora.datasets.opening import open_sample

    parts = fault = None
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", RecordingWarning)
        try:
            parts = _opened_modalities(open_sample(sample, source))
        except EvloraError as error:
            fault = str(error)
    return parts, fault, [str(warning.message) for warning in raised]


def cautions_of(
    manifest: Manifest, *, modalities: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """What is odd about a dataset and will show in its results, a sentence each.

    Args:
        manifest: Of recordings.
        modalities: What is in each sample, where `check` has looked; else by the manifest.
    """
    found = modalities or {sample.sample: parts_of(sample) for sample in manifest.samples}
    return (
        *_one_class(manifest),
        *_unlike_published(manifest),
        *_rare_classes(manifest),
        *_classes_in_one_split(manifest),
        *_imbalance(manifest),
        *_mixed_modalities(found),
        *_twins(manifest),
    )


def _unlike_published(manifest: Manifest) -> Iterable[str]:
    """What is there beside what authors state of the dataset, where the numbers differ."""
    for title, known in known_datasets().datasets.items():
        if known.layout != manifest.layout or title != (manifest.dataset or title):
            continue
        for name, count in (
            ("classes", len(manifest.labels)),
            ("samples", len(manifest.samples)),
        ):
            stated = known.stated(name)
            if NUMBER_STATED.match(stated) and f"{count:,}" not in NUMBER.findall(stated):
                yield f"{count:,} {name}, {title} as published: {stated}"


def _opened_modalities(recording: Any) -> str:
    frames, images = recording.frames, recording.event_images
    for sequence in (frames, images):
        if sequence:
            sequence.take([0, len(sequence) - 1])
    found = [
        name
        for name, part in (
            ("events", recording.events),
            ("frames", frames),
            ("event images", images),
        )
        if part is not None and len(part)
    ]
    return ", ".join(found) or "nothing"


def _one_class(manifest: Manifest) -> Iterable[str]:
    if len(manifest.labels) == 1:
        yield f"one class alone, {manifest.labels[0]}: a recognizer needs two or more to tell apart"


def _rare_classes(manifest: Manifest) -> Iterable[str]:
    counts = _counts(manifest, "train")
    rare = [
        f"{label} ({counts[label]})" for label in manifest.labels if 0 < counts[label] < FEW_SAMPLES
    ]
    if rare:
        yield (
            f"fewer than {FEW_SAMPLES} training samples of a class: {listed(rare)}; results for "
            f"{'it' if len(rare) == 1 else 'them'} will vary from run to run"
        )


def _classes_in_one_split(manifest: Manifest) -> Iterable[str]:
    if len(manifest.splits) < 2:
        return
    by_label: dict[str, set[str]] = defaultdict(set)
    for sample in manifest.samples:
        by_label[sample.label].add(sample.split)
    for split in manifest.splits:
        alone = [label for label in manifest.labels if by_label[label] == {split}]
        if alone:
            yield f"in the split {split} alone: {listed(alone)}; it cannot be learned and tested"


def _imbalance(manifest: Manifest) -> Iterable[str]:
    counts = {label: n for label, n in _counts(manifest, "train").items() if n}
    if not counts:
        return
    largest, smallest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[largest] >= IMBALANCE * counts[smallest]:
        yield (
            f"imbalance: {counts[largest]} training samples of {largest}, {counts[smallest]} of "
            f"{smallest}; look at the mean of the classes beside top-1"
        )


def _mixed_modalities(found: Mapping[str, str]) -> Iterable[str]:
    kinds = Counter(found.values())
    if len(kinds) < 2:
        return
    by_kind: dict[str, list[str]] = defaultdict(list)
    for sample, kind in found.items():
        by_kind[kind].append(sample)
    rarest = min(kinds, key=kinds.__getitem__)
    parts = "; ".join(f"{kind} in {count}" for kind, count in kinds.most_common())
    yield (
        f"samples differ in what they hold: {parts} (such as {listed(by_kind[rarest], at_most=1)});"
        " clips of both modalities need both, unless trained with "
        "clip.augmentation.modality_dropout"
    )


def _twins(manifest: Manifest) -> Iterable[str]:
    if pairs := same_content(manifest):
        yield f"the same content in two splits: {listed(pairs)}; remove one of each"


def same_content(manifest: Manifest) -> list[str]:
    """Files of the same content in different splits: a test that knows them is no test.

    Args:
        manifest: Of recordings. Files are compared as a whole only where their sizes and their
            beginnings are the same.

    Returns:
        A pair of samples, with their splits, for each content.
    """
    same = [
        (path, sample)
        for sample in manifest.samples
        if isinstance(path := sample.events or sample.frames or sample.event_images, str)
        and (manifest.source / path).is_file()
    ]
    groups: Sequence[Sequence[tuple[str, Sample]]] = [same]
    for key in (_size, _head, _whole):
        groups = [
            group
            for candidates in groups
            for group in _grouped(candidates, key, manifest.source)
            if len({sample.split for _, sample in group}) > 1
        ]
    return [
        f"{first.sample} ({first.split}) and {other.sample} ({other.split})"
        for group in groups
        if (found := _overlapping([sample for _, sample in group])) is not None
        for first, other in [found]
    ]


def _overlapping(samples: Sequence[Sample]) -> tuple[Sample, Sample] | None:
    """Two samples of one content, in two splits, whose parts of it have something in common."""
    furthest: dict[tuple[str, str], tuple[Sample, Part]] = {}
    parts = [(sample, sample.part or Part()) for sample in samples]
    for sample, part in sorted(parts, key=lambda one: one[1].start):
        for (split, _), (other, before) in furthest.items():
            if split != sample.split and before.overlaps(part):
                return other, sample
        known = furthest.get((sample.split, part.unit))
        if known is None or _end(part) > _end(known[1]):
            furthest[sample.split, part.unit] = sample, part
    return None


def _end(part: Part) -> float:
    return math.inf if part.end is None else part.end


def _grouped(
    candidates: Sequence[tuple[str, Sample]], key: Callable[[Path], object], source: Path
) -> Iterable[list[tuple[str, Sample]]]:
    found: dict[object, list[tuple[str, Sample]]] = defaultdict(list)
    for path, sample in candidates:
        found[key(source / path)].append((path, sample))
    return found.values()


def _size(path: Path) -> int:
    return path.stat().st_size


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _whole(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


def _counts(manifest: Manifest, split: str) -> Counter[str]:
    return Counter(sample.label for sample in manifest.samples if sample.split == split)
