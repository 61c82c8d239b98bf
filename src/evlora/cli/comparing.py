"""The verb that puts methods side by side: compare."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evlora.cli.arguments import AsJson, Overrides, Recipe, Split
from evlora.cli.early import named_recipe, require_recipe
from evlora.cli.printing import echo
from evlora.comparison_over import Over
from evlora.messages import listed
from evlora.ranks import alike_on_a_machine, is_first_rank

if TYPE_CHECKING:
    from evlora.comparison_table import Comparison, Row
    from evlora.models.adapters.method import Method


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(compare)


def _list_methods(is_wanted: bool) -> None:
    if not is_wanted:
        return
    from evlora.cli.printing import listing
    from evlora.models.adapters import METHODS

    listing([(name, _traits(method)) for name, method in METHODS.items()])
    raise typer.Exit


def _traits(method: "Method") -> str:
    parts = [
        f"{name}={value}" for name, value in method.default_settings().items() if value is not None
    ]
    options = ", ".join(method.options.model_fields)
    parts += [f"options: {options}"] if options else []
    return ", ".join(parts) or "no settings"


def compare(
    recipe: Recipe,
    overrides: Overrides = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Adapter methods, and rows of the recipe's `comparison`; all: every method."
        ),
    ] = "none,lora,lv_adapter,full",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each method.")] = 3,
    over: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=VALUE,VALUE,…", help="Train each of them with each of these values."
        ),
    ] = None,
    split: Split = "test",
    repeats: Annotated[
        int, typer.Option(min=0, help="Steps to time for each method; 0 measures no cost.")
    ] = 5,
    lists: Annotated[
        bool,
        typer.Option("--list", callback=_list_methods, is_eager=True, help="Show the methods."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a recipe with several methods side by side."""
    from evlora.comparison_rows import require_rows

    varied = None if over is None else Over.parse(over)
    names = [name.strip() for name in methods.split(",") if name.strip()]
    with alike_on_a_machine():
        require_rows(names, named_recipe(recipe, overrides or ()).comparison)
    require_recipe(recipe, overrides or ())
    for setting in varied.settings if varied else ():
        require_recipe(recipe, [*(overrides or ()), setting])
    from evlora.cli.printing import table
    from evlora.comparison import compare as run
    from evlora.comparison_table import cells, columns

    result = run(
        recipe,
        methods=names,
        seeds=seeds,
        overrides=overrides or (),
        over=varied,
        split=split,
        repeats=repeats,
        report=lambda line: echo(line, err=True),
    )
    if not is_first_rank():
        return
    if as_json:
        echo(json.dumps([_as_dict(row, result) for row in result.rows]))
    else:
        shown = columns(result)
        table(shown, [cells(row)[: len(shown)] for row in result.rows])
        for line in result.measured_on:
            echo(f"measured on: {line}")
        for row in result.rows:
            for seed, reason in row.failures.items():
                echo(f"{row.name}, seed {seed}, failed: {reason}")
        echo(f"table, CSV and picture: {result.folder}")
    failed = [
        row.name
        for row in result.rows
        if row.failures and (row.method, row.setting) in result.asked
    ]
    if failed:
        echo(
            f"error: {listed(failed)} failed; mend what is reported above, then the same command "
            "trains what is missing",
            err=True,
        )
        raise typer.Exit(2)


def _as_dict(row: "Row", result: "Comparison") -> dict[str, Any]:
    """A row as plain values, with what its accuracy is of where this call has measured it."""
    protocol = result.protocols.get((row.method, row.setting))
    return {**asdict(row), **({} if protocol is None else {"protocol": protocol.as_dict()})}
