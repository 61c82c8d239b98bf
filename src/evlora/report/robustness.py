"""Accuracy by corruption and strength as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evlora.evaluation.robustness import CLEAN, Condition, ConditionResult, Shown
from evlora.figures import new_figure, save_figure
from evlora.recordings.corruptions import CORRUPTIONS

COLUMNS = 4
NAMES = {"both": "both", "rgb": "RGB alone", "event": "events alone"}
COLOURS = {"both": "C0", "rgb": "C1", "event": "C2"}


def draw_robustness(results: Sequence[ConditionResult], path: Path) -> None:
    """A panel for each corruption: accuracy over strength, strength 0 being clean.

    Args:
        results: Of all conditions of `conditions_of`.
        path: The PNG to write.
    """
    top1 = {result.condition: 100 * result.top1 for result in results}
    names = list(dict.fromkeys(c.corruption for c in top1 if c.corruption != CLEAN))
    shown: dict[Shown, None] = dict.fromkeys(condition.shown for condition in top1)
    rows = max(1, -(-len(names) // COLUMNS))
    figure = new_figure((2.6 * COLUMNS, 2.2 * rows))
    panels: Any = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True)
    for axes, name in zip(panels.flat, names, strict=False):
        strengths = sorted({c.strength for c in top1 if c.corruption == name})
        for part in shown:
            clean = top1[Condition(part, CLEAN, 0)]
            values = [top1.get(Condition(part, name, strength), clean) for strength in strengths]
            line = {"color": COLOURS[part], "marker": "o", "markersize": 3}
            axes.plot([0, *strengths], [clean, *values], label=NAMES[part], **line)
        axes.set_title(f"{name}, {CORRUPTIONS[name].unit}", fontsize=8)
        axes.set_ylim(0, 100)
        axes.set_xticks(
            [0, *strengths],
            ["0", *(f"{CORRUPTIONS[name].values[s - 1]:g}" for s in strengths)],
            fontsize=7,
        )
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    panels[0][0].set_ylabel("top-1, %")
    panels[0][0].legend(fontsize=7)
    save_figure(figure, path)
