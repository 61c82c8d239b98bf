"""Videos with lists `path label` of each split, as Kinetics is usually laid out.

A list is a `.csv` or `.txt` file whose name holds train, val or test; its columns are apart by
blanks, tabs or commas. Labels are numbers. What they are called comes from a file with one name a
line; else from the videos' folders, where each label has one of its own; else they stay numbers.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from evlora.config import Config
from evlora.datasets.layouts.label_lists import (
    MEND,
    ListedSample,
    label_of_each_class,
    read_lists,
    without_repetitions,
)
from evlora.datasets.layouts.naming import split_name
from evlora.datasets.layouts.releases import disagreement
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import entries, require_folder, wrong_tree
from evlora.datasets.manifest import SPLITS, Manifest, Sample
from evlora.errors import DatasetError
from evlora.untrusted import read_text

LIST_SUFFIXES = (".csv", ".txt")
NAMES_FILES = ("labels.txt", "classes.txt", "class_names.txt", "label_map.txt")
EXPECTED_TREE = """\
train.csv              (lines such as: train/abseiling/0001.mp4 0)
val.csv
test.csv               (where there is one)
labels.txt             (where there is one: a name a line)
train/
  abseiling/
    0001.mp4
    …"""
CURE = "put the lists into this folder, with train, val or test in their names"
ABSENT_CURE = (
    "give the folder of the videos as videos=FOLDER, or leave these out with missing=leave_out"
)


class Options(Config):
    """Where the videos of the lists lie."""

    videos: Path | None = None
    """Folder to which the paths in the lists are relative; the lists' own by default."""
    missing: Literal["refuse", "leave_out"] = "refuse"
    """What is done when a list names videos that are not there."""


def collect(source: Path, folder: Path, options: Options, progress: Progress | None) -> Manifest:
    """The manifest of the lists in the folder `source`.

    Raises:
        DatasetError: There are no lists, or they contradict each other or the videos.
    """
    del folder, progress  # nothing is made, and reading lists takes no time
    source = require_folder(source)
    root = require_folder(options.videos or source)
    lists = _lists(source)
    by_path, notes = without_repetitions(read_lists(lists), lambda sample: sample.path)
    listed = list(by_path.values())
    names = _names(source, listed)
    absent = [sample for sample in listed if not (root / sample.path).exists()]
    if absent and options.missing == "refuse":
        faults = [f"{sample.where}: no {sample.path}" for sample in absent]
        raise disagreement(root, faults, ABSENT_CURE)
    if absent:
        notes.append(
            f"{len(absent)} of {len(listed)} listed videos are not there and were skipped, the "
            f"first {absent[0].path} ({absent[0].where})"
        )
    gone = {sample.path for sample in absent}
    samples = tuple(
        Sample(sample.path, None, sample.path, names[sample.label], sample.split)
        for sample in listed
        if sample.path not in gone
    )
    return Manifest(
        "video_lists",
        root.resolve(),
        tuple(names[label] for label in sorted(names)),
        samples,
        tuple(notes),
        split_source=", ".join(path.name for path in lists.values()),
    )


def _lists(source: Path) -> dict[str, Path]:
    """The list of each split."""
    found: dict[str, Path] = {}
    for path in entries(source):
        if path.suffix.lower() not in LIST_SUFFIXES or path.name in NAMES_FILES:
            continue
        words = {split_name(word) for word in re.split(r"[\W_]+", path.stem)} - {None}
        for split in words:
            if split in found:
                raise wrong_tree(
                    source,
                    EXPECTED_TREE,
                    f"two lists of {split}, {found[split].name} and {path.name}",
                    "keep one of them there",
                )
            found[str(split)] = path
    if not found:
        raise wrong_tree(source, EXPECTED_TREE, "no list of a split", CURE)
    return {split: found[split] for split in SPLITS if split in found}


def _names(source: Path, listed: Sequence[ListedSample]) -> dict[int, str]:
    """Label → name of the class."""
    labels = sorted({sample.label for sample in listed})
    for name in NAMES_FILES:
        if (source / name).is_file():
            return _named(source / name, listed)
    folder_of = {sample.path: Path(sample.path).parent.name for sample in listed}
    if len(set(folder_of.values())) != len(labels) or len(labels) < 2:
        return {label: str(label) for label in labels}
    of_folder = label_of_each_class(listed, lambda sample: folder_of[sample.path])
    return {sample.label: name for name, sample in of_folder.items()}


def _named(path: Path, listed: Sequence[ListedSample]) -> dict[int, str]:
    """Label → name, from a file with one name a line."""
    names = [
        line.strip() for line in read_text(path, DatasetError, encoding="utf-8-sig").splitlines()
    ]
    names = [name for name in names if name]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DatasetError(f"{path}: expected names that differ, got {twice} twice; {MEND}")
    lowest = min(listed, key=lambda sample: sample.label)
    highest = max(listed, key=lambda sample: sample.label)
    base = int(lowest.label > 0)
    # Labels from 1 to K - 1 of K names fit both counts; then none of them is sure.
    is_unsure = base == 1 and highest.label < len(names)
    if is_unsure or highest.label - base >= len(names):
        raise DatasetError(
            f"{path}: expected the names of labels {lowest.label} to {highest.label} "
            f"({lowest.where}, {highest.where}), counted from 0 or from 1, got {len(names)} names; "
            f"{MEND}"
        )
    return {base + number: name for number, name in enumerate(names)}
