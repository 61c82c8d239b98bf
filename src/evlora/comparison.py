"""Methods side by side: the same recipe trained with each, under one budget.

runs/<row>/seed-<k>/   ordinary runs, with evaluation.json, or failure.txt where one failed
comparison.csv         a line per run: accuracy, parameters, memory, time
comparison.md          a table: mean and spread over the seeds
comparison.png         accuracy over time, the area of a circle is what was trained

Where a key is varied as well, each row is trained with each of its values; the table begins with
accuracies by row and value, and the picture shows them over the values.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from evlora.bundle import Recognizer, build_recognizer, load_bundle
from evlora.errors import AdapterError, RecipeError
from evlora.figures import Bubble, draw_bubbles, draw_lines
from evlora.files import writing_file
from evlora.models.adapters import METHODS
from evlora.profiling import count_parameters
from evlora.recipe import Recipe, load_recipe, split_override, train
from evlora.training.cost import inference_ratio, mean_and_spread, measure_step, merged
from evlora.training.data import open_dataset
from evlora.training.evaluation import evaluate

EVALUATION_FILE = "evaluation.json"
FAILURE_FILE = "failure.txt"
COST_FILE = "cost.json"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a row costs, measured on this machine with a batch of noise."""

    trained: int
    """Parameters that are optimised and saved, the head among them."""
    trained_percent: float
    """Their share of all parameters."""
    saved_mb: float
    weights_mb: float
    gradients_and_optimizer_mb: float
    activations_mb: float
    step_ms: float
    inference: float
    """Time for one clip over that of the same network without adapters."""
    inference_merged: float | None
    """The same after folding the adapters in; None where they cannot be folded."""


@dataclass(frozen=True, slots=True)
class Row:
    """A method, or a named variant of one, over all seeds."""

    method: str
    """The name that was asked for."""
    setting: str
    """`key=value` where a key is varied and the row does not set it itself; else empty."""
    top1: dict[int, float]
    """Accuracy on the split by seed, shares of 1."""
    failures: dict[int, str]
    """What went wrong, by seed."""
    cost: Cost | None
    """None where the network could not be built or run."""

    @property
    def name(self) -> str:
        """Method and setting."""
        return f"{self.method}, {self.setting}" if self.setting else self.method

    @property
    def accuracy(self) -> str:
        """Mean ± standard deviation in per cent, or why there is none."""
        if not self.top1:
            return "failed"
        mean, spread = mean_and_spread(list(self.top1.values()))
        return f"{100 * mean:.1f} ± {100 * spread:.1f}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows in the order in which they were asked for."""

    folder: Path
    heading: str
    """What was compared on what, in one line of Markdown."""
    rows: list[Row]
    over: "Over | None" = None
    """The key that was varied, if any."""

    @property
    def methods(self) -> list[str]:
        """The names that were asked for, each once."""
        return list(dict.fromkeys(row.method for row in self.rows))

    def at(self, method: str, setting: str) -> Row:
        """The row of a method at a setting; one that sets the key itself stands for all of them."""
        return next(
            row for row in self.rows if row.method == method and row.setting in ("", setting)
        )


@dataclass(frozen=True, slots=True)
class Over:
    """A key of the recipe, and the values to train every row with."""

    key: str
    values: tuple[str, ...]
    """As they would be typed behind `key=`."""

    @classmethod
    def parse(cls, text: str) -> "Over":
        """The key and values of a text such as `clip.exposure=1,0.5,0.1`.

        Raises:
            RecipeError: It is none.
        """
        key, equals, values = text.partition("=")
        listed = tuple(dict.fromkeys(value.strip() for value in values.split(",")))
        if not key or not equals or not all(listed):
            raise RecipeError(
                f"--over {text!r}: expected a key and its values, such as clip.exposure=1,0.5,0.1"
            )
        return cls(key, listed)

    @property
    def settings(self) -> list[str]:
        """`key=value` for each value."""
        return [f"{self.key}={value}" for value in self.values]


def compare(
    recipe: str | Path,
    *,
    methods: Sequence[str],
    seeds: int = 3,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    over: Over | None = None,
    split: str = "test",
    repeats: int = 5,
    say: Callable[[str], None] | None = None,
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
        say: Told a line per run.

    Raises:
        RecipeError: The recipe or one of the names is wrong; nothing was trained.
        DatasetError: The dataset is incomplete.
    """
    tell = say or (lambda line: None)
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
    manifest = open_dataset(base.data, seed=base.run.seed)
    rows: list[Row] = []
    for (name, setting), its_recipe in recipes.items():
        runs = folder / "runs" / setting.replace("/", "_") / name
        cost = _cost(its_recipe, manifest.labels, runs, repeats, tell)
        top1: dict[int, float] = {}
        failures: dict[int, str] = {}
        for seed in range(seeds):
            outcome = _run(its_recipe, runs / f"seed-{seed}", seed, split)
            if isinstance(outcome, str):
                failures[seed] = outcome
            else:
                top1[seed] = outcome
            said = f"failed: {outcome}" if isinstance(outcome, str) else f"{outcome:.1%}"
            tell(f"{name:<16} {setting}{' ' if setting else ''}seed {seed}  {said}")
        rows.append(Row(name, setting, top1, failures, cost))
    result = Comparison(folder, _heading(recipe, base, seeds, split), rows, over)
    _write(result)
    return result


def _as_mapping(overrides: Iterable[str] | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(overrides, Mapping):
        return dict(overrides)
    return dict(map(split_override, overrides))


def _keys_of(name: str, recipe: Recipe) -> dict[str, Any]:
    """The keys that make a recipe the row of this name."""
    own = recipe.comparison.get(name)
    if name not in METHODS and own is None:
        defined = ", ".join(recipe.comparison) or "no rows of its own"
        raise RecipeError(
            f"--methods: no method is called {name!r}; there are: {', '.join(METHODS)}; "
            f"the recipe's `comparison` defines {defined}"
        )
    method = {"model.adapter": {"method": name}} if name in METHODS else {}
    return {**method, **(own or {})}


def _run(recipe: Recipe, run_dir: Path, seed: int, split: str) -> float | str:
    """The accuracy of one run on the split, or what went wrong."""
    done = run_dir / EVALUATION_FILE
    if done.is_file():
        known = json.loads(done.read_text(encoding="utf-8"))
        if known["split"] == split:
            return float(known["top1"])
    run = recipe.run.model_copy(update={"dir": run_dir, "seed": seed})
    its_recipe = recipe.model_copy(update={"run": run, "comparison": {}})
    try:
        finished = train(its_recipe, resume=True)
        recognizer = load_bundle(finished.bundle, device=_device())
        manifest = open_dataset(its_recipe.data, seed=seed)
        result = evaluate(
            recognizer,
            manifest,
            split=split,
            batch_size=recipe.training.batch_size,
            workers=recipe.data.workers,
        )
    except Exception as error:  # one method's failure, of whatever kind, must not stop the others
        message = f"{type(error).__name__}: {error}"
        with writing_file(run_dir / FAILURE_FILE) as temporary:
            temporary.write_text(message + "\n", encoding="utf-8")
        return message
    (run_dir / FAILURE_FILE).unlink(missing_ok=True)
    with writing_file(done) as temporary:
        temporary.write_text(json.dumps(result.as_dict(), indent=2) + "\n", encoding="utf-8")
    return result.top1


def _cost(
    recipe: Recipe,
    labels: tuple[str, ...],
    folder: Path,
    repeats: int,
    tell: Callable[[str], None],
) -> Cost | None:
    if not repeats:
        return None
    path = folder / COST_FILE
    if path.is_file():
        return Cost(**json.loads(path.read_text(encoding="utf-8")))
    try:
        cost = _measure(recipe, labels, repeats)
    except Exception as error:  # as above
        tell(f"{folder.name}: cannot be measured: {error}")
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
        return build_recognizer(config, labels).to(_device())

    recognizer, plain = build(), build("none")
    counts = count_parameters(recognizer)
    step = measure_step(recognizer, recipe.training, repeats=repeats)
    try:
        folded = merged(recognizer)
    except AdapterError:
        folded = None
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


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _heading(recipe: str | Path, base: Recipe, seeds: int, split: str) -> str:
    shots = f", {base.data.shots} training samples a class" if base.data.shots else ""
    return (
        f"`{Path(recipe).stem}`: {base.backbone.name}, {base.training.epochs} epochs of batches of "
        f"{base.training.batch_size}{shots}, {seeds} seeds, accuracy on the {split} split"
    )


def _write(result: Comparison) -> None:
    contents = {
        "comparison.csv": _csv(result),
        "comparison.md": markdown(result),
    }
    for name, text in contents.items():
        with writing_file(result.folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    picture = result.folder / "comparison.png"
    if result.over:
        draw_lines(_lines(result, result.over), picture, key=result.over.key)
        return
    bubbles = [
        Bubble(
            row.name,
            row.cost.step_ms,
            mean_and_spread(list(row.top1.values()))[0],
            row.cost.trained,
        )
        for row in result.rows
        if row.top1 and row.cost
    ]
    if bubbles:
        draw_bubbles(bubbles, picture)


def _lines(result: Comparison, over: Over) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and spread of the accuracy, by method and value, where there are any."""
    return {
        method: {
            value: mean_and_spread(list(row.top1.values()))
            for value, setting in zip(over.values, over.settings, strict=True)
            if (row := result.at(method, setting)).top1
        }
        for method in result.methods
    }


def _csv(result: Comparison) -> str:
    lines = [
        {
            "method": row.method,
            **({"setting": row.setting} if result.over else {}),
            "seed": seed,
            "top1": row.top1.get(seed, ""),
            "failure": row.failures.get(seed, ""),
            **({} if row.cost is None else asdict(row.cost)),
        }
        for row in result.rows
        for seed in sorted({*row.top1, *row.failures})
    ]
    text = io.StringIO()
    names = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


COLUMNS = (
    "method",
    "accuracy, %",
    "trained",
    "of all, %",
    "saved, MB",
    "weights, MB",
    "gradients + optimizer, MB",
    "activations, MB",
    "step, ms",
    "inference, ×",
    "merged, ×",
)


def cells(row: Row) -> list[str]:
    """A row as texts, in the order of `COLUMNS`."""
    cost = row.cost
    if cost is None:
        return [row.name, row.accuracy, *["–"] * (len(COLUMNS) - 2)]
    folded = "–" if cost.inference_merged is None else f"{cost.inference_merged:.2f}"
    return [
        row.name,
        row.accuracy,
        f"{cost.trained:,}",
        f"{cost.trained_percent:.2f}",
        f"{cost.saved_mb:.2f}",
        f"{cost.weights_mb:.1f}",
        f"{cost.gradients_and_optimizer_mb:.1f}",
        f"{cost.activations_mb:.1f}",
        f"{cost.step_ms:.0f}",
        f"{cost.inference:.2f}",
        folded,
    ]


def markdown(result: Comparison) -> str:
    """The table of a comparison, and its failures below."""
    lines = [
        result.heading,
        "",
        *([] if result.over is None else [*_accuracies(result, result.over), ""]),
        "| " + " | ".join(COLUMNS) + " |",
        "|---|" + "---:|" * (len(COLUMNS) - 1),
        *("| " + " | ".join(cells(row)) + " |" for row in result.rows),
    ]
    failures = [
        f"- {row.name}, seed {seed}: {text.splitlines()[0]}"
        for row in result.rows
        for seed, text in row.failures.items()
    ]
    if failures:
        lines += ["", "Failed:", "", *failures]
    return "\n".join(lines) + "\n"


def _accuracies(result: Comparison, over: Over) -> list[str]:
    """The table of accuracies, a line for each method and a column for each value."""
    return [
        f"| accuracy, %, at {over.key} = | " + " | ".join(over.values) + " |",
        "|---|" + "---:|" * len(over.values),
        *(
            f"| {method} | "
            + " | ".join(result.at(method, setting).accuracy for setting in over.settings)
            + " |"
            for method in result.methods
        ),
    ]
