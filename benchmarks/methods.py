"""Methods on six kinds of tasks, each tuned under the same budget, with ranks over the tasks.

    python benchmarks/methods.py DATA OUT
    python benchmarks/methods.py DATA OUT --tasks photographs,digits --methods none,lora,full

DATA holds the folders caltech101_subset (photographs), dark_actions and ucf101_six (actions) and
nmnist_paired (N-MNIST with its pictures); digits in motion and videos of six motions are generated
into OUT. All tasks use evlora-nano on images of 48 px, from packed pictures. `tuning.py` has the
protocol: one budget of trials for every method, the best one tested with several seeds, nothing
chosen on the test split. The same command resumes, and may run in several processes at the same
time; `--found` writes the tables of what is complete by now.

It writes OUT/methods.md, OUT/methods.csv and OUT/methods.png. Ranks are over the tasks that all
methods have; two mean ranks differ significantly (p < 0.05) where they are farther apart than the
critical difference of Nemenyi's test (Demšar, Journal of Machine Learning Research, 2006).
"""

import argparse
import csv
import json
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import rankdata, studentized_range

from evlora.errors import EvloraError, RecipeError
from evlora.figures import Bubble, draw_bubbles
from evlora.files import writing_file
from evlora.messages import suggestion
from evlora.models.adapters import METHODS
from evlora.profiling import count_parameters
from evlora.recipe import as_mapping, build, load_recipe
from evlora.training.cost import measure_step
from tuning import (
    Budget,
    Results,
    Task,
    Tuned,
    adapter_of,
    add_budget,
    budget_of,
    found,
    packed,
    prepared,
    work,
)

ROWS: dict[str, dict[str, Any]] = {
    "lora_both": {"method": "lora", "sites": "both"},
    "st_adapter_alone": {"method": "st_adapter", "options": {"kernel": 1}},
    "lv_adapter_moments": {"method": "lv_adapter", "moment_heads": 2},
}
"""Adapters that are no method with its defaults."""
SIZE = 48
NANO = {
    "backbone.name": "evlora_nano",
    "backbone.weights": "pretrained",
    "clip.size": SIZE,
    "clip.augmentation.colour": 0,
}
PHOTOGRAPHS = {**NANO, "data.shots": 16, "training.epochs": 8}
VIDEO = {**NANO, "model.pool": "mean", "clip.frames": 4}
MOTIONS = {**VIDEO, "training.batch_size": 8}
ACTIONS = {**VIDEO, "training.epochs": 8}
PAIRS = {**NANO, "model.difference": False, "model.shared_stage": False, "training.view_weight": 0}
DIGITS = {"train": 240, "val": 0, "test": 240, "digits": 3}
NMNIST = {**PAIRS, "data.shots": 16, "training.epochs": 4}
PACKED_PX = 72
"""The shorter side of packed pictures: half as much again as a network sees."""
STEPS = 5
"""Timed, of each method and of full fine-tuning in turn."""
LEVEL = 0.05
EQUAL_PLACES = 9
"""Means that agree in as many are equal: the order of a sum changes the last ones."""
COSTS = ("trained", "trained_percent", "saved_mb", "kept", "time", "step_ms")
"""What a method costs, by the keys of `cost_of`."""


@dataclass(frozen=True)
class Source:
    """Where a task's dataset comes from, and how it is learned."""

    layout: str
    folder: str | None
    """In DATA; None where the layout makes its own."""
    options: Mapping[str, Any]
    recipe: str
    keys: Mapping[str, Any]


SOURCES = {
    "photographs": Source("image_folder", "caltech101_subset", {}, "nano_photographs", PHOTOGRAPHS),
    "dark_actions": Source("csv", "dark_actions", {}, "generated_videos", ACTIONS),
    "ucf101_six": Source("csv", "ucf101_six", {}, "generated_videos", ACTIONS),
    "digits": Source("generated", None, DIGITS, "demo", PAIRS),
    "nmnist": Source("csv", "nmnist_paired", {"test": 400}, "demo", NMNIST),
    "generated_videos": Source(
        "generated_videos",
        None,
        {"train": 240, "val": 0, "test": 150},
        "generated_videos",
        MOTIONS,
    ),
}
"""Task → its dataset and recipe."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of the datasets")
    parser.add_argument("out", type=Path, help="folder of all runs and of the tables")
    parser.add_argument("--tasks", default=",".join(SOURCES))
    parser.add_argument("--methods", default=",".join([*METHODS, *ROWS]), help="or rows of them")
    add_budget(parser)
    parser.add_argument("--found", action="store_true", help="tables alone, without training")
    parser.add_argument("keys", nargs="*", help="KEY=VALUE of the recipes, for every task")
    arguments = parser.parse_intermixed_args()
    try:
        print(run(arguments))
    except EvloraError as error:
        print(f"methods: {error}", file=sys.stderr)
        sys.exit(2)


def run(arguments: argparse.Namespace) -> str:
    """Make what is missing, unless only what is found is asked for; the page as Markdown."""
    out: Path = arguments.out
    methods = {name: adapter_of(name, ROWS) for name in arguments.methods.split(",")}
    budget = budget_of(arguments)
    keys = as_mapping(arguments.keys)
    tasks = [_task(name, arguments.data, out, keys) for name in arguments.tasks.split(",")]
    complete = found if arguments.found else work
    results = complete(out / "runs", tasks, methods, budget)
    costs = {name: cost_of(tasks[0], name, adapter, out) for name, adapter in methods.items()}
    page = table([task.name for task in tasks], results, costs, budget)
    with writing_file(out / "methods.md") as temporary:
        temporary.write_text(page + "\n", encoding="utf-8")
    write_log(out / "methods.csv", results, costs)
    _draw(results, costs, out / "methods.png")
    return page


def _task(name: str, data: Path, out: Path, keys: Mapping[str, Any]) -> Task:
    """The task of this name, with its dataset prepared.

    Raises:
        RecipeError: There is none.
        DatasetError: Its folder is not there.
    """
    if name not in SOURCES:
        raise RecipeError(f"--tasks: no task is called {name!r}; {suggestion(name, [*SOURCES])}")
    source = SOURCES[name]
    folder = None if source.folder is None else data / source.folder
    whole = prepared(out / "datasets" / name, source.layout, folder, source.options)
    clip = load_recipe(source.recipe, source.keys).clip
    root = packed(whole, clip, shorter_side_px=PACKED_PX)
    return Task(name, source.recipe, {**source.keys, "data.root": str(root), **keys})


def cost_of(task: Task, name: str, adapter: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """What a method costs on this task's network; a step is measured beside full fine-tuning."""
    path = out / "costs" / f"{name}.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    training = load_recipe(task.recipe, task.keys).training

    def built(its_adapter: Mapping[str, Any]) -> Any:
        keys = {**task.keys, "model.adapter": dict(its_adapter)}
        recognizer = build(task.recipe, num_classes=10, overrides=keys)
        recognizer.prepare_training(precision=training.precision, fast=training.fast)
        return recognizer

    mine, full = built(adapter), built({"method": "full"})
    counts = count_parameters(mine)
    pairs = [
        [measure_step(network, training, repeats=1) for network in (mine, full)]
        for _ in range(STEPS)
    ]
    cost = {
        "trained": counts.trained,
        "trained_percent": counts.trained_percent,
        "saved_mb": counts.saved_mb,
        "kept": pairs[0][0].activations_mb / pairs[0][1].activations_mb,
        "time": statistics.median(own.step_ms / its.step_ms for own, its in pairs),
        "step_ms": statistics.median(own.step_ms for own, _ in pairs),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing_file(path) as temporary:
        temporary.write_text(json.dumps(cost) + "\n", encoding="utf-8")
    return cost


def write_log(path: Path, results: Results, costs: Mapping[str, Mapping[str, Any]]) -> None:
    """A line for each run that met a test split, with what its method costs."""
    with writing_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["task", "method", "setting", "seed", "top1", *COSTS])
        for (task, name), tuned in results.items():
            cost = [costs[name][key] for key in COSTS]
            for seed, top1 in enumerate(tuned.top1):
                writer.writerow([task, name, tuned.setting, seed, top1, *cost])


def read_log(path: Path) -> tuple[Results, dict[str, dict[str, Any]]]:
    """The results and costs of such a file."""
    results: Results = {}
    costs: dict[str, dict[str, Any]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            tuned = results.setdefault((row["task"], row["method"]), Tuned(row["setting"]))
            tuned.top1.append(float(row["top1"]))
            cost = {key: float(row[key]) for key in COSTS}
            costs[row["method"]] = {**cost, "trained": round(cost["trained"])}
    return results, costs


def table(
    tasks: list[str], results: Results, costs: Mapping[str, dict[str, Any]], budget: Budget
) -> str:
    """Accuracies, costs and mean ranks of the methods, best rank first."""
    whole = [task for task in tasks if all(_mean(results, task, name) for name in costs)]
    ranks = mean_ranks(whole, list(costs), results)
    lines = [
        f"| method | {' | '.join(tasks)} | mean rank | trained | of all, % | saved, MB "
        "| kept, × full | step, × full | folds |",
        "|---|" + "---:|" * (len(tasks) + 6) + "---|",
    ]
    for name in sorted(costs, key=lambda one: ranks.get(one, 0.0)):
        cells = [results[task, name].cell if (task, name) in results else "–" for task in tasks]
        cost, rank = costs[name], f"{ranks[name]:.2f}" if ranks else "–"
        row = METHODS[ROWS.get(name, {"method": name})["method"]]
        lines.append(
            f"| `{name}` | {' | '.join(cells)} | {rank} | {cost['trained']:,} | "
            f"{cost['trained_percent']:.2f} | {cost['saved_mb']:.2f} | {cost['kept']:.2f} | "
            f"{cost['time']:.2f} | {'yes' if row.is_foldable else 'no'} |"
        )
    trials = len(budget.rates) * len(budget.scales)
    lines += [
        "",
        f"Accuracy on the test split, %; mean of {budget.seeds} seeds and half of its 95 % interval"
        f" (Student's t). {trials} trials for every method and task, at rates "
        f"{', '.join(f'{rate:g}' for rate in budget.rates)} and scales "
        f"{', '.join(f'{scale:g}' for scale in budget.scales)}, compared on held-out training "
        "samples. Costs are those of the first task's network, head included; a step is timed in "
        "turn with one of full fine-tuning.",
    ]
    if ranks:
        difference = critical_difference(len(ranks), len(whole))
        lines.append(
            f"Mean ranks over {len(whole)} of the tasks ({', '.join(whole)}); the critical "
            f"difference of {len(ranks)} methods is {difference:.2f} (Nemenyi, p < {LEVEL})."
        )
    return "\n".join(lines)


def mean_ranks(tasks: list[str], methods: list[str], results: Results) -> dict[str, float]:
    """The mean over the tasks of each method's place, 1 for the best; equal ones share theirs."""
    if not tasks or len(methods) < 2:
        return {}
    places = [
        rankdata([-round(_mean(results, task, name) or 0.0, EQUAL_PLACES) for name in methods])
        for task in tasks
    ]
    return {name: float(sum(p[i] for p in places)) / len(tasks) for i, name in enumerate(methods)}


def critical_difference(methods: int, tasks: int, level: float = LEVEL) -> float:
    """How far two of these methods' mean ranks over the tasks must be apart to differ."""
    quantile = float(studentized_range.ppf(1 - level, methods, float("inf"))) / 2**0.5
    return quantile * (methods * (methods + 1) / (6 * tasks)) ** 0.5


def _mean(results: Results, task: str, name: str) -> float | None:
    tuned = results.get((task, name))
    return None if tuned is None or tuned.failure else tuned.mean


def _draw(results: Results, costs: Mapping[str, dict[str, Any]], path: Path) -> None:
    """The mean accuracy over the tasks by the time of a step; areas are trained parameters."""
    by_method: dict[str, list[float]] = {}
    for (_, name), tuned in results.items():
        if not tuned.failure:
            by_method.setdefault(name, []).append(tuned.mean)
    most = max((len(means) for means in by_method.values()), default=0)
    bubbles = [
        Bubble(name, costs[name]["step_ms"], statistics.fmean(means), costs[name]["trained"])
        for name, means in by_method.items()
        if len(means) == most
    ]
    if bubbles:
        draw_bubbles(bubbles, path)


if __name__ == "__main__":
    main()
