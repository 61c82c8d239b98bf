"""Accuracy where a condition holds: light, subject, camera, or another column of the dataset."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from scipy.stats import binomtest

from evlora.datasets import Manifest
from evlora.escaping import in_figure
from evlora.evaluation import Answers
from evlora.figures import new_figure, save_figure

MOST_VALUES = 40
"""A column with more values than this names samples rather than a condition."""


class Share(NamedTuple):
    """How many of some clips are right, with the 95 % interval of the share (Wilson, 1927)."""

    right: int
    clips: int

    @property
    def accuracy(self) -> float:
        """The share that is right."""
        return self.right / self.clips

    @property
    def interval(self) -> tuple[float, float]:
        """Its lowest and highest value."""
        found = binomtest(self.right, self.clips).proportion_ci(method="wilson")
        return float(found.low), float(found.high)


def accuracy_by_condition(answers: Answers, manifest: Manifest) -> dict[str, dict[str, Share]]:
    """The accuracy for each value of each column that the samples of a dataset have.

    Columns with a single value, or with more than `MOST_VALUES`, are passed over.

    Args:
        answers: For samples of the dataset.
        manifest: The dataset.

    Returns:
        By column and value.
    """
    columns = {sample.sample: sample.columns for sample in manifest.samples}
    counts: dict[str, dict[str, Share]] = {}
    for name, right in zip(answers.names, answers.is_right.tolist(), strict=True):
        for column, value in columns[name]:
            before = counts.setdefault(column, {}).get(value, Share(0, 0))
            counts[column][value] = Share(before.right + right, before.clips + 1)
    return {
        column: dict(sorted(values.items()))
        for column, values in counts.items()
        if 1 < len(values) <= MOST_VALUES
    }


def draw_conditions(by_condition: Mapping[str, Mapping[str, Share]], path: Path) -> None:
    """Accuracy by the values of each column, with its 95 % interval.

    Args:
        by_condition: Of `accuracy_by_condition`.
        path: The PNG to write.
    """
    heights = [1.2 + 0.3 * len(values) for values in by_condition.values()]
    figure = new_figure((7.0, sum(heights)))
    grid: Sequence[Sequence[object]] = figure.subplots(
        len(heights), 1, squeeze=False, height_ratios=heights
    )
    for (axes,), (column, values) in zip(grid, by_condition.items(), strict=True):
        _draw_column(axes, column, values)
    save_figure(figure, path)


def _draw_column(axes: object, column: str, values: Mapping[str, Share]) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    names = [f"{in_figure(name, 30)} ({share.clips})" for name, share in values.items()]
    accuracies = [100 * share.accuracy for share in values.values()]
    ends = [share.interval for share in values.values()]
    below = [max(0.0, a - 100 * low) for a, (low, _) in zip(accuracies, ends, strict=True)]
    above = [max(0.0, 100 * high - a) for a, (_, high) in zip(accuracies, ends, strict=True)]
    axes.barh(range(len(names)), accuracies, xerr=(below, above), capsize=3, color="C0", alpha=0.8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("top-1 accuracy, %")
    axes.set_title(in_figure(column, 60), fontsize=10)
