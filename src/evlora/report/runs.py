"""Runs side by side as one page: a table to sort, and how their validation went."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from evlora.datasets.protocol import measured_on
from evlora.escaping import in_figure
from evlora.figures import new_figure, save_figure
from evlora.files import writing_file
from evlora.report.curves import Curves, read_curves
from evlora.report.page import Cell, Section, joined, page, paragraph, picture, table
from evlora.report.text import Html
from evlora.training.overview import RunOverview, runs_in

MOST_CURVES = 10
"""Runs whose curves are drawn, the best ones: more lines are hard to distinguish."""
PLOTTED = {"val/top1": "top-1 on the validation split", "val/loss": "loss on the validation split"}


def write_runs(folder: str | Path, out: str | Path) -> Path:
    """Write the runs below a folder as one page that needs no other file.

    Args:
        folder: Where they lie, at most three folders deep.
        out: The page, .html.

    Returns:
        The page.

    Raises:
        RunError: There is no run, or a log is damaged.
    """
    found, target = runs_in(folder), Path(out)
    curves = {run.name: read_curves(_place(run, Path(folder))) for run in found[:MOST_CURVES]}
    with tempfile.TemporaryDirectory(prefix="evlora-runs-") as pictures:
        sections = [Section("Runs", _table(found))]
        if any(name in of_it for of_it in curves.values() for name in PLOTTED):
            sections.append(Section("Validation", _validation(curves, Path(pictures))))
        lead = paragraph(f"{len(found)} runs below {Path(folder).name}.")
        text = page(f"Runs of {Path(folder).absolute().name}", lead, sections)
    with writing_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return target


def draw_runs(curves: Mapping[str, Curves], path: Path) -> None:
    """Accuracy and loss on the validation split over the epochs, a line for each run.

    Args:
        curves: By the name of the run, see `read_curves`.
        path: The PNG to write.
    """
    figure = new_figure((9.0, 3.6))
    for axes, (key, title) in zip(figure.subplots(1, len(PLOTTED)), PLOTTED.items(), strict=True):
        for name, of_it in curves.items():
            if key in of_it:
                epochs, values = zip(*of_it[key], strict=True)
                axes.plot(epochs, values, marker="o", markersize=3, label=in_figure(name))
        axes.set_xlabel("epoch")
        axes.set_ylabel(title)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="x-small")
    save_figure(figure, path)


def _place(run: RunOverview, folder: Path) -> Path:
    place = folder / run.name
    return place if place.is_dir() else folder  # the folder itself is the run


def _table(found: Sequence[RunOverview]) -> Html:
    keys = list(found[0].keys)
    rows = [
        (
            run.name,
            run.state,
            Cell(f"{_text(run.epoch)}/{_text(run.epochs)}", run.epoch or 0),
            _cell(run.val_top1, "{:.1%}"),
            _cell(run.trained_parameters, "{:,}"),
            _cell(run.seconds, "{:,.0f}"),
            *(_text(run.keys.get(key)) for key in keys),
        )
        for run in found
    ]
    header = ("run", "state", "epoch", "val top-1", "trained", "seconds", *keys)
    caption = "The best first, with the keys in which the recipes differ; a click on a header sorts"
    measured = [
        paragraph(f"measured on: {line}", is_faint=True)
        for line in measured_on((run.name, run.protocol) for run in found)
    ]
    return joined(table(header, rows, caption=caption), *measured)


def _validation(curves: Mapping[str, Curves], folder: Path) -> Html:
    draw_runs(curves, folder / "runs.png")
    caption = f"Epoch by epoch; of more than {MOST_CURVES} runs the best {MOST_CURVES}."
    return picture(folder / "runs.png", "accuracy and loss of each run by epoch", caption=caption)


def _cell(value: float | None, form: str) -> Cell:
    return Cell("–", -1) if value is None else Cell(form.format(value), value)


def _text(value: object) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
