"""How a picture is begun and written, and the pictures of methods beside each other."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evlora.escaping import in_figure
from evlora.files import writing_file

SMALLEST_AREA, LARGEST_AREA = 30.0, 3000.0
"""Of the circles in a comparison, in square points."""


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


def draw_bubbles(bubbles: Sequence[Bubble], path: Path) -> None:
    """Accuracy over the time of a training step; the area of a circle is what was trained.

    Args:
        bubbles: One for each method.
        path: The PNG to write.
    """
    figure = new_figure((8.5, 5.5))
    axes = figure.add_subplot()
    largest = max(bubble.trained for bubble in bubbles)
    by_height = sorted(bubbles, key=lambda bubble: (bubble.accuracy, bubble.time_ms))
    for bubble in sorted(bubbles, key=lambda bubble: -bubble.trained):
        number = by_height.index(bubble)  # neighbours are named at its four corners in turn
        is_left = number % 4 > 1
        area = SMALLEST_AREA + (LARGEST_AREA - SMALLEST_AREA) * bubble.trained / largest
        place = (bubble.time_ms, 100 * bubble.accuracy)
        axes.scatter(*place, s=area, alpha=0.45, color=f"C{number % 10}", edgecolors="black")
        axes.annotate(
            f"{in_figure(bubble.name)} ({bubble.trained / 1e6:.2g} M)",
            place,
            xytext=(-6 if is_left else 6, 6 if number % 2 else -12),
            ha="right" if is_left else "left",
            textcoords="offset points",
            fontsize=8,
        )
    axes.margins(x=0.2, y=0.12)
    axes.set_xlabel("time of a training step, ms")
    axes.set_ylabel("accuracy, %")
    axes.set_title("area: trained parameters, in millions in the brackets", fontsize=10)
    axes.grid(alpha=0.3)
    save_figure(figure, path)


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
    figure = new_figure((8.5, 5.5))
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
    save_figure(figure, path)


def new_figure(size_in: tuple[float, float]) -> Any:
    """An empty figure of matplotlib.

    Args:
        size_in: Width and height in inches.
    """
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    return Figure(figsize=size_in, layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure as a PNG.

    Args:
        figure: Of `new_figure`.
        path: The PNG.
    """
    with writing_file(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # it draws a box instead
        figure.savefig(temporary, dpi=110, facecolor="white")
