"""Does fusion earn its place? The tables of docs/fusion.md, from nothing but N-MNIST with frames.

    python benchmarks/fusion.py NMNIST_PAIRED OUT

Recordings of digits beside their pictures, split anew into 700 clips to train with and 400 to
measure with, the frames darkened step by step; then digits in motion, which evlora makes itself,
600 clips to train with and 2,400 to measure with.
What was trained is kept in OUT: given the same command again, it goes on where it was stopped.
With `--only NAME` it makes one of the tables, so that several processes can share the work.
"""

import argparse
import os
import platform
import sys
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import peft
import timm
import torch

from evlora.comparison import compare
from evlora.comparison_table import Over, accuracies_over, markdown
from evlora.datasets import prepare
from evlora.datasets.storage import is_prepared
from evlora.figures import draw_lines

EXPOSURES = Over("clip.exposure", ("1", "0.25", "0.0625", "0.0156", "0.0039"))
"""Two stops darker each: 255, 64, 16, 4 and 1 levels above black."""
TWILIGHT = "0.0156"
"""Where pictures and events tell about as much."""
STAGES = ("as_published", "no_view_weight", "no_difference", "no_shared_stage", "lora")
PATCHES = ("thinned_training", "thinned_answers")
DIGITS_IN_MOTION = {"train": 600, "val": 0, "test": 2400, "digits": 5}


@dataclass(frozen=True)
class Table:
    """What is trained for one of the tables, on which of both datasets."""

    recipe: str
    methods: tuple[str, ...]
    over: Over | None = None
    overrides: dict[str, str] = field(default_factory=dict[str, str])


TABLES = {
    "darker and darker": Table(
        "fusion", ("velora_rgb", "velora_events", "velora", "as_published"), EXPOSURES
    ),
    "full fine-tuning": Table(
        "fusion", ("full_fine_tuning",), Over("clip.exposure", ("1", TWILIGHT))
    ),
    "stages in twilight": Table(
        "fusion",
        ("with_reconstruction", "fixed_targets", *STAGES[1:]),
        overrides={"clip.exposure": TWILIGHT},
    ),
    "digits in motion": Table(
        "demo",
        (
            "velora_rgb",
            "velora_events",
            "velora",
            "full_fine_tuning",
            "with_reconstruction",
            *STAGES,
        ),
    ),
    "fewer patches": Table("fusion", PATCHES),
    "fewer patches in motion": Table("demo", PATCHES),
}


def main() -> None:
    """Train what is not trained yet, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("source", type=Path, help="N-MNIST with frames: a folder with index.csv")
    parser.add_argument("out", type=Path, help="folder for datasets and runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's; for a trial")
    parser.add_argument("--test-clips", type=int, default=400, help="of N-MNIST; fewer for a trial")
    parser.add_argument(
        "--precision", default="bf16-mixed", help="slow where bf16 is emulated; then 32-true"
    )
    parser.add_argument("--only", choices=TABLES, action="append", help="this table alone")
    options = parser.parse_args()
    names = options.only or list(TABLES)
    roots = {"fusion": options.out / "nmnist", "demo": options.out / "digits_in_motion"}
    needed = {TABLES[name].recipe for name in names}
    if "fusion" in needed and not is_prepared(roots["fusion"]):
        prepare("csv", options.source, roots["fusion"], options={"test": options.test_clips})
    if "demo" in needed and not is_prepared(roots["demo"]):
        prepare("generated", None, roots["demo"], options=DIGITS_IN_MOTION)
    print(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} thread(s), Python {platform.python_version()}, "
        f"torch {torch.__version__}, timm {timm.__version__}, peft {peft.__version__}"
    )
    shorter = {} if options.epochs is None else {"training.epochs": options.epochs}
    for name in names:
        table = TABLES[name]
        result = compare(
            table.recipe,
            methods=table.methods,
            seeds=options.seeds,
            over=table.over,
            overrides={
                "training.precision": options.precision,
                "data.root": str(roots[table.recipe]),
                "run.dir": str(options.out / "runs" / name.replace(" ", "_")),
                **table.overrides,
                **shorter,
            },
            repeats=0,
            report=lambda line: print(line, file=sys.stderr, flush=True),
        )
        print(f"\n## {name}\n\n{markdown(result)}", flush=True)
        if name == "darker and darker":
            lines = accuracies_over(result, EXPOSURES)
            draw_lines(lines, options.out / "fusion.png", key=EXPOSURES.key, lowest=0.9)


if __name__ == "__main__":
    main()
