"""The verb that searches over keys of a recipe: search."""

import json
from typing import Annotated

import typer

from evlora.cli.arguments import AsJson, Overrides, Recipe
from evlora.cli.early import require_recipe
from evlora.cli.printing import echo, table


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(search)


def search(
    recipe: Recipe,
    overrides: Overrides = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=LOW..HIGH", help="A key and its range, or its values: KEY=A,B,C."
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, help="Trials in all, over all calls and processes.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """Find the best values of a recipe's keys.

    The same command resumes a search; started several times, it searches in several processes.
    """
    require_recipe(recipe, overrides or ())
    from evlora.datasets.protocol import measured_on
    from evlora.search import search as run

    found = run(
        recipe,
        over=over or (),
        overrides=overrides or (),
        trials=trials,
        report=lambda line: echo(line, err=True),
    )
    if as_json:
        rows = [
            {
                **one.keys,
                "state": one.state,
                "val_top1": one.val_top1,
                "run": str(one.folder),
                "protocol": None if one.protocol is None else one.protocol.as_dict(),
            }
            for one in found
        ]
        echo(json.dumps(rows))
        return
    keys = list(found[0].keys)
    table(
        ("run", "state", "val top-1", *keys),
        [
            (
                one.folder.name,
                one.state,
                "" if one.val_top1 is None else f"{one.val_top1:.1%}",
                *(str(one.keys[key]) for key in keys),
            )
            for one in found
        ],
    )
    for line in measured_on((one.folder.name, one.protocol) for one in found):
        echo(f"measured on: {line}")
    best = " ".join(f"{key}={value}" for key, value in found[0].keys.items())
    echo(f"best: {best}")
