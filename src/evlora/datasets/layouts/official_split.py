"""The split of a dataset: by its official lists where they are there, else chosen evenly.

What lists and folders say of each other is checked here, and what they disagree on is refused, or
counted in the manifest's notes.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt

from evlora.config import Config
from evlora.datasets.holding_out import hold_out
from evlora.datasets.layouts.label_lists import (
    ListedSample,
    label_base,
    label_of_each_class,
    read_lists,
    without_repetitions,
)
from evlora.datasets.layouts.naming import class_order
from evlora.datasets.layouts.sequences import FoundSequence, Oddities
from evlora.datasets.layouts.trees import folders
from evlora.datasets.manifest import Manifest, Sample
from evlora.errors import DatasetError
from evlora.messages import listed
from evlora.recordings.readers.table import EVENT_SUFFIXES

LABEL_LISTS: Mapping[str, tuple[str, ...]] = {
    "train": ("train_label.txt",),
    "val": ("val_label.txt",),
    "test": ("test_label.txt",),
}
"""Split → the names that its list may have; these are HARDVS's and PokerEvent's."""


OFFICIAL, EVEN = "official", "even"
"""Names of the split that a dataset's authors publish, and of one that is chosen here."""


class EvenSplit(Config):
    """What becomes of a dataset without a split of its own."""

    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of each class that becomes the test split, where nothing else gives one."""
    seed: NonNegativeInt = 0
    """Picks that share."""


class NamedSplitOptions(EvenSplit):
    """Which of the splits is taken."""

    split: str | None = None
    """Name of the split, as the documentation lists them; by default the published one if its
    lists or folders are there, else an even choice."""


class ListOptions(NamedSplitOptions):
    """Where the official lists lie, and what becomes of samples that are not there."""

    lists: Path | None = None
    """Folder of the official lists, where they lie neither in the source nor beside the classes."""
    missing: Literal["refuse", "leave_out"] = "refuse"
    """What is done when a list names samples that are not there."""


def class_and_sequence(path: str) -> str:
    """`class/sequence`, the end of a path, without the suffix of a recording."""
    parts = path.strip("/").split("/")[-2:]
    stem, dot, suffix = parts[-1].rpartition(".")
    if dot and f".{suffix.lower()}" in EVENT_SUFFIXES:
        parts[-1] = stem
    return "/".join(parts)


def class_in_path(sample: ListedSample) -> str:
    """The folder of the class of a listed sample."""
    return class_and_sequence(sample.path).partition("/")[0]


def takes_official(wanted: str | None, *, is_there: bool, needs: str, where: Path) -> bool:
    """Whether the official split is taken, of a dataset that has no other.

    Args:
        wanted: What the user named: `official`, `even`, or None for the official one if it is
            there.
        is_there: Whether its lists are.
        needs: Names of its lists.
        where: The dataset.

    Raises:
        DatasetError: There is no such split, or its lists are missing.
    """
    if wanted not in (None, OFFICIAL, EVEN):
        raise DatasetError(f"{where}: expected split={OFFICIAL} or split={EVEN}, got {wanted!r}")
    if wanted == OFFICIAL and not is_there:
        raise DatasetError(
            f"{where}: expected the lists {needs} for split={OFFICIAL}, found none of them; get "
            f"them, or choose split={EVEN}"
        )
    return is_there and wanted != EVEN


@dataclass(frozen=True, slots=True)
class Naming:
    """How a dataset names its lists, classes and samples."""

    lists: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: LABEL_LISTS)
    """Split → the names that its list may have."""
    sample_of: Callable[[str], str] = class_and_sequence
    """Path in a list → the name of the sequence on disk."""
    class_of: Callable[[ListedSample], str] = class_in_path
    """Listed sample → its class, as the sequences on disk name it."""
    number_of: Callable[[str], int | None] = lambda name: None
    """Class → its number, counted from 0, where its name gives it."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Class → how it is called; its own name where it is not among them."""


def split_officially(
    layout: str,
    source: Path,
    found: Mapping[str, FoundSequence],
    naming: Naming,
    *,
    options: ListOptions,
    oddities: Oddities,
    list_folders: Sequence[Path],
) -> Manifest:
    """The manifest of these sequences by the official lists; without lists, by an even choice.

    Args:
        layout: Name of the layout.
        source: What the paths of the sequences are relative to.
        found: The sequences on disk, by name; one at least.
        naming: How the dataset names things.
        options: What the user chose.
        oddities: What is odd so far; more is added.
        list_folders: Where to look for the lists.

    Raises:
        DatasetError: The lists contradict themselves or the folders.
    """
    places = [options.lists] if options.lists is not None else list(list_folders)
    lists = _lists_in(places, naming)
    if options.lists is not None and not lists:
        raise DatasetError(
            f"{options.lists}: expected official lists ({_names(naming)}), found none of them; "
            "name another folder with lists=, or leave it out"
        )
    is_official = takes_official(
        options.split, is_there=bool(lists), needs=_names(naming), where=source
    )
    if not is_official:
        if options.split is None:
            require_no_lists_below(
                places, [name for names in naming.lists.values() for name in names]
            )
        nowhere = f"none of {_names(naming)} in {' or '.join(map(str, places))}"
        reason = f"split={EVEN}" if lists else nowhere
        samples = [sequence.sample for sequence in found.values()]
        return _called(
            split_evenly(layout, source, samples, options, reason=reason), naming, oddities
        )
    listed, notes = without_repetitions(
        read_lists(lists), lambda sample: naming.sample_of(sample.path)
    )
    _require_there(listed, found, options, oddities)
    label_of = label_of_each_class(listed.values(), naming.class_of)
    label_base(label_of, naming.number_of)
    merged = _one_of_each_label(label_of, oddities)
    samples = [
        _listed_sample(found[name], sample, naming.class_of(sample), merged, oddities)
        for name, sample in listed.items()
        if name in found
    ]
    for name in sorted(found.keys() - listed.keys()):
        oddities.add("samples that no list names were skipped", name)
    manifest = Manifest(
        layout,
        source,
        tuple(dict.fromkeys(merged.values())),
        tuple(samples),
        tuple(notes),
        split_source=", ".join(path.name for path in lists.values()),
        split_name=OFFICIAL,
    )
    return _called(manifest, naming, oddities)


def require_no_lists_below(places: Iterable[Path], names: Collection[str]) -> None:
    """Check that the lists of a split do not lie one folder further down.

    Args:
        places: Where they were looked for.
        names: Of the lists.

    Raises:
        DatasetError: They do; the even choice in their place would be another split.
    """
    for place in places:
        for inside in folders(place):
            if there := [name for name in names if (inside / name).is_file()]:
                raise split_below(place, inside.name, there)


def split_below(place: Path, inside: str, there: Iterable[str]) -> DatasetError:
    """The error about a published split that lies further down than the source."""
    return DatasetError(
        f"{place}: expected the published split in this folder, found its {listed(there)} in "
        f"{inside}; name {place / inside} as the source, or choose split={EVEN}"
    )


def split_evenly(
    layout: str,
    source: Path,
    samples: Iterable[Sample],
    options: EvenSplit,
    *,
    reason: str,
    apart: str | None = None,
) -> Manifest:
    """The manifest of these samples, a part of each class becoming the test split.

    Args:
        layout: Name of the layout.
        source: What the samples' paths are relative to.
        samples: All of them; their splits are not looked at.
        options: The share and the seed.
        reason: Why no official split is used, for the note.
        apart: A column no value of which comes to be on both sides.

    Raises:
        DatasetError: A sample lacks the column, or no value of it can be held out.
    """
    present = list(samples)
    held_out, how = hold_out(
        present, options.test_fraction, seed=options.seed, apart=apart, where=source
    )
    said = "evenly from the classes" if apart is None else how
    note = (
        f"no official split ({reason}): {len(held_out):,} of {len(present):,} samples became the "
        f"test split, {said} (seed {options.seed})"
    )
    return Manifest(
        layout,
        source,
        class_order(sample.label for sample in present),
        tuple(
            replace(sample, split="test" if sample.sample in held_out else "train")
            for sample in present
        ),
        (note,),
        split_source=f"{how}, seed {options.seed}",
        split_name=EVEN,
    )


def _lists_in(places: Iterable[Path], naming: Naming) -> dict[str, Path]:
    """Split → its list; all from the first place that has any.

    Raises:
        DatasetError: Those of train or test are missing there.
    """
    for place in places:
        lists = {
            split: place / name
            for split, names in naming.lists.items()
            for name in names
            if (place / name).is_file()
        }
        if absent := [naming.lists[split][0] for split in ("train", "test") if split not in lists]:
            if lists:
                raise DatasetError(
                    f"{place}: expected the lists {_names(naming)} together, {listed(absent)} is "
                    "not there; get it too"
                )
            continue
        return lists
    return {}


def _names(naming: Naming) -> str:
    return ", ".join(name for names in naming.lists.values() for name in names)


def _require_there(
    listed: Mapping[str, ListedSample],
    found: Mapping[str, FoundSequence],
    options: ListOptions,
    oddities: Oddities,
) -> None:
    absent = [(name, sample) for name, sample in listed.items() if name not in found]
    if not absent:
        return
    name, first = absent[0]
    if options.missing == "refuse" or len(absent) == len(listed):
        raise DatasetError(
            f"{first.list}: expected all {len(listed):,} listed samples on disk, "
            f"{len(absent):,} are not there\n"
            f"  {first.where} names: {name}\n"
            f"  on disk is, for example: {next(iter(found))}\n"
            "unpack what is missing, or go on without it with missing=leave_out"
        )
    for name, sample in absent:
        oddities.add("listed samples are not there and were skipped", f"{sample.where}: {name}")


def _listed_sample(
    sequence: FoundSequence,
    listed: ListedSample,
    label: str,
    merged: Mapping[str, str],
    oddities: Oddities,
) -> Sample:
    sample = sequence.sample
    if None not in (listed.frames, sequence.pictures) and listed.frames != sequence.pictures:
        oddities.add(
            "samples have another number of pictures than their list gives",
            f"{listed.where} gives {listed.frames}, {sample.sample} has {sequence.pictures}",
        )
    if sample.label and label != sample.label:
        oddities.add(
            "samples are of another class by their list than by their name; the list was followed",
            f"{listed.where} gives {label}, {sample.sample} is {sample.label} by its name",
        )
    return replace(sample, label=merged[label], split=listed.split)


def _one_of_each_label(label_of: Mapping[str, ListedSample], oddities: Oddities) -> dict[str, str]:
    """Class → itself, or the first class that has the same label; in the order of the labels."""
    first_of: dict[int, str] = {}
    merged: dict[str, str] = {}
    for name in sorted(label_of, key=lambda name: (label_of[name].label, name)):
        first = first_of.setdefault(label_of[name].label, name)
        merged[name] = first
        if first != name:
            oddities.add(
                "folders have the label of another folder and were taken as one class with it",
                f"{name} and {first} have label {label_of[name].label}",
            )
    return merged


def _called(manifest: Manifest, naming: Naming, oddities: Oddities) -> Manifest:
    """The manifest with its classes under the names by which they are called.

    Classes that share a name are distinguished by their folders.
    """
    names = [naming.labels.get(folder, folder) for folder in manifest.labels]
    called = {
        folder: name if names.count(name) == 1 else f"{name} ({folder})"
        for folder, name in zip(manifest.labels, names, strict=True)
    }
    return replace(
        manifest,
        labels=tuple(called.values()),
        samples=tuple(replace(sample, label=called[sample.label]) for sample in manifest.samples),
        notes=(*manifest.notes, *oddities.notes()),
    )
