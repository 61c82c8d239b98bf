"""Which classes are taken for which: groups that are confused, and the most frequent mistakes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import squareform

from evlora.escaping import in_figure, printable
from evlora.evaluation.figures import cells_of
from evlora.figures import new_figure, save_figure

CONFUSED_SHARE = 0.05
"""Share of clips that classes of one group are taken for each other by, on average, at least."""

MOST_DRAWN = 1000
"""Classes up to which all are drawn: time and memory grow with the square of their number."""

COUNTED_CLASSES = 20
"""Up to which the number of clips stands in each cell."""
LARGE_CLASS_IN, SMALL_CLASS_IN = 0.24, 0.11
"""Side of a cell in inches, of few classes and of many."""
LABEL_LENGTH = 26
MARGIN_IN = 2.1
"""Room for labels."""


class ConfusedPair(NamedTuple):
    """A class, what it was taken for, and how often."""

    label: str
    predicted: str
    clips: int
    of: int
    """All clips of the class."""


def shares(confusion: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """The share of each true class (row) that is predicted as each class (column), shape (K, K)."""
    counts = np.asarray(confusion, dtype=float)
    return counts / np.maximum(1, counts.sum(axis=1, keepdims=True))


def confused_groups(confusion: Sequence[Sequence[int]]) -> list[list[int]]:
    """All classes in an order in which those that are confused are neighbours, in groups.

    Groups come from average linkage; the distance of two classes is 1 less the share of clips by
    which they are taken for each other.

    Args:
        confusion: Counts, shape (K, K).

    Returns:
        Numbers of the classes, each once.
    """
    off = shares(confusion)
    if len(off) < 3:
        return [list(range(len(off)))]
    np.fill_diagonal(off, 0)
    together = np.minimum(1, off + off.T)
    distance = 1 - together
    np.fill_diagonal(distance, 0)
    tree: Any = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    group_of = fcluster(tree, 1 - CONFUSED_SHARE, "distance")
    groups: dict[int, list[int]] = {}
    for number in leaves_list(tree).tolist():
        groups.setdefault(int(group_of[number]), []).append(number)
    return list(groups.values())


def most_confused(
    confusion: Sequence[Sequence[int]], labels: Sequence[str], *, at_most: int = 20
) -> list[ConfusedPair]:
    """The pairs of classes with the most clips that were taken for the other.

    Args:
        confusion: Counts, shape (K, K).
        labels: Names of the K classes.
        at_most: Number of pairs.
    """
    of: Counter[int] = Counter()
    for true, _, clips in cells_of(confusion):
        of[true] += clips
    return [
        ConfusedPair(labels[true], labels[predicted], clips, of[true])
        for true, predicted, clips in _mistakes(confusion)[:at_most]
    ]


def _mistakes(confusion: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """The cells beside the diagonal, those of the most clips first."""
    cells = [(int(i), int(j), int(n)) for i, j, n in cells_of(confusion) if i != j]
    return sorted(cells, key=lambda cell: -cell[2])


def classes_to_draw(confusion: Sequence[Sequence[int]], *, at_most: int = MOST_DRAWN) -> list[int]:
    """Numbers of the classes that a picture shows: all, or of very many those of most mistakes.

    Args:
        confusion: Counts, shape (K, K).
        at_most: Number of classes.
    """
    if len(confusion) <= at_most:
        return list(range(len(confusion)))
    chosen: dict[int, None] = {}
    for true, predicted, _ in _mistakes(confusion):
        for number in (true, predicted):
            if len(chosen) < at_most:
                chosen[number] = None
    return sorted(chosen)


def part_of(confusion: Sequence[Sequence[int]], numbers: Sequence[int]) -> list[list[int]]:
    """The confusion of some classes among each other, of n classes shape (n, n)."""
    place_of = {number: place for place, number in enumerate(numbers)}
    part = [[0] * len(numbers) for _ in numbers]
    for true, predicted, clips in cells_of(confusion):
        if true in place_of and predicted in place_of:
            part[place_of[true]][place_of[predicted]] = clips
    return part


def matrix_for_page(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> dict[str, Any]:
    """What the page's script draws: cells that are not empty, and orders of the classes."""
    drawn = classes_to_draw(confusion)
    counts = part_of(confusion, drawn)
    groups = confused_groups(counts)
    wrong = [sum(row) - row[number] for number, row in enumerate(counts)]
    return {
        "labels": [printable(labels[number]) for number in drawn],
        "cells": cells_of(counts),
        "orders": {
            "grouped": [number for group in groups for number in group],
            "labels": list(range(len(drawn))),
            "wrong": sorted(range(len(drawn)), key=lambda number: -wrong[number]),
        },
        "groups": [len(group) for group in groups],
    }


def draw_confusion(
    confusion: Sequence[Sequence[int]],
    labels: Sequence[str],
    path: Path,
    *,
    groups: Sequence[Sequence[int]] | None = None,
) -> None:
    """A confusion matrix: rows are true labels, columns predicted ones, groups in frames.

    Args:
        confusion: Counts, shape (K, K).
        labels: Names of the K classes.
        path: The PNG to write.
        groups: Of `confused_groups`; without them classes stand in the order of the labels.
    """
    order = [number for group in groups or [range(len(labels))] for number in group]
    counts = np.asarray(confusion)[np.ix_(order, order)]
    values = shares(confusion)[np.ix_(order, order)]
    names = [in_figure(labels[number], LABEL_LENGTH) for number in order]
    # Labels of seven points need cells of a quarter of an inch, those of four half of it.
    cell = LARGE_CLASS_IN if len(names) <= 60 else max(SMALL_CLASS_IN, 14 / len(names))
    size = min(8.0, 72 * cell * 0.55) if len(names) > 60 else 8.0
    side = MARGIN_IN + 0.5 + cell * len(names)
    figure = new_figure((side, side))
    figure.set_layout_engine("none")  # which takes ten seconds to measure 600 labels
    extent = cell * len(names) / side
    axes = figure.add_axes((MARGIN_IN / side, MARGIN_IN / side, extent, extent))
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title("share of each true class, white 0 to blue 1", fontsize=10)
    if len(names) <= COUNTED_CLASSES:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if values[row, column] > 0.5 else "black"
            axes.text(
                column, row, counts[row, column], ha="center", va="center", color=colour, fontsize=7
            )
    begin = 0.0
    for group in groups or ():
        if len(group) > 1:
            from matplotlib.patches import Rectangle

            place = (begin - 0.5, begin - 0.5)
            frame = Rectangle(place, len(group), len(group), fill=False, ec="C1", lw=1)
            axes.add_patch(frame)
        begin += len(group)
    save_figure(figure, path)
