"""How far do recognizers hold under the faults of sensors? The tables of docs/corruptions.md.

    python benchmarks/corruptions.py NMNIST_PAIRED OUT

On digits in motion, which evlora makes itself, and on recordings of digits beside their pictures:
RGB alone, events alone, both with the recipe of the demo, and both with its rows that are trained
with faults, `robust` and `robust_side_by_side`, with each seed and under every fault. What was
trained and measured is kept in OUT: given the same command again, it goes on where it was stopped.
`--strength`, each as often as needed, measures a part; `--only NAME` makes one of the tables;
`--hidden` also shows the recognizers of both modalities one of them alone.
"""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from evlora.bundle import load_bundle
from evlora.comparison import compare
from evlora.datasets import prepare, read_manifest
from evlora.datasets.storage import is_prepared
from evlora.evaluation.robustness import CLEAN, conditions_of
from evlora.evaluation.robustness_files import measure_into
from evlora.recordings.corruptions import CORRUPTIONS, STRENGTHS
from evlora.report.robustness import draw_by_corruption, lines_of
from evlora.training.cost import mean_and_spread

ROWS = {
    "velora_rgb": "trained with RGB alone",
    "velora_events": "trained with events alone",
    "velora": "before",
    "robust": "VELoRA with faults",
    "robust_side_by_side": "after",
}
HIDDEN = {"both": "both", "RGB alone": "without events", "events alone": "without RGB"}
"""How the table calls what a recognizer of both modalities is shown."""
Faults = dict[tuple[str, int], float]
"""Accuracy, a share of 1, by corruption and strength."""


@dataclass(frozen=True)
class Table:
    """What is trained and measured for one of the tables."""

    recipe: str
    layout: str
    options: dict[str, Any]
    overrides: dict[str, str]


TABLES = {
    "digits in motion": Table("demo", "generated", {"train": 600, "val": 0, "digits": 5}, {}),
    "N-MNIST with frames": Table(
        "fusion", "csv", {}, {"data.shots": "30", "training.precision": "32-true"}
    ),
}
"""600 and 300 clips to train with."""


def main() -> None:
    """Train and measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("source", type=Path, help="N-MNIST with frames: a folder with index.csv")
    parser.add_argument("out", type=Path, help="folder for datasets, runs and pictures")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=400, help="to measure with")
    parser.add_argument("--strength", type=int, choices=STRENGTHS, action="append")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's; for a trial")
    parser.add_argument("--shots", type=int, help="clips of a class to train with; for a trial")
    parser.add_argument("--only", choices=TABLES, action="append", help="this table alone")
    parser.add_argument("--hidden", action="store_true", help="with a modality hidden, too")
    options = parser.parse_args()
    print(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} thread(s), Python {platform.python_version()}, "
        f"torch {torch.__version__}; {options.clips} clips to measure with, {options.seeds} seeds"
    )
    for name in options.only or TABLES:
        lines = measured(name, options)
        print(f"\n## {name}\n\n{summary(lines)}\n\n{by_corruption(lines)}", flush=True)
        picture = options.out / f"corruptions_{name.split()[0].lower()}.png"
        draw_by_corruption({label: of_mean(seeds) for label, seeds in lines.items()}, picture)


def measured(name: str, options: argparse.Namespace) -> dict[str, list[Faults]]:
    """The accuracies of each line of the table, by seed."""
    table = TABLES[name]
    folder: Path = options.out / name.replace(" ", "_").lower()
    data = folder / f"data-{options.clips}"
    if not is_prepared(data):
        source = None if table.layout == "generated" else options.source
        prepare(table.layout, source, data, options={**table.options, "test": options.clips})
    asked = {"training.epochs": options.epochs, "data.shots": options.shots}
    shorter = {key: value for key, value in asked.items() if value is not None}
    runs = folder / f"runs-{options.clips}"
    found = compare(
        table.recipe,
        methods=tuple(ROWS),
        seeds=options.seeds,
        overrides={"data.root": str(data), "run.dir": str(runs), **table.overrides, **shorter},
        repeats=0,
        report=note,
    )
    if failures := [row.failures for row in found.rows if row.failures]:
        sys.exit(f"{name}: {failures}")
    manifest = read_manifest(data)
    lines: dict[str, list[Faults]] = {}
    for row, label in ROWS.items():
        for seed in range(options.seeds):
            run = runs / "runs" / row / f"seed-{seed}"
            recognizer = load_bundle(run / "bundle")
            config = recognizer.clip_config
            conditions = conditions_of(config, strengths=options.strength or STRENGTHS)
            if len(config.modalities) > 1 and not options.hidden:
                conditions = [one for one in conditions if one.shown == "both"]
            folder_of_run = run / "robustness"
            results = measure_into(folder_of_run, recognizer, manifest, conditions, dataset=name)
            note(f"{name}: {row} seed {seed} is measured")
            for shown, line in lines_of(results).items():
                name_of_line = f"{label}: {HIDDEN[shown]}" if len(config.modalities) > 1 else label
                lines.setdefault(name_of_line, []).append(dict(line))
    return lines


def summary(lines: dict[str, list[Faults]]) -> str:
    """A row for each line: clean, corrupted, and how far below the better modality alone."""
    best = best_alone(lines)
    head = "clean | mean corrupted | of clean | most below the better one alone"
    rows = [f"| | {head} | conditions more than a point below |", "|---|---:|---:|---:|---|---:|"]
    for label, seeds in lines.items():
        clean = [line[CLEAN, 0] for line in seeds]
        corrupted = [mean(under(line, best)) for line in seeds]
        relative = mean(after / before for after, before in zip(corrupted, clean, strict=True))
        cells = [percent(clean), percent(corrupted), f"{100 * relative:.1f}"]
        if label.endswith(": both"):
            below = shortfalls(of_mean(seeds), best)
            (name, strength), most = max(below.items(), key=lambda one: one[1])
            count = sum(points > 1 for points in below.values())
            cells += [f"{most:.1f} at {name}:{strength}", f"{count} of {len(below)}"]
        else:
            cells += ["", ""]
        rows.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join([*rows, "", won_back(lines, best)])


def won_back(lines: dict[str, list[Faults]], best: Faults) -> str:
    """Which share of the loss of `before: both` under faults `after: both` does not have."""
    before, after = of_mean(lines["before: both"]), of_mean(lines["after: both"])
    kept, lost = mean(under(after, best)), before[CLEAN, 0] - mean(under(before, best))
    share = (kept - mean(under(before, best))) / lost if lost > 0 else 0.0
    return (
        f"Of {100 * lost:.1f} points that both lose on the mean before, {share:.0%} are won back."
    )


def by_corruption(lines: dict[str, list[Faults]]) -> str:
    """A row for each corruption: the mean over its strengths, of every line."""
    means = {label: of_mean(seeds) for label, seeds in lines.items()}
    names = [name for name in CORRUPTIONS if any(name == fault for fault, _ in best_alone(lines))]
    rows = [f"| | {' | '.join(means)} |", f"|---|{'---:|' * len(means)}"]
    for name in names:
        strengths = sorted(s for fault, s in best_alone(lines) if fault == name)
        cells = [
            f"{100 * mean(line.get((name, s), line[CLEAN, 0]) for s in strengths):.1f}"
            for line in means.values()
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def best_alone(lines: dict[str, list[Faults]]) -> Faults:
    """The better of the two recognizers of one modality, under each fault."""
    alone = [of_mean(lines[ROWS[row]]) for row in ("velora_rgb", "velora_events")]
    faults = of_mean(lines["before: both"])
    return {fault: max(line.get(fault, line[CLEAN, 0]) for line in alone) for fault in faults}


def shortfalls(line: Faults, best: Faults) -> Faults:
    """Points by which a line is below the best one alone, under each fault."""
    return {fault: 100 * (value - line[fault]) for fault, value in best.items()}


def under(line: Faults, faults: Faults) -> list[float]:
    """The accuracies under all faults; those of a modality that is hidden change nothing."""
    return [line.get(fault, line[CLEAN, 0]) for fault in faults if fault[0] != CLEAN]


def of_mean(seeds: Sequence[Faults]) -> Faults:
    """The mean over seeds, by fault."""
    return {fault: mean(line[fault] for line in seeds) for fault in seeds[0]}


def percent(values: list[float]) -> str:
    """Mean and spread over seeds."""
    middle, spread = mean_and_spread(values)
    return f"{100 * middle:.1f}" + (f" ± {100 * spread:.1f}" if len(values) > 1 else "")


def note(line: str) -> None:
    """Report how far it is."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
