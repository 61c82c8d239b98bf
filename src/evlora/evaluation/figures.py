"""The figures of an evaluation, from the answers for each sample."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from evlora.datasets.protocol import Protocol
from evlora.evaluation.answers import Answers

BINS = 15
"""Of confidence, for the calibration error."""
SHARES = tuple(range(10, 101, 10))
"""Shares of the samples, in per cent, at which accuracy over coverage is given."""
WHOLE_CONFUSION = 100
"""Labels up to which `as_dict` has the whole confusion matrix."""
Interval = tuple[float, float]


class Confusion(Sequence[Sequence[int]]):
    """A confusion matrix of K × K counts, of which only those that are not 0 take memory.

    Args:
        labels: Numbers of the true classes, shape (N,).
        predicted: Numbers of the predicted ones, the same way.
        classes: K.
    """

    def __init__(
        self, labels: NDArray[np.int64], predicted: NDArray[np.int64], *, classes: int
    ) -> None:
        self._classes = classes
        pairs, counts = np.unique(labels * classes + predicted, return_counts=True)
        self.cells: tuple[tuple[int, int, int], ...] = tuple(
            (*divmod(int(pair), classes), int(count))
            for pair, count in zip(pairs, counts, strict=True)
        )
        """True class, predicted class, and the samples of both, where there are any."""

    def __len__(self) -> int:
        return self._classes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Confusion):
            return NotImplemented
        return (self._classes, self.cells) == (other._classes, other.cells)

    def __hash__(self) -> int:
        return hash((self._classes, self.cells))

    @overload
    def __getitem__(self, index: int) -> Sequence[int]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sequence[int]]: ...
    def __getitem__(self, index: int | slice) -> Sequence[int] | Sequence[Sequence[int]]:
        """The row of a true class: its samples by predicted class."""
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(self._classes))]
        number = range(self._classes)[index]
        row = [0] * self._classes
        for true, predicted, count in self.cells:
            if true == number:
                row[predicted] = count
        return row

    def __iter__(self) -> Iterator[Sequence[int]]:
        """The rows, each made when it is asked for."""
        start = 0
        for number in range(self._classes):
            row = [0] * self._classes
            while start < len(self.cells) and self.cells[start][0] == number:
                row[self.cells[start][1]] = self.cells[start][2]
                start += 1
            yield row


class Bin(NamedTuple):
    """The samples whose confidence lies between two borders."""

    low: float
    high: float
    samples: int
    confidence: float | None
    """Mean of theirs; None where there is none."""
    accuracy: float | None


class CoveragePoint(NamedTuple):
    """How many answers are right if only the surest ones are given."""

    coverage: float
    """Share of the samples that are answered."""
    accuracy: float
    confidence: float
    """Least probability of those answers: the threshold that gives this coverage."""


class Slice(NamedTuple):
    """The figures of the samples that have one value in a column."""

    samples: int
    top1: float
    top1_interval: Interval | None
    top5: float
    macro: float
    ece: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of one split; accuracies are shares of 1."""

    top1: float
    """Share of samples whose label comes first."""
    top5: float
    """Share of samples whose label is among the first five."""
    macro: float
    """Mean over the classes of each class's top-1."""
    samples: int
    split: str
    ece: float
    """Expected calibration error over 15 bins of confidence (Guo et al., ICML 2017)."""
    per_class: dict[str, float | None]
    """Top-1 of each class; None where the split has no sample of it."""
    split_source: str
    """Where the split came from, as the dataset states."""
    views: int
    """Clips of a sample that were averaged over."""
    without: str | None
    """The modality that was hidden."""
    confusion: Sequence[Sequence[int]]
    """Rows are true labels, columns predicted ones, in the order of the labels."""
    predicted: dict[str, str]
    """The predicted label of each sample."""
    corruption: str | None = None
    """The fault that the recordings had, and its strength."""
    nll: float | None = None
    """Mean negative logarithm of the true label's probability."""
    temperature: float = 1.0
    """By which the recognizer's scores are divided; see `fit_temperature`."""
    intervals: dict[str, Interval] = field(default_factory=dict[str, Interval])
    """95 % bootstrap intervals of top1, top5, macro and ece."""
    bins: tuple[Bin, ...] = ()
    """Confidence and accuracy of the bins of `ece`."""
    coverage: tuple[CoveragePoint, ...] = ()
    """Accuracy where only the surest 10, 20, … 100 % of the samples are answered."""
    slices: dict[str, dict[str, Slice]] = field(default_factory=dict[str, dict[str, Slice]])
    """By column of the manifest and its values."""
    protocol: Protocol | None = None
    """What the figures are of."""
    answers: Answers | None = field(default=None, repr=False, compare=False)
    """Of each sample, for tests of pairs; not part of `as_dict`."""

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain values, in the order in which they are printed.

        Above 100 labels `confusion` is None; `confused` has its cells beside the diagonal.
        """
        names = tuple(self.per_class)
        plain = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("answers", "confusion", "bins", "coverage", "slices", "protocol")
        }
        is_small = len(names) <= WHOLE_CONFUSION
        confusion = [list(row) for row in self.confusion] if is_small else None
        return {
            **plain,
            "protocol": None if self.protocol is None else self.protocol.as_dict(),
            "confusion": confusion,
            "confused": [
                {"label": names[true], "predicted": names[other], "samples": count}
                for true, other, count in cells_of(self.confusion)
                if true != other
            ],
            "bins": [one._asdict() for one in self.bins],
            "coverage": [one._asdict() for one in self.coverage],
            "slices": {
                column: {value: one._asdict() for value, one in values.items()}
                for column, values in self.slices.items()
            },
        }


def cells_of(confusion: Sequence[Sequence[int]]) -> Sequence[tuple[int, int, int]]:
    """The counts of a confusion matrix that are not 0: true class, predicted class, samples."""
    if isinstance(confusion, Confusion):
        return confusion.cells
    return [(i, j, n) for i, row in enumerate(confusion) for j, n in enumerate(row) if n]


def per_class_of(answers: Answers) -> NDArray[np.float64]:
    """Top-1 of each class, shape (K,); NaN where it has no sample."""
    classes = len(answers.classes)
    totals = np.bincount(answers.labels, minlength=classes)
    right = np.bincount(answers.labels, weights=answers.is_right, minlength=classes)
    return np.divide(right, totals, out=np.full(classes, np.nan), where=totals > 0)


def bins_of(answers: Answers) -> tuple[Bin, ...]:
    """The samples by confidence, in bins of equal width."""
    borders = np.linspace(0, 1, BINS + 1)
    numbers = bin_numbers(answers.confidence)
    found: list[Bin] = []
    for number, (low, high) in enumerate(pairwise(borders)):
        inside = numbers == number
        count = int(inside.sum())
        confidence = float(answers.confidence[inside].mean()) if count else None
        accuracy = float(answers.is_right[inside].mean()) if count else None
        found.append(Bin(float(low), float(high), count, confidence, accuracy))
    return tuple(found)


def bin_numbers(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each confidence, as torchmetrics counts them."""
    borders = np.linspace(0, 1, BINS + 1)
    return np.clip(np.searchsorted(borders, confidence, side="right") - 1, 0, BINS - 1)


def calibration_error(answers: Answers) -> float:
    """Mean gap between confidence and accuracy over the bins, weighed by their samples."""
    gaps = [
        one.samples * abs(one.confidence - one.accuracy)
        for one in bins_of(answers)
        if one.confidence is not None and one.accuracy is not None
    ]
    return sum(gaps) / len(answers.names)


def coverage_of(answers: Answers) -> tuple[CoveragePoint, ...]:
    """Accuracy over coverage: the surest samples are answered first."""
    order = np.argsort(-answers.confidence, kind="stable")
    right = np.cumsum(answers.is_right[order])
    points: list[CoveragePoint] = []
    for share in SHARES:
        count = max(1, -(-share * len(order) // 100))
        confidence = float(answers.confidence[order[count - 1]])
        points.append(
            CoveragePoint(count / len(order), float(right[count - 1] / count), confidence)
        )
    return tuple(points)
