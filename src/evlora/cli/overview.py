"""The verb that puts runs side by side: runs."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from evlora.cli.arguments import AsJson
from evlora.cli.printing import duration, echo, table
from evlora.cli.table_files import require_file

PAGE_SUFFIXES = (".html", ".htm")
LONGEST_VALUE = 24


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(runs)


def runs(
    folder: Annotated[Path, typer.Argument(help="A folder that holds the folders of runs.")],
    out: Annotated[
        Path | None, typer.Option(help="Write a page with their curves as well, .html.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how far runs are, and where their recipes differ."""
    from evlora.datasets.protocol import measured_on
    from evlora.training.overview import runs_in

    require_file("--out", out, PAGE_SUFFIXES)
    found = runs_in(folder)
    if out is not None:
        from evlora.report.runs import write_runs

        echo(f"page: {write_runs(folder, out)}", err=as_json)
    if as_json:
        echo(json.dumps([run.as_dict() for run in found]))
        return
    keys = list(found[0].keys)
    header = ("run", "state", "epoch", "val top-1", "trained", "time", *keys)
    table(
        header,
        [
            (
                run.name,
                run.state,
                f"{_text(run.epoch)}/{_text(run.epochs)}",
                "" if run.val_top1 is None else f"{run.val_top1:.1%}",
                "" if run.trained_parameters is None else f"{run.trained_parameters:,}",
                "" if run.seconds is None else duration(run.seconds),
                *(_text(run.keys[key]) for key in keys),
            )
            for run in found
        ],
    )
    for line in measured_on((run.name, run.protocol) for run in found):
        echo(f"measured on: {line}")


def _text(value: Any) -> str:
    if value is None:
        return "–"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST_VALUE else f"…{text[-LONGEST_VALUE + 1 :]}"
