"""The folder of a run.

recipe.yaml       the recipe as it was run, with all defaults written out
checkpoints/      best.ckpt (on the val split, if it is kept) and last.ckpt; trained tensors only
logs/             CSV and TensorBoard
bundle/           the recognizer of the epoch that is kept
metrics.json      written last: its presence shows that the run is complete
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from evlora.companions import visible
from evlora.errors import RecipeError, RunError
from evlora.files import writing_file
from evlora.messages import listed
from evlora.recipe.schema import Recipe

RECIPE_FILE = "recipe.yaml"
METRICS_FILE = "metrics.json"
CHECKPOINTS = "checkpoints"
BUNDLE = "bundle"


def claim(recipe: Recipe, *, resume: bool) -> Path:
    """The run's folder, which is free, or holds the same run where one is resumed.

    Raises:
        RecipeError: The recipe names no folder.
        RunError: The folder holds a run already, or one of another recipe.
    """
    folder = recipe.run.dir
    if folder is None:
        raise RecipeError("run.dir: expected a folder for the run, got nothing; set run.dir=FOLDER")
    written = folder / RECIPE_FILE
    if not resume and folder.is_dir() and visible(folder):
        raise RunError(
            f"{folder}: is not empty; resume the run there with --resume, or choose another run.dir"
        )
    if resume and written.is_file():
        before = _with_defaults(yaml.safe_load(written.read_text(encoding="utf-8")), recipe)
        changed = _differences(_of_the_run(before), _of_the_run(recipe.model_dump(mode="json")))
        if changed:
            raise RunError(
                f"{written}: the run was started with another recipe; "
                f"{listed(changed)}; resume without these changes, or choose another run.dir"
            )
    return folder


def _of_the_run(tree: Any) -> Any:
    """A recipe's keys without the rows of its comparison, which no single run depends on."""
    if not isinstance(tree, dict):
        return tree
    return {key: value for key, value in tree.items() if key != "comparison"}


def _with_defaults(written: Any, recipe: Recipe) -> Any:
    """What was written, with the defaults of the keys that evlora did not have then."""
    try:
        return type(recipe).model_validate(written).model_dump(mode="json")
    except ValidationError:
        return written  # a key is there no more: the differences name it


def _differences(before: Any, now: Any, key: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        names = sorted(before.keys() | now.keys())
        parts = [
            _differences(before.get(name), now.get(name), f"{key}.{name}".lstrip("."))
            for name in names
        ]
        return [line for part in parts for line in part]
    return [] if before == now else [f"{key} was {before}, is {now}"]


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write the recipe as it is run, with all defaults."""
    with writing_file(folder / RECIPE_FILE, durable=True) as temporary:
        temporary.write_text(
            yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False), encoding="utf-8"
        )


def read_metrics(folder: Path) -> dict[str, float]:
    """The metrics of a finished run."""
    return json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))


def write_metrics(folder: Path, metrics: Mapping[str, float]) -> None:
    """Write the metrics, which mark the run as finished."""
    with writing_file(folder / METRICS_FILE, durable=True) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
