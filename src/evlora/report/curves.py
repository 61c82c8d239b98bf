"""How a run went, epoch by epoch: from the CSV files that it logged."""

import csv
from pathlib import Path

from evlora.errors import RunError
from evlora.figures import new_figure, save_figure

Curves = dict[str, list[tuple[int, float]]]
"""Name of a figure, such as `val/top1` → epochs, counted from 1, and its values."""
PLOTTED = (("loss", "loss"), ("top1", "top-1 accuracy"))
"""End of the names of figures that share a picture, and what its axis is called."""


def read_curves(run: Path) -> Curves:
    """The figures that a run logged of each epoch; of an epoch that was repeated, the last.

    Args:
        run: The folder of a run.

    Raises:
        RunError: A log is damaged.
    """
    curves: dict[str, dict[int, float]] = {}
    logs = sorted(run.glob("logs/csv/version_*/metrics.csv"), key=_version)
    for log in logs:
        try:
            with log.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    epoch = int(row["epoch"]) + 1
                    for name, value in row.items():
                        if name not in ("epoch", "step") and value:
                            curves.setdefault(name, {})[epoch] = float(value)
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise RunError(f"{log}: is damaged: {error!r}; delete it to go without") from error
    return {name: sorted(points.items()) for name, points in curves.items()}


def draw_curves(curves: Curves, path: Path) -> None:
    """Loss and accuracy over the epochs of a run.

    Args:
        curves: Of `read_curves`.
        path: The PNG to write.
    """
    figure = new_figure((9.0, 3.6))
    for axes, (end, name) in zip(figure.subplots(1, len(PLOTTED)), PLOTTED, strict=True):
        for key, points in sorted(curves.items()):
            if key.endswith(f"/{end}"):
                epochs, values = zip(*points, strict=True)
                axes.plot(epochs, values, marker="o", markersize=3, label=key.partition("/")[0])
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    save_figure(figure, path)


def _version(path: Path) -> tuple[int, str]:
    number = path.parent.name.removeprefix("version_")
    return (int(number) if number.isdecimal() else -1, str(path))
