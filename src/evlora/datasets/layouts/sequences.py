"""Recordings in folders of classes, `class/sequence`: what lies on disk, before any split."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from evlora.datasets.layouts.picture_folders import picture_sequence
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import (
    UNFINISHED,
    entries,
    folders,
    is_packed_alone,
    unfinished_download,
)
from evlora.datasets.manifest import Sample

ARCHIVES = "archives without a folder of their name were not opened; unpack what you need of them"


@dataclass(slots=True)
class Oddities:
    """What was odd about a dataset, counted by kind, with the first example of each."""

    counts: dict[str, int] = field(default_factory=dict[str, int])
    examples: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, kind: str, example: str) -> None:
        """Count one more of a kind."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.examples.setdefault(kind, example)

    def notes(self) -> tuple[str, ...]:
        """One line for each kind."""
        return tuple(f"{n:,} {kind}: {self.examples[kind]}" for kind, n in self.counts.items())


def note_other_forms(release: Path, root: Path, names: Collection[str], oddities: Oddities) -> None:
    """Say which other forms of a release lie beside the one that is read."""
    for name in names:
        if root != release and name != root.name and (release / name).is_dir():
            oddities.add(
                f"other form of the dataset lies beside {root.name} and was passed over; "
                "name its folder as the source to read it",
                name,
            )


@dataclass(frozen=True, slots=True)
class FoundSequence:
    """A recording on disk; its sample is named `class/sequence` and belongs to no split yet."""

    sample: Sample
    pictures: int | None = None
    """How many frames or event images it has, where it is a folder of them."""


def sequences_in(
    root: Path,
    source: Path,
    *,
    suffixes: Collection[str] = (),
    sensor_px: tuple[int, int] | None = None,
    oddities: Oddities,
    progress: Progress | None = None,
) -> dict[str, FoundSequence]:
    """The recordings in the folders of classes in `root`, by name.

    A recording is a file with one of the suffixes, or a folder of pictures as `picture_folders`
    describes it.

    Args:
        root: Holds the folders of classes.
        source: What paths are relative to.
        suffixes: Of the files that are recordings.
        sensor_px: Width and height of the sensor, where the files do not state it.
        oddities: Takes what is odd.
        progress: Called with the number of entries looked at, and of all.

    Raises:
        DatasetError: A download was not finished.
    """
    listed = [entry for folder in folders(root) for entry in entries(folder)]
    if unfinished := [
        entry.relative_to(root).as_posix()
        for entry in (*entries(root), *listed)
        if entry.name.lower().endswith(UNFINISHED)
    ]:
        raise unfinished_download(root, unfinished)
    for entry in filter(is_packed_alone, entries(root)):
        oddities.add(ARCHIVES, entry.relative_to(root).as_posix())
    found: dict[str, FoundSequence] = {}
    for number, entry in enumerate(listed, start=1):
        if entry.is_dir():
            sequence = _of_pictures(entry, source, oddities)
        else:
            sequence = _of_file(entry, source, suffixes, sensor_px, oddities)
        if sequence is not None and sequence.sample.sample in found:
            oddities.add("recordings have the name of another and were skipped", str(entry))
        elif sequence is not None:
            found[sequence.sample.sample] = sequence
        if progress is not None:
            progress(number, len(listed))
    _note_what_only_some_have(found, oddities)
    return found


def samples_of_splits(
    splits: Mapping[Path, str],
    source: Path,
    *,
    suffixes: Collection[str],
    sensor_px: tuple[int, int],
    oddities: Oddities,
    progress: Progress | None = None,
) -> tuple[Sample, ...]:
    """The samples of a release whose folders `split/class/recording` give its split.

    Args:
        splits: The name of the split of each folder that holds folders of classes.
        source: What paths and the names of samples are relative to.
        suffixes: Of the files that are recordings.
        sensor_px: Width and height of the sensor, which the files do not state.
        oddities: Takes what is odd.
        progress: Called with the number of entries looked at, and of all, for each split.
    """
    samples: list[Sample] = []
    for top, split in splits.items():
        found = sequences_in(
            top.resolve(),
            source.resolve(),
            suffixes=suffixes,
            sensor_px=sensor_px,
            oddities=oddities,
            progress=progress,
        )
        prefix = top.relative_to(source).as_posix()
        samples += [
            replace(each.sample, sample=f"{prefix}/{each.sample.sample}", split=split)
            for each in found.values()
        ]
    return tuple(samples)


def _note_what_only_some_have(found: Mapping[str, FoundSequence], oddities: Oddities) -> None:
    of_pictures = [each.sample for each in found.values() if each.pictures is not None]
    for kind, lacking in (
        ("frames", [sample.sample for sample in of_pictures if sample.frames is None]),
        ("event images", [each.sample for each in of_pictures if each.event_images is None]),
    ):
        if len(lacking) < len(of_pictures):
            for name in lacking:
                oddities.add(f"recordings have no {kind}, the others have", name)


def _of_file(
    file: Path,
    source: Path,
    suffixes: Collection[str],
    sensor_px: tuple[int, int] | None,
    oddities: Oddities,
) -> FoundSequence | None:
    path = file.relative_to(source).as_posix()
    if file.suffix.lower() not in suffixes:
        oddities.add("files that are no recordings of this dataset were passed over", path)
        return None
    name, label = f"{file.parent.name}/{file.stem}", file.parent.name
    return FoundSequence(Sample(name, path, None, label, "", sensor_px=sensor_px))


def _of_pictures(folder: Path, source: Path, oddities: Oddities) -> FoundSequence | None:
    name = f"{folder.parent.name}/{folder.name}"
    pictures = picture_sequence(folder)
    if pictures is None:
        oddities.add("folders without pictures were skipped", name)
        return None
    for fault in pictures.faults:
        oddities.add("recordings lack pictures, the others are used", f"{name}: {fault}")
    if pictures.step is not None and pictures.step > 1:
        oddities.add(f"recordings are numbered in steps of {pictures.step}", name)
    sample = Sample(
        name,
        None,
        _relative(pictures.frames, source),
        folder.parent.name,
        "",
        event_images=_relative(pictures.events, source),
    )
    return FoundSequence(sample, pictures.count)


def _relative(folder: Path | None, source: Path) -> str | None:
    return None if folder is None else folder.relative_to(source).as_posix()
