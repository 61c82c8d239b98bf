"""Methods side by side: the same recipe trained with each, under one budget.

runs/<row>/seed-<k>/   ordinary runs, with evaluation.json, or failure.txt where one failed
comparison.*           what was found, see comparison_table.py and comparison_record.py

Where a key is varied as well, each row is trained with each of its values.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evlora.answering import for_answers, is_wholly_foldable
from evlora.bundle import load_bundle
from evlora.comparison_over import Over
from evlora.comparison_record import earlier_rows, joined, write_record
from evlora.comparison_rows import recipes_of
from evlora.comparison_table import Comparison, Cost, Row, write
from evlora.datasets.protocol import protocol_of
from evlora.devices import device_named
from evlora.errors import RecipeError
from evlora.evaluation import evaluate
from evlora.files import writing_file
from evlora.profiling import count_parameters
from evlora.ranks import OneRankError, alike_on_a_machine, is_first_rank
from evlora.recipe import Recipe, as_mapping, recipe_of
from evlora.recipe.from_data import filled_from_data
from evlora.recognizer import Recognizer, build_recognizer
from evlora.training.cost import inference_ratio, measure_step
from evlora.training.folder import claim, with_found
from evlora.training.opening import open_dataset
from evlora.training.run import train

EVALUATION_FILE = "evaluation.json"
FAILURE_FILE = "failure.txt"
COST_FILE = "cost.json"


def compare(
    recipe: str | Path | Recipe,
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

    What is there already is kept: a comparison that was stopped goes on where it was, and rows of
    earlier calls stay in its table.

    Args:
        recipe: A recipe, its file, or a recipe's name.
        methods: Names of the catalogue, or of rows that the recipe's `comparison` defines.
        seeds: Runs per method, with seeds 0, 1, ….
        overrides: Keys of the recipe to change for all of them, over the rows' own; `run.dir` among
            them.
        over: A key to vary as well: every row is trained with each of its values, but for rows
            whose own keys set it.
        split: What accuracy is measured on.
        repeats: Steps and clips to time for each method; 0 measures no cost.
        report: Takes a line per run, and one where a key has no effect on a row.

    Raises:
        RecipeError: The recipe or one of the names is wrong; nothing was trained.
        RunError: The folder holds rows of another recipe; nothing was trained.
        DatasetError: The dataset is incomplete, or has no such split; nothing was trained.
    """
    report_line = report or (lambda line: None)
    if not is_first_rank():  # each rank makes the same runs; the first one reports and writes
        report_line = _silent
    with alike_on_a_machine():
        base, folder, recipes = _planned(
            recipe, methods, seeds, changes=as_mapping(overrides), over=over, report=report_line
        )
        earlier = earlier_rows(folder, base, split)
        for (name, setting), its_recipe in recipes.items():
            for seed in range(seeds):
                its_run = _recipe_of_run(its_recipe, folder, name, setting, seed)
                claim(its_run, resume=True, may_grow=False)
    manifest = open_dataset(base.data, seed=base.run.seed)
    protocols = {row: protocol_of(manifest, split, its.clip) for row, its in recipes.items()}
    rows: list[Row] = []
    for (name, setting), its_recipe in recipes.items():
        runs = _runs(folder, name, setting)
        cost = _cost(its_recipe, manifest.labels, runs, repeats, report_line)
        of_seeds = [
            _recipe_of_run(its_recipe, folder, name, setting, seed) for seed in range(seeds)
        ]
        top1, failures = _outcomes(f"{name:<16} {setting}", of_seeds, split, report_line)
        rows.append(Row(name, setting, top1, failures, cost))
        if is_first_rank():
            write_record(folder, base, split, joined(earlier, rows))
    all_rows = joined(earlier, rows)
    heading = _heading(recipe, base, max(len(row.top1) for row in all_rows), split)
    result = Comparison(folder, heading, all_rows, over, tuple(recipes), split, protocols)
    if is_first_rank():
        write(result)
    return result


def _planned(
    recipe: str | Path | Recipe,
    methods: Sequence[str],
    seeds: int,
    *,
    changes: Mapping[str, Any],
    over: Over | None,
    report: Callable[[str], None],
) -> tuple[Recipe, Path, dict[tuple[str, str], Recipe]]:
    """The recipe, the folder, and the recipe of each row and setting."""
    base = recipe_of(recipe, changes, report=report)
    folder = base.run.dir
    if folder is None:
        raise RecipeError("run.dir: expected a folder for the comparison; set run.dir=FOLDER")
    if not methods or seeds < 1:
        raise RecipeError(
            f"--methods and --seeds: expected one or more, got {len(methods)} methods and "
            f"{seeds} seeds"
        )
    if "run.seed" in changes:
        raise RecipeError(
            "run.seed: expected no seed beside --seeds, which trains with the seeds 0, 1, …; "
            "remove it"
        )
    asked = recipes_of(recipe, base, methods, changes=changes, over=over, report=report)
    return base, folder, {row: filled_from_data(its) for row, its in asked.items()}


def _silent(line: str) -> None:
    """What ranks beside the first one report."""


def _outcomes(
    name: str, recipes: Sequence[Recipe], split: str, report_line: Callable[[str], None]
) -> tuple[dict[int, float], dict[int, str]]:
    """The accuracies and the failures of a row's runs, by seed."""
    top1: dict[int, float] = {}
    failures: dict[int, str] = {}
    for seed, recipe in enumerate(recipes):
        outcome = _run(recipe, split)
        if isinstance(outcome, str):
            failures[seed] = outcome
        else:
            top1[seed] = outcome
        shown = f"failed: {outcome}" if isinstance(outcome, str) else f"{outcome:.1%}"
        report_line(f"{name.rstrip()} seed {seed}  {shown}")
    return top1, failures


def _runs(folder: Path, name: str, setting: str) -> Path:
    return folder / "runs" / setting.replace("/", "_") / name


def _recipe_of_run(recipe: Recipe, folder: Path, name: str, setting: str, seed: int) -> Recipe:
    place = _runs(folder, name, setting) / f"seed-{seed}"
    run = recipe.run.model_copy(update={"dir": place, "seed": seed})
    return recipe.model_copy(update={"run": run, "comparison": {}})


def _run(recipe: Recipe, split: str) -> float | str:
    """The accuracy of one run on the split, or what went wrong."""
    assert recipe.run.dir is not None  # each run has a place in the comparison's folder
    run_dir, done = recipe.run.dir, recipe.run.dir / EVALUATION_FILE
    try:
        finished = train(recipe, resume=True)
        if done.is_file():
            known = json.loads(done.read_text(encoding="utf-8"))
            if known["split"] == split:
                return float(known["top1"])
        recognizer = load_bundle(finished.bundle, device=device_named())
        manifest = open_dataset(recipe.data, seed=recipe.run.seed)
        is_alone = recognizer.network.depends_on_batch  # then each clip is answered by itself
        result = evaluate(
            recognizer,
            manifest,
            split=split,
            batch_size=None if is_alone else with_found(recipe).training.clips_of_a_batch,
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
    path = folder / COST_FILE
    if path.is_file():
        return Cost(**json.loads(path.read_text(encoding="utf-8")))
    if not repeats or not is_first_rank():
        return None
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


def _heading(recipe: str | Path | Recipe, base: Recipe, seeds: int, split: str) -> str:
    name = "recipe" if isinstance(recipe, Recipe) else Path(recipe).stem
    runs = "1 seed" if seeds == 1 else f"{seeds} seeds"
    epochs = "1 epoch" if base.training.epochs == 1 else f"{base.training.epochs} epochs"
    shots = f", {base.data.shots} training samples a class" if base.data.shots else ""
    return (
        f"`{name}`: {base.backbone.name}, {epochs} of batches of "
        f"{base.training.batch_size}{shots}, {runs}, accuracy on the {split} split"
    )
