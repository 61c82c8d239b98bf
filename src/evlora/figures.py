"""Pictures of results: a confusion matrix, a strip of clips, methods beside each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from evlora.clips import Clip
from evlora.escaping import in_figure
from evlora.files import writing_file

RIGHT, WRONG = "#1a7f37", "#cf222e"
SMALLEST_AREA, LARGEST_AREA = 30.0, 3000.0
"""Of the circles in a comparison, in square points."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A clip, its true label and the predicted one."""

    clip: Clip
    label: str
    predicted: str


@dataclass(frozen=True, slots=True)
class Bubble:
    """One method in the picture of a comparison."""

    name: str
    time_ms: float
    """Time of a training step."""
    accuracy: float
    """Share of 1."""
    trained: int
    """Trained parameters, the area of the circle."""


def draw_confusion(confusion: Sequence[Sequence[int]], labels: Sequence[str], path: Path) -> None:
    """A confusion matrix as a picture: rows are true labels, columns predicted ones.

    Args:
        confusion: Counts, shape (K, K).
        labels: Names of the K classes.
        path: The PNG to write.
    """
    counts = np.asarray(confusion, dtype=float)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    side = min(14.0, 2.5 + 0.24 * len(labels))
    figure = _figure((side, side))
    names = list(map(in_figure, labels))
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(labels)), names, fontsize=7)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title("share of each true class, white 0 to blue 1")
    if len(labels) <= 20:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = f"{counts[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    _save(figure, path)


def draw_clip_strip(answers: Sequence[Answer], path: Path) -> None:
    """Clips side by side: the T frames above the T event images, true and predicted label.

    Args:
        answers: What to show, one column each.
        path: The PNG to write.
    """
    figure = _figure((2.1 * len(answers), 2.1 * _tallest(answers) + 0.5))
    for number, answer in enumerate(answers):
        axes = figure.add_subplot(1, len(answers), number + 1)
        axes.imshow(np.concatenate(_columns(answer.clip), axis=1))
        axes.set_axis_off()
        axes.set_title(
            f"true {in_figure(answer.label)}\npredicted {in_figure(answer.predicted)}",
            fontsize=10,
            color=RIGHT if answer.label == answer.predicted else WRONG,
        )
    _save(figure, path)


def draw_bubbles(bubbles: Sequence[Bubble], path: Path) -> None:
    """Accuracy over the time of a training step; the area of a circle is what was trained.

    Args:
        bubbles: One for each method.
        path: The PNG to write.
    """
    figure = _figure((8.5, 5.5))
    axes = figure.add_subplot()
    largest = max(bubble.trained for bubble in bubbles)
    by_height = sorted(bubbles, key=lambda bubble: (bubble.accuracy, bubble.time_ms))
    for bubble in sorted(bubbles, key=lambda bubble: -bubble.trained):
        number = by_height.index(bubble)  # neighbours are named above and below in turn
        area = SMALLEST_AREA + (LARGEST_AREA - SMALLEST_AREA) * bubble.trained / largest
        place = (bubble.time_ms, 100 * bubble.accuracy)
        axes.scatter(*place, s=area, alpha=0.45, color=f"C{number % 10}", edgecolors="black")
        axes.annotate(
            f"{in_figure(bubble.name)} ({bubble.trained / 1e6:.2g} M)",
            place,
            xytext=(6, 6 if number % 2 else -12),
            textcoords="offset points",
            fontsize=8,
        )
    axes.margins(x=0.2, y=0.12)
    axes.set_xlabel("time of a training step, ms")
    axes.set_ylabel("accuracy, %")
    axes.set_title("area: trained parameters, in millions in the brackets", fontsize=10)
    axes.grid(alpha=0.3)
    _save(figure, path)


def draw_lines(
    lines: Mapping[str, Mapping[str, tuple[float, float]]],
    path: Path,
    *,
    key: str,
    lowest: float | None = None,
) -> None:
    """Accuracy over the values of a key, a line for each method, with its spread.

    Args:
        lines: By method and value, mean and spread of the accuracy, shares of 1.
        path: The PNG to write.
        key: What was varied.
        lowest: Accuracy at which the picture ends below; None shows all that there is.
    """
    figure = _figure((8.5, 5.5))
    axes = figure.add_subplot()
    for method, points in lines.items():
        means, spreads = ([100 * point[i] for point in points.values()] for i in (0, 1))
        axes.errorbar(
            list(map(in_figure, points)),
            means,
            yerr=spreads,
            marker="o",
            capsize=3,
            label=in_figure(method),
        )
    axes.set_xlabel(in_figure(key))
    axes.set_ylabel("accuracy, %")
    if lowest is not None:
        axes.set_ylim(100 * lowest, 100)
    axes.legend()
    axes.grid(alpha=0.3)
    _save(figure, path)


def _columns(clip: Clip) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    return [_stacked(images) for images in (clip.rgb, clip.events) if images is not None]


def _stacked(images: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    framed = np.pad(
        images.permute(0, 2, 3, 1).numpy(), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=128
    )
    return np.concatenate(list(framed), axis=0)  # the moments from top to bottom


def _tallest(answers: Sequence[Answer]) -> float:
    pictures = [np.concatenate(_columns(answer.clip), axis=1) for answer in answers]
    return max(picture.shape[0] / picture.shape[1] for picture in pictures)


def _figure(size_in: tuple[float, float]) -> Any:
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    return Figure(figsize=size_in, layout="constrained")


def _save(figure: Any, path: Path) -> None:
    with writing_file(path) as temporary:
        figure.savefig(temporary, dpi=110, facecolor="white")
