"""The verb that counts what a recognizer costs: profile."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evlora.cli.arguments import RECIPE_HELP, AsJson, Overrides
from evlora.cli.early import bundle_that_is_there, named_recipe
from evlora.cli.printing import echo, table

if TYPE_CHECKING:
    from evlora.recipe import Recipe

CLASSES_WITHOUT_DATASET = 114
"""As PokerEvent has."""


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(profile)


def profile(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE|BUNDLE", help=f"{RECIPE_HELP[:-1]}; or a bundle.")
    ],
    overrides: Overrides = None,
    classes: Annotated[
        int | None,
        typer.Option(min=2, help="Number of classes: those of the dataset or the bundle, or 114."),
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=0, help="Forward passes to time; 0 measures no time and memory.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Count parameters and operations, and time them."""
    from evlora.errors import RecipeError
    from evlora.recipe import build, load_recipe, shipped_recipes

    # `make demo` leaves a folder that is called like a recipe; the recipe is meant.
    if recipe.is_dir() and str(recipe) not in shipped_recipes():
        if overrides or classes is not None:
            raise RecipeError(
                f"{recipe}: expected no keys and no --classes beside a bundle, which is as it was "
                "trained; give its recipe to change it"
            )
        bundle_that_is_there(recipe)
        from evlora.bundle import load_bundle

        recognizer = load_bundle(recipe)
    else:
        named_recipe(recipe, overrides or ())  # before slow imports
        whole = load_recipe(recipe, overrides or (), report=_note)
        recognizer = build(_filled(whole), num_classes=classes or _classes_of(whole))
    from evlora import profiling

    result = profiling.profile(recognizer, repeats=repeats)
    if as_json:
        echo(json.dumps(result.as_dict()))
        return
    counts = result.parameters
    table(
        ("part", "parameters", "trained"),
        [
            *((part.part, f"{part.total:,}", f"{part.trained:,}") for part in counts.by_part),
            ("in all, shared weights once", f"{counts.total:,}", f"{counts.trained:,}"),
        ],
    )
    echo(f"trained: {counts.trained_percent:.2f} %, saved as {counts.saved_mb:.2f} MB")
    echo(f"adapters: {counts.adapter_percent:.2f} % of the backbone's parameters")
    echo(f"one clip's forward pass: {result.flops / 1e9:.1f} GFLOP")
    for measured in (result.latency, result.memory):
        for name, value in (measured or {}).items():
            echo(f"{name}: {value:.1f}")
    found = result.efficiency
    if found is None:
        return
    echo(
        f"share of the measured peak of {found.peak_gflops_per_s:.0f} GFLOP/s: "
        f"{found.utilisation:.0%}"
    )
    echo(f"limited by {found.limit}")
    table(
        ("kept for backward of a clip", "MB"),
        [(part, f"{size:.1f}") for part, size in found.kept_mb.items()],
    )
    there = "" if found.has_bf16 else ", which this device only emulates"
    echo(f"largest difference of a probability in bf16{there}: {found.bf16_difference:.4f}")


def _filled(recipe: "Recipe") -> "Recipe":
    """The recipe with what its dataset decides; without one, a note that defaults stand for it."""
    from evlora.recipe.from_data import filled_from_data

    if recipe.data.decides and recipe.data.root is None:
        _note("note: sizes and modalities are defaults; with data.root=DATASET they are the data's")
    return filled_from_data(recipe)


def _classes_of(recipe: "Recipe") -> int:
    """How many the dataset has; a usual number where the recipe names no dataset."""
    from evlora.training.opening import open_dataset

    if recipe.data.root is None:
        return CLASSES_WITHOUT_DATASET
    return len(open_dataset(recipe.data, seed=recipe.run.seed).labels)


def _note(line: str) -> None:
    """Print a line that is no result."""
    echo(line, err=True)
