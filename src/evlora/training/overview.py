"""Runs side by side: how far each is, what it reached, and in which keys they differ."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from evlora.companions import visible
from evlora.datasets.protocol import Protocol
from evlora.errors import RunError
from evlora.training.folder import METRICS_FILE, RECIPE_FILE, read_protocol

SEARCHED_DEPTH = 3
NOT_COMPARED = frozenset({"run.dir"})
FINISHED, UNFINISHED, DAMAGED = "finished", "unfinished", "damaged"


@dataclass(frozen=True, slots=True)
class RunOverview:
    """One run's folder at a glance."""

    name: str
    """Its path in the folder that was searched."""
    state: str
    """finished, unfinished (running or stopped), or damaged."""
    epoch: int | None
    """Of a finished run the kept one, else the last one that was completed."""
    epochs: int | None
    """Of its recipe."""
    val_top1: float | None
    """Of a finished run that of the kept epoch, else the best one until now, a share of 1."""
    trained_parameters: int | None
    seconds: float | None
    keys: dict[str, Any]
    """The keys of its recipe in which the runs differ."""
    protocol: Protocol | None
    """What the accuracy of a finished run is of."""

    def as_dict(self) -> dict[str, Any]:
        """The overview as plain values."""
        return asdict(self)


def runs_in(folder: str | Path) -> list[RunOverview]:
    """The runs in a folder and in the folders below it, the best accuracy first.

    Args:
        folder: Where they lie, at most three folders deep.

    Raises:
        RunError: There is none.
    """
    root = Path(folder)
    places = _run_folders(root, SEARCHED_DEPTH) if root.is_dir() else []
    if not places:
        raise RunError(
            f"{root}: expected runs, folders with a {RECIPE_FILE}, found none; name the folder "
            "that holds the folders of runs"
        )
    recipes = [_recipe_of(place) for place in places]
    differing = _differing_keys(recipes)
    found = [
        _overview(place, root, recipe, differing)
        for place, recipe in zip(places, recipes, strict=True)
    ]
    return sorted(found, key=lambda run: (-(run.val_top1 or 0.0), run.name))


def _run_folders(folder: Path, depth: int) -> list[Path]:
    if (folder / RECIPE_FILE).is_file():
        return [folder]
    if not depth:
        return []
    inside = [entry for entry in visible(folder) if entry.is_dir()]
    return [place for entry in inside for place in _run_folders(entry, depth - 1)]


def _recipe_of(place: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load((place / RECIPE_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {
        f"{section}.{key}": value
        for section, keys in cast(dict[str, Any], content).items()
        if isinstance(keys, dict)
        for key, value in cast(dict[str, Any], keys).items()
        if section != "comparison"
    }


def _differing_keys(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    known = [recipe for recipe in recipes if recipe]
    names = {name for recipe in known for name in recipe} - NOT_COMPARED
    return sorted(
        name for name in names if len({json.dumps(recipe.get(name)) for recipe in known}) > 1
    )


def _overview(
    place: Path, root: Path, recipe: Mapping[str, Any], differing: Sequence[str]
) -> RunOverview:
    logged = _logged(place)
    state, metrics = FINISHED if recipe else DAMAGED, dict[str, Any]()
    if not (place / METRICS_FILE).is_file():
        state = UNFINISHED if recipe else DAMAGED
    else:
        try:
            metrics = json.loads((place / METRICS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            state = DAMAGED
    epoch, best = metrics.get("epoch"), metrics.get("val_top1")
    if epoch is None and logged:
        epoch = max(int(row["epoch"]) for row in logged) + 1
        accuracies = [float(row["val/top1"]) for row in logged if row.get("val/top1")]
        best = max(accuracies, default=None)
    trained = metrics.get("trained_parameters")
    return RunOverview(
        name=place.relative_to(root).as_posix() if place != root else place.name,
        state=state,
        epoch=None if epoch is None else int(epoch),
        epochs=recipe.get("training.epochs"),
        val_top1=best,
        trained_parameters=None if trained is None else int(trained),
        seconds=metrics.get("seconds"),
        keys={name: recipe.get(name) for name in differing},
        protocol=read_protocol(place),
    )


def _logged(place: Path) -> list[dict[str, str]]:
    """The rows of completed epochs in the logs of a run and of its resumptions."""
    rows: list[dict[str, str]] = []
    for path in sorted(place.glob("logs/csv/*/metrics.csv")):
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows += [
                    row
                    for row in csv.DictReader(file)
                    if row.get("epoch") and (row.get("val/top1") or row.get("train/loss"))
                ]
        except (OSError, UnicodeDecodeError, csv.Error):
            continue
    return rows
