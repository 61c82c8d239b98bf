"""Methods side by side: the same recipe trained with each, under one budget.

runs/<row>/seed-<k>/   ordinary runs, with evaluation.json, or failure.txt where one failed
comparison.*           what was found, see comparison_table.py

Where a key is varied as well, each row is trained with each of its values.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evlora.answering import for_answers, is_wholly_foldable
from evlora.bundle import load_bundle
from evlora.comparison_table import Comparison, Cost, Over, Row, write
from evlora.devices import device_named
from evlora.errors import RecipeError
from evlora.evaluation import evaluate
from evlora.files import writing_file
from evlora.messages import suggestion
from evlora.models.adapters import METHODS
from evlora.profiling import count_parameters
from evlora.ranks import OneRankError, is_first_rank
from evlora.recipe import Recipe, load_recipe, split_override
from evlora.recognizer import Recognizer, build_recognizer
from evlora.training.cost import inference_ratio, measure_step
from evlora.training.data import open_dataset
from evlora.training.run import train

EVALUATION_FILE = "evaluation.json"
FAILURE_FILE = "failure.txt"
COST_FILE = "cost.json"


def compare(
    recipe: str | Path,
    *,
    methods: Sequence[str],
    seeds: int = 3,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    over: Over | None = None,
    split: str = "test",
    repeats: int = 5,
    report: Callable[[str], None] | None = None,
) -> Comparison:
    """Train a recipe once per method and seed, and write what came of it to `run.dir`.

    What is there already is kept: a comparison that was stopped goes on where it was.

    Args:
        recipe: A recipe file, or a recipe's name.
        methods: Names of the catalogue, or of rows that the recipe's `comparison` defines.
        seeds: Runs per method, with seeds 0, 1, ….
        overrides: Keys of the recipe to change for all of them; `run.dir` among them.
        over: A key to vary as well: every row is trained with each of its values, but for rows
            whose own keys set it.
        split: What accuracy is measured on.
        repeats: Steps and clips to time for each method; 0 measures no cost.
        report: Takes a line per run.

    Raises:
        RecipeError: The recipe or one of the names is wrong; nothing was trained.
        DatasetError: The dataset is incomplete.
    """
    report_line = report or (lambda line: None)
    if not is_first_rank():  # each rank makes the same runs; the first one reports and writes
        report_line = _silent
    changes = _as_mapping(overrides)
    base = load_recipe(recipe, changes)
    folder = base.run.dir
    if folder is None:
        raise RecipeError("run.dir: expected a folder for the comparison; set run.dir=FOLDER")
    keys = {name: _keys_of(name, base) for name in dict.fromkeys(methods)}
    recipes = {
        (name, setting): load_recipe(
            recipe, {**changes, **_as_mapping([setting] if setting else ()), **keys[name]}
        )
        for name in keys
        for setting in ([""] if over is None or over.key in keys[name] else over.settings)
    }
    for (name, _), its_recipe in recipes.items():
        _require_its_method(name, its_recipe)
    manifest = open_dataset(base.data, seed=base.run.seed)
    rows: list[Row] = []
    for (name, setting), its_recipe in recipes.items():
        runs = folder / "runs" / setting.replace("/", "_") / name
        cost = _cost(its_recipe, manifest.labels, runs, repeats, report_line)
        top1: dict[int, float] = {}
        failures: dict[int, str] = {}
        for seed in range(seeds):
            outcome = _run(its_recipe, runs / f"seed-{seed}", seed, split)
            if isinstance(outcome, str):
                failures[seed] = outcome
            else:
                top1[seed] = outcome
            shown = f"failed: {outcome}" if isinstance(outcome, str) else f"{outcome:.1%}"
            report_line(f"{name:<16} {setting}{' ' if setting else ''}seed {seed}  {shown}")
        rows.append(Row(name, setting, top1, failures, cost))
    result = Comparison(folder, _heading(recipe, base, seeds, split), rows, over)
    if is_first_rank():
        write(result)
    return result


def _silent(line: str) -> None:
    """What ranks beside the first one report."""


def _as_mapping(overrides: Iterable[str] | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(overrides, Mapping):
        return dict(overrides)
    return dict(map(split_override, overrides))


def _keys_of(name: str, recipe: Recipe) -> dict[str, Any]:
    """The keys that make a recipe the row of this name: the recipe's own row, or a bare method."""
    if name in recipe.comparison:
        return recipe.comparison[name]
    if name in METHODS:
        return {"model.adapter": {"method": name}}
    known = [*recipe.comparison, *METHODS]
    raise RecipeError(
        f"--methods: expected a method or a row of the recipe's `comparison`, got {name!r}; "
        f"{suggestion(name, known, listing='evlora compare --list')}"
    )


def _require_its_method(name: str, recipe: Recipe) -> None:
    """Check that a row which is named like a method trains that method."""
    method = recipe.model.adapter.method
    if name in METHODS and method != name:
        raise RecipeError(
            f"comparison.{name}: expected a row that is named like a method to train it, got "
            f"{method}, the recipe's own; add model.adapter: {{method: {name}}} to the row, or "
            "give it another name"
        )


def _run(recipe: Recipe, run_dir: Path, seed: int, split: str) -> float | str:
    """The accuracy of one run on the split, or what went wrong."""
    done = run_dir / EVALUATION_FILE
    run = recipe.run.model_copy(update={"dir": run_dir, "seed": seed})
    its_recipe = recipe.model_copy(update={"run": run, "comparison": {}})
    try:
        finished = train(its_recipe, resume=True)  # what another recipe left there is refused
        if done.is_file():
            known = json.loads(done.read_text(encoding="utf-8"))
            if known["split"] == split:
                return float(known["top1"])
        recognizer = load_bundle(finished.bundle, device=device_named())
        manifest = open_dataset(its_recipe.data, seed=seed)
        result = evaluate(
            recognizer,
            manifest,
            split=split,
            batch_size=recipe.training.batch_size,
            workers=recipe.data.workers,
        )
    except OneRankError:
        raise  # the others still wait for this one in the middle of a run
    except Exception as error:  # one method's failure, of whatever kind, must not stop the others
        message = f"{type(error).__name__}: {error}"
        if is_first_rank():
            with writing_file(run_dir / FAILURE_FILE) as temporary:
                temporary.write_text(message + "\n", encoding="utf-8")
        return message
    if is_first_rank():
        (run_dir / FAILURE_FILE).unlink(missing_ok=True)
        with writing_file(done) as temporary:
            temporary.write_text(json.dumps(result.as_dict(), indent=2) + "\n", encoding="utf-8")
    return result.top1


def _cost(
    recipe: Recipe,
    labels: tuple[str, ...],
    folder: Path,
    repeats: int,
    report_line: Callable[[str], None],
) -> Cost | None:
    if not repeats or not is_first_rank():
        return None
    path = folder / COST_FILE
    if path.is_file():
        return Cost(**json.loads(path.read_text(encoding="utf-8")))
    try:
        cost = _measure(recipe, labels, repeats)
    except Exception as error:  # as above
        report_line(f"{folder.name}: cannot be measured: {error}")
        return None
    with writing_file(path) as temporary:
        temporary.write_text(json.dumps(asdict(cost), indent=2) + "\n", encoding="utf-8")
    return cost


def _measure(recipe: Recipe, labels: tuple[str, ...], repeats: int) -> Cost:
    def build(method: str | None = None) -> Recognizer:
        config = recipe.recognizer()
        if method is not None:
            adapter = config.model.adapter.model_validate({"method": method})
            config = config.model_copy(
                update={"model": config.model.model_copy(update={"adapter": adapter})}
            )
        return build_recognizer(config, labels).to(device_named())

    recognizer, plain = build(), build("none")
    counts = count_parameters(recognizer)
    step = measure_step(recognizer, recipe.training, repeats=repeats)
    folded = for_answers(recognizer) if is_wholly_foldable(recognizer) else None
    is_adapted = recipe.model.adapter.method not in ("none", "full")

    def ratio(network: Recognizer) -> float:
        return inference_ratio(network, plain, repeats=repeats) if is_adapted else 1.0

    return Cost(
        trained=counts.trained,
        trained_percent=counts.trained_percent,
        saved_mb=counts.saved_mb,
        **asdict(step),
        inference=ratio(recognizer),
        inference_merged=None if folded is None else ratio(folded),
    )


def _heading(recipe: str | Path, base: Recipe, seeds: int, split: str) -> str:
    shots = f", {base.data.shots} training samples a class" if base.data.shots else ""
    return (
        f"`{Path(recipe).stem}`: {base.backbone.name}, {base.training.epochs} epochs of batches of "
        f"{base.training.batch_size}{shots}, {seeds} seeds, accuracy on the {split} split"
    )
