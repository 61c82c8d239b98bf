"""Lists of samples with their labels, as the authors of datasets publish their splits.

One sample a line, `path label` or `path frames label`, its columns apart by blanks, tabs or
commas. Labels count from 0 or from 1; which, is found out from all lists of a dataset together, and
what contradicts is refused with the file and the line.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from evlora.errors import DatasetError
from evlora.untrusted import read_text

LINE = re.compile(r"(?P<path>\S.*?)(?:[\s,]+(?P<frames>[0-9]+))?[\s,]+(?P<label>[0-9]+)\s*")
MEND = "mend the lists, or get them again from where the dataset is published"


@dataclass(frozen=True, slots=True)
class ListedSample:
    """One line of a list."""

    path: str
    """As it stands there, with slashes."""
    frames: int | None
    """Number of frames; None in lists of two columns."""
    label: int
    split: str
    list: Path
    line: int

    @property
    def where(self) -> str:
        """The list and the line, for messages."""
        return f"{self.list.name} line {self.line}"


def read_lists(lists: Mapping[str, Path]) -> list[ListedSample]:
    """The samples of all lists, in the order of the files.

    Args:
        lists: Split → its list.

    Raises:
        DatasetError: A file is no text, is empty, or a line is neither of the two forms.
    """
    return [sample for split, path in lists.items() for sample in _read(path, split)]


def without_repetitions(
    listed: Iterable[ListedSample], name_of: Callable[[ListedSample], str]
) -> tuple[dict[str, ListedSample], list[str]]:
    """The samples by name, and notes on those that one list names twice with the same label.

    Raises:
        DatasetError: A sample stands in two splits, or with two labels.
    """
    by_name: dict[str, ListedSample] = {}
    repeated: list[str] = []
    for sample in listed:
        name = name_of(sample)
        first = by_name.setdefault(name, sample)
        if first is sample:
            continue
        if first.split != sample.split:
            raise DatasetError(
                f"{sample.list}: expected every sample in one split, found {name} in "
                f"{first.split} ({first.where}) and in {sample.split} ({sample.where}); {MEND}"
            )
        if first.label != sample.label:
            raise DatasetError(
                f"{sample.list}: expected one label for {name}, found {first.label} "
                f"({first.where}) and {sample.label} ({sample.where}); {MEND}"
            )
        repeated.append(f"{sample.where} repeats {name} of line {first.line}")
    notes = [f"{len(repeated)} lines were skipped: {repeated[0]}"] if repeated else []
    return by_name, notes


def label_of_each_class(
    listed: Iterable[ListedSample], class_of: Callable[[ListedSample], str]
) -> dict[str, ListedSample]:
    """Class → the first line that gives its label.

    Raises:
        DatasetError: A class has two labels.
    """
    first: dict[str, ListedSample] = {}
    for sample in listed:
        name = class_of(sample)
        other = first.setdefault(name, sample)
        if other.label != sample.label:
            raise DatasetError(
                f"{sample.list}: expected one label for the folder {name}, found {other.label} "
                f"({other.where}) and {sample.label} ({sample.where}); {MEND}"
            )
    return first


def label_base(label_of: Mapping[str, ListedSample], number_of: Callable[[str], int | None]) -> int:
    """Whether labels count from 0 or from 1.

    Args:
        label_of: Class → a line with its label.
        number_of: The number of a class, counted from 0, as its name gives it; None where the name
            gives none. Where no name gives one, the labels of K classes must lie in K places.

    Raises:
        DatasetError: Neither reading fits all lines; the message shows a line against each.
    """
    against: list[str] = []
    for base in (0, 1):
        fault = _fault(label_of, number_of, base)
        if fault is None:
            return base
        against.append(f"counted from {base}: {fault}")
    some = next(iter(label_of.values()))
    raise DatasetError(
        f"{some.list.parent}: expected labels that count the classes from 0 or from 1, neither "
        f"fits\n  {against[0]}\n  {against[1]}\n{MEND}"
    )


def _fault(
    label_of: Mapping[str, ListedSample], number_of: Callable[[str], int | None], base: int
) -> str | None:
    """The first line that contradicts labels counted from `base`."""
    last = base + len(label_of) - 1
    for name, sample in label_of.items():
        number = number_of(name)
        if number is None and not base <= sample.label <= last:
            return (
                f"expected {base} to {last} for {len(label_of)} classes, "
                f"{sample.where} gives {sample.label}"
            )
        if number is not None and sample.label != number + base:
            return f"expected {number + base} for {name}, {sample.where} gives {sample.label}"
    return None


def _read(path: Path, split: str) -> list[ListedSample]:
    text = read_text(path, DatasetError, encoding="utf-8-sig")
    samples = [
        _parsed(line, path, number, split)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    if not samples:
        raise DatasetError(f"{path}: expected a line for each sample, the file is empty; {MEND}")
    return samples


def _parsed(line: str, path: Path, number: int, split: str) -> ListedSample:
    columns = LINE.fullmatch(line.strip())
    if columns is None:
        raise DatasetError(
            f"{path} line {number}: expected `path label` or `path frames label`, "
            f"got {line.strip()!r}; {MEND}"
        )
    frames = None if columns["frames"] is None else int(columns["frames"])
    name = columns["path"].replace("\\", "/").removeprefix("./")
    return ListedSample(name, frames, int(columns["label"]), split, path, number)
