"""Accuracy by corruption and strength as a picture, and as a part of the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evlora.evaluation.robustness import CLEAN, ConditionResult, Shown, summary_of
from evlora.figures import new_figure, save_figure
from evlora.recordings.corruptions import CORRUPTIONS
from evlora.report.page import Cell, Section, joined, picture, table

COLUMNS = 4
NAMES: dict[Shown, str] = {"both": "both", "rgb": "RGB alone", "event": "events alone"}

Line = Mapping[tuple[str, int], float]
"""Accuracy, a share of 1, by corruption and strength; a fault that is not there changes nothing."""


def faults_section(results: Sequence[ConditionResult], folder: Path) -> Section | None:
    """What `evlora robustness` has measured; None where that is nothing.

    Args:
        results: Of all conditions of `conditions_of`.
        folder: Where the picture is drawn before the page takes it in.
    """
    if not results:
        return None
    draw_robustness(results, folder / "faults.png")
    shown = picture(
        folder / "faults.png",
        "top-1 accuracy by corruption and strength",
        caption=f"Top-1 accuracy on {results[0].samples:,} clips under faults of the sensors, 0 "
        "being without one.",
    )
    rows = [
        (NAMES[part], *(Cell(f"{share:.1%}", share) for share in found))
        for part, found in summary_of(results).items()
    ]
    header = ("shown", "clean", "mean corrupted", "of clean")
    return Section("Faults", joined(shown, table(header, rows)))


def draw_robustness(results: Sequence[ConditionResult], path: Path) -> None:
    """A panel for each corruption: accuracy over strength, strength 0 being clean.

    Args:
        results: Of all conditions of `conditions_of`.
        path: The PNG to write.
    """
    draw_by_corruption(lines_of(results), path)


def lines_of(results: Sequence[ConditionResult]) -> dict[str, Line]:
    """The accuracies by what was shown.

    Args:
        results: Of all conditions of `conditions_of`.
    """
    found: dict[str, dict[tuple[str, int], float]] = {}
    for result in results:
        shown, name, strength = result.condition
        found.setdefault(NAMES[shown], {})[name, strength] = result.top1
    return dict(found)


def draw_by_corruption(lines: Mapping[str, Line], path: Path) -> None:
    """A panel for each corruption, a line for each name: accuracy over strength.

    Args:
        lines: By name, in the order of their colours; each holds `("clean", 0)`.
        path: The PNG to write.
    """
    faults = dict.fromkeys(fault for line in lines.values() for fault in line)
    names = list(dict.fromkeys(name for name, _ in faults if name != CLEAN))
    rows = max(1, -(-len(names) // COLUMNS))
    figure = new_figure((2.6 * COLUMNS, 2.2 * rows))
    panels: Any = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True)
    for axes, name in zip(panels.flat, names, strict=False):
        strengths = sorted({strength for found, strength in faults if found == name})
        for label, line in lines.items():
            clean = line[CLEAN, 0]
            values = [clean, *(line.get((name, strength), clean) for strength in strengths)]
            percent = [100 * value for value in values]
            axes.plot([0, *strengths], percent, label=label, marker="o", markersize=3)
        axes.set_title(f"{name}, {CORRUPTIONS[name].unit}", fontsize=8)
        axes.set_ylim(0, 100)
        axes.set_xticks(
            [0, *strengths],
            ["0", *(f"{CORRUPTIONS[name].values[s - 1]:g}" for s in strengths)],
            fontsize=7,
        )
    free = list(panels.flat[len(names) :])
    for axes in free:
        axes.set_axis_off()
    panels[0][0].set_ylabel("top-1, %")
    handles, labels = panels[0][0].get_legend_handles_labels()
    (free[0] if free else panels[0][0]).legend(handles, labels, fontsize=8 if free else 7)
    save_figure(figure, path)
