"""Something-Something v2: 174 actions with things, named by templates, with the official splits.

`labels.json` gives each template its number. `train.json` and `validation.json` name the template
of each video, with brackets around what stands for a thing; they are taken off to find it.
`test-answers.csv` (`id;template`), where it is there, gives the test split
(https://www.qualcomm.com/developer/software/something-something-v-2-dataset).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evlora.companions import visible
from evlora.config import Config
from evlora.datasets.layouts.csv_rows import rows_of
from evlora.datasets.layouts.releases import disagreement
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import require_folder, wrong_tree
from evlora.datasets.manifest import Manifest, Sample
from evlora.errors import DatasetError
from evlora.untrusted import parse_json, read_text

VIDEOS_FOLDER = "20bn-something-something-v2"
LABELS_FOLDER = "labels"
LABELS_FILE = "labels.json"
LISTS = {"train": "train.json", "val": "validation.json"}
ANSWERS_FILE = "test-answers.csv"
EXPECTED_TREE = """\
20bn-something-something-v2/
  1.webm
  2.webm
  …
labels/
  labels.json
  test-answers.csv     (where there is one)
  train.json
  validation.json"""
CURE = "join and unpack the archives of the videos, and put the lists beside them, like this"


class Options(Config):
    """Something-Something v2 has nothing to choose."""


def collect(source: Path, folder: Path, options: Options, progress: Progress | None) -> Manifest:
    """The manifest of the folder `source`.

    Raises:
        DatasetError: The folder is not laid out so, or the lists and the videos disagree.
    """
    del folder, options, progress  # nothing is made, and reading lists takes no time
    source = require_folder(source)
    wanted = (
        VIDEOS_FOLDER,
        *(f"{LABELS_FOLDER}/{name}" for name in (LABELS_FILE, *LISTS.values())),
    )
    missing = [name for name in wanted if not (source / name).exists()]
    if missing:
        raise wrong_tree(source, EXPECTED_TREE, f"no {missing[0]}", CURE)
    where = source / LABELS_FOLDER
    labels = _labels(where / LABELS_FILE)
    lists = {split: _listed(where / name) for split, name in LISTS.items()}
    if (where / ANSWERS_FILE).is_file():
        lists["test"] = _answered(where / ANSWERS_FILE)
    videos = {entry.stem: entry.name for entry in visible(source / VIDEOS_FOLDER)}
    samples: list[Sample] = []
    faults: list[str] = []
    for split, listed in lists.items():
        for place, name, template in listed:
            label = _without_brackets(template)
            if label not in labels:
                faults.append(f"{place}: {template!r} is no template of {LABELS_FILE}")
            elif name not in videos:
                faults.append(f"{place}: no video {name} in {VIDEOS_FOLDER}, or named twice")
            else:
                path = f"{VIDEOS_FOLDER}/{videos.pop(name)}"
                samples.append(Sample(name, None, path, label, split))
    if faults:
        raise disagreement(source, faults, CURE)
    notes = [f"{len(videos)} videos are in no list with labels"] if videos else []
    if "test" not in lists:
        notes.append(f"no {ANSWERS_FILE}, so no test split: evaluate on val, as papers do")
    files = [*LISTS.values(), *([ANSWERS_FILE] if "test" in lists else [])]
    return Manifest(
        "something_something_v2",
        source.resolve(),
        labels,
        tuple(samples),
        tuple(notes),
        split_source=", ".join(files),
    )


def _labels(path: Path) -> tuple[str, ...]:
    """The templates in the order of their numbers."""
    numbers = _parsed(path)
    try:
        by_number = {int(number): label for label, number in numbers.items()}
    except (AttributeError, TypeError, ValueError):
        by_number = {}
    if not by_number or sorted(by_number) != list(range(len(numbers))):
        raise DatasetError(
            f"{path}: expected an object that gives each template a number from 0 on, got "
            f"{str(numbers)[:60]}; {CURE}"
        )
    return tuple(by_number[number] for number in range(len(by_number)))


def _listed(path: Path) -> Iterator[tuple[str, str, str]]:
    """Place, video and template of every entry."""
    found = _parsed(path)
    for number, entry in enumerate(found if isinstance(found, list) else [found], start=1):
        if not isinstance(entry, Mapping) or not {"id", "template"} <= set(entry):
            raise DatasetError(
                f"{path} entry {number}: expected an object with id and template, got "
                f"{str(entry)[:60]}; {CURE}"
            )
        yield f"{path.name} entry {number}", str(entry["id"]), str(entry["template"])


def _answered(path: Path) -> Iterator[tuple[str, str, str]]:
    """The same of the test split."""
    for number, row in enumerate(rows_of(path, delimiter=";"), start=1):
        if len(row) != 2:
            raise DatasetError(
                f"{path} line {number}: expected `id;template`, got {';'.join(row)!r}; {CURE}"
            )
        yield f"{path.name} line {number}", row[0].strip(), row[1].strip()


def _parsed(path: Path) -> Any:
    try:
        return parse_json(read_text(path, DatasetError))
    except ValueError as error:
        raise DatasetError(f"{path}: expected JSON, could not read it: {error}; {CURE}") from error


def _without_brackets(template: str) -> str:
    return template.replace("[", "").replace("]", "")
