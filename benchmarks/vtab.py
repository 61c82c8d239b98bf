"""Methods on many small tasks of pictures, as on VTAB-1k: 1,000 pictures each, means by group.

    python benchmarks/vtab.py TASKS.csv OUT --methods lora,lv_adapter,full --weights FILE

TASKS.csv has the columns task, folder and group (natural, specialised, structured, or any other
word); a folder is relative to the table, and holds `train/CLASS/PICTURE` and `test/CLASS/PICTURE`.
Of a training split with more than 1,000 pictures, the same number of each class is drawn, 1,000
in all at most. Every setting is trained on 80 % and compared on the others, then the best one is
trained on all and tested; `tuning.py` has the protocol. The same command resumes, and may run in
several processes at the same time. It writes OUT/vtab.md and OUT/vtab.csv.
"""

import argparse
import csv
import statistics
import sys
from pathlib import Path
from typing import Any

from evlora.errors import DatasetError, EvloraError
from evlora.files import writing_file
from evlora.recipe import as_mapping
from tuning import Budget, Results, Task, adapter_of, add_budget, budget_of, prepared, work

PICTURES = 1000
COLUMNS = ("task", "folder", "group")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", type=Path, help="table of task, folder and group")
    parser.add_argument("out", type=Path, help="folder of all runs and of the tables")
    parser.add_argument("--methods", default="none,lora,lv_adapter,full", help="of the catalogue")
    parser.add_argument("--recipe", default="caltech101_subset", help="for images, or its file")
    parser.add_argument("--weights", help="of the backbone: a file, pretrained or random")
    add_budget(parser)
    parser.add_argument("keys", nargs="*", help="KEY=VALUE of the recipe, for every task")
    arguments = parser.parse_intermixed_args()
    try:
        print(run(arguments))
    except EvloraError as error:
        print(f"vtab: {error}", file=sys.stderr)
        sys.exit(2)


def run(arguments: argparse.Namespace) -> str:
    """Make what is missing; the table as Markdown."""
    keys = {**as_mapping(arguments.keys)}
    if arguments.weights:
        keys["backbone.weights"] = arguments.weights
    methods = {name: adapter_of(name, {}) for name in arguments.methods.split(",")}
    budget = budget_of(arguments)
    tasks = tasks_of(arguments.tasks, arguments.out, arguments.recipe, keys)
    results = work(arguments.out / "runs", tasks, methods, budget)
    page = table(tasks, list(methods), results, budget)
    with writing_file(arguments.out / "vtab.md") as temporary:
        temporary.write_text(page + "\n", encoding="utf-8")
    with writing_file(arguments.out / "vtab.csv") as temporary, temporary.open("w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["task", "group", "method", "setting", "seed", "top1"])
        for task in tasks:
            for name in methods:
                tuned = results[task.name, name]
                for seed, top1 in enumerate(tuned.top1):
                    writer.writerow([task.name, task.group, name, tuned.setting, seed, top1])
    return page


def tasks_of(table: Path, out: Path, recipe: str, keys: dict[str, Any]) -> list[Task]:
    """The tasks of a table, each prepared in OUT/datasets.

    Raises:
        DatasetError: The table lacks a column or has no task, or a folder is laid out otherwise.
    """
    if not table.is_file():
        raise DatasetError(f"{table}: expected a table of tasks, found no such file")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or any(row.get(column) in (None, "") for row in rows for column in COLUMNS):
        raise DatasetError(
            f"{table}: expected rows with the columns {', '.join(COLUMNS)}, "
            f"got {', '.join(rows[0]) if rows else 'no row'}"
        )
    tasks: list[Task] = []
    for row in rows:
        root = prepared(
            out / "datasets" / row["task"],
            "image_folder",
            table.parent / row["folder"],
            most_of_train=PICTURES,
        )
        tasks.append(Task(row["task"], recipe, {"data.root": str(root), **keys}, row["group"]))
    return tasks


def table(tasks: list[Task], methods: list[str], results: Results, budget: Budget) -> str:
    """Accuracies by method and task, the mean of each group, and the mean of these means."""
    groups = list(dict.fromkeys(task.group for task in tasks))
    names = [task.name for task in tasks]
    lines = [
        "| method | " + " | ".join([*names, *(f"**{group}**" for group in groups), "**mean**"]),
        "|---|" + "---:|" * (len(names) + len(groups) + 1),
    ]
    lines[0] += " |"
    for method in methods:
        cells = [results[name, method].cell for name in names]
        means = [_mean_of_group(group, tasks, method, results) for group in groups]
        known = [mean for mean in means if mean is not None]
        whole = statistics.fmean(known) if len(known) == len(groups) else None
        shown = ["–" if mean is None else f"{100 * mean:.1f}" for mean in (*means, whole)]
        lines.append(f"| {method} | " + " | ".join([*cells, *shown]) + " |")
    trials = len(budget.rates) * len(budget.scales)
    lines += [
        "",
        f"Accuracy on the test split, %; mean of {budget.seeds} seeds and half of its 95 % interval"
        f" (Student's t). {trials} trials for every method and task: rates "
        f"{', '.join(f'{rate:g}' for rate in budget.rates)} and scales "
        f"{', '.join(f'{scale:g}' for scale in budget.scales)}, compared on a fifth of the training"
        " pictures; the last column is the mean over the groups.",
    ]
    return "\n".join(lines)


def _mean_of_group(group: str, tasks: list[Task], method: str, results: Results) -> float | None:
    found = [results[task.name, method] for task in tasks if task.group == group]
    return None if any(one.failure for one in found) else statistics.fmean(o.mean for o in found)


if __name__ == "__main__":
    main()
