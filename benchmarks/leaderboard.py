"""A benchmark that anybody can repeat: three small tasks, and a file of results to compare with.

    python benchmarks/leaderboard.py OUT --nmnist NMNIST_PAIRED --caltech CALTECH101_SUBSET
    python benchmarks/leaderboard.py OUT --smallest
    python benchmarks/leaderboard.py OUT --add THEIR.json
    python benchmarks/leaderboard.py OUT --page docs/leaderboard.md

RGB alone, events alone and both are trained on each task:

- *digits in motion*, which evlora draws itself;
- *N-MNIST pairs*, recordings of digits beside their pictures, with `--nmnist`;
- *simulated Caltech*, photographs in folders of splits and classes that are moved before the event
  simulator, with `--caltech`.

What is measured goes into OUT/leaderboard.json with its protocol, versions and hardware, beside
what is there already. `--add` takes results of others in the same form, which `--schema` prints as
a JSON schema; nothing is trained then. `--smallest` trains one epoch on a few clips of digits in
motion, to see that it works; its figures compare nothing.
"""

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError

from evlora.comparison import compare
from evlora.comparison_table import Row
from evlora.config import Config
from evlora.datasets import prepare, read_manifest
from evlora.datasets.protocol import protocol_of
from evlora.datasets.storage import is_prepared
from evlora.errors import DatasetError
from evlora.escaping import markdown
from evlora.files import writing_file
from evlora.messages import explain
from evlora.recipe import Recipe, recipe_of
from evlora.training.cost import mean_and_spread
from evlora.untrusted import read_text
from moved_photographs import simulate

FILE = "leaderboard.json"
CLIPS: Mapping[str, Mapping[str, Any]] = {
    "velora_rgb": {"clip.modalities": ["rgb"]},
    "velora_events": {"clip.modalities": ["event"]},
    "velora": {},
}
"""What the rows of the recipes change of the clips."""
METHODS = tuple(CLIPS)
PACKAGES = ("evlora", "torch", "timm", "peft")
TASKS: Mapping[str, str] = {
    "digits in motion": "20 classes that evlora draws of scikit-learn's handwritten digits; 600 "
    "clips to train with, 2,400 to test with; recipe `demo`",
    "N-MNIST pairs": "recordings of N-MNIST (Orchard et al., 2015) beside their pictures, 400 of "
    "1,100 held out evenly; recipe `fusion`",
    "simulated Caltech": "photographs of ten classes of Caltech101 (Fei-Fei et al., 2004), 350 to "
    "train with, 150 to test with, and events of a window that moves over them, by evlora's "
    "simulator; recipe `fusion`",
}
"""What a task is, where its data is from, and the recipe that is trained."""


class Origin(Config):
    """What a figure is of; the values are those of `evlora.datasets.protocol`."""

    dataset: str
    split: str
    samples: PositiveInt
    split_name: str = ""
    split_source: str = ""
    label_source: str = ""
    event_source: str = ""


class Entry(Config):
    """A result."""

    task: str
    method: str
    top1: float = Field(ge=0, le=100)
    """Per cent, mean over the seeds."""
    spread: NonNegativeFloat | None = None
    """Standard deviation over the seeds; null for one."""
    seeds: PositiveInt
    epochs: NonNegativeInt
    protocol: Origin
    form: Literal["full", "smallest"]
    """`smallest` figures only show that the benchmark runs."""
    versions: dict[str, str]
    hardware: str
    date: str = Field(pattern=r"^\d{4}-\d\d-\d\d$")
    by: str
    """Who measured it."""
    command: str

    @property
    def key(self) -> tuple[str, ...]:
        """What a newer result replaces."""
        return self.task, self.method, self.form, self.by


class Leaderboard(Config):
    """The file of results."""

    version: Literal[1] = 1
    entries: tuple[Entry, ...] = ()


def main() -> None:
    """Measure, or add what others measured, and write the file or the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("out", type=Path, help=f"folder for datasets, runs and {FILE}")
    parser.add_argument("--nmnist", type=Path, help="N-MNIST with frames and index.csv")
    parser.add_argument("--caltech", type=Path, help="photographs: SPLIT/CLASS/picture")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--smallest", action="store_true", help="one epoch on a few clips")
    parser.add_argument("--by", default="the evlora authors", help="who measures")
    hardware = f"{platform.machine()}, {os.cpu_count()} cores"
    parser.add_argument("--hardware", default=hardware, help="what it is measured on")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="recipe keys")
    parser.add_argument("--add", type=Path, help="a file of results to add; trains nothing")
    parser.add_argument("--page", type=Path, help="write the page of results; trains nothing")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of the file")
    options = parser.parse_args()
    if options.schema:
        print(schema())
        return
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / FILE
    try:
        known = read(path) if path.is_file() else Leaderboard()
        if options.page is not None:
            options.page.write_text(page(known), encoding="utf-8")
            return
        added = [read(options.add).entries] if options.add is not None else measured(options)
        for found in added:
            known = together(known, found)
            write(path, known)
    except DatasetError as error:
        sys.exit(f"error: {error}")


def schema() -> str:
    """The JSON schema of the file, for those who write one by other means."""
    return json.dumps(Leaderboard.model_json_schema(), indent=2)


def read(path: Path) -> Leaderboard:
    """The results in a file.

    Raises:
        DatasetError: It is none of this form.
    """
    try:
        return Leaderboard.model_validate_json(read_text(path, DatasetError))
    except ValidationError as error:
        raise DatasetError(
            f"{path}: expected results as `--schema` describes them, got "
            f"{explain(error, Leaderboard)}"
        ) from error


def write(path: Path, board: Leaderboard) -> None:
    """Write the results, whole or not at all."""
    with writing_file(path) as temporary:
        temporary.write_text(board.model_dump_json(indent=2) + "\n", encoding="utf-8")


def together(known: Leaderboard, found: tuple[Entry, ...]) -> Leaderboard:
    """All results; a new one replaces that of the same task, method, form and person."""
    entries = {entry.key: entry for entry in (*known.entries, *found)}
    return Leaderboard(entries=tuple(entries[key] for key in sorted(entries)))


def measured(options: argparse.Namespace) -> Iterator[tuple[Entry, ...]]:
    """Train and measure the tasks whose data is there, one after the other."""
    for task, (recipe, root) in datasets(options).items():
        runs = options.out / "runs" / ("smallest" if options.smallest else "full")
        changes: dict[str, Any] = {
            "data.root": str(root),
            "run.dir": str(runs / task.replace(" ", "_")),
            **dict(word.split("=", 1) for word in options.set),
        }
        if options.smallest:
            changes["training.epochs"] = 1
        seeds = 1 if options.smallest else options.seeds
        result = compare(
            recipe, methods=METHODS, seeds=seeds, overrides=changes, repeats=0, report=report
        )
        yield tuple(
            entry(task, row, recipe_of(recipe, {**changes, **CLIPS[row.name]}), root, options)
            for row in result.rows
            if row.top1
        )


def report(line: str) -> None:
    """A line for whoever watches."""
    print(line, file=sys.stderr, flush=True)


def entry(task: str, row: Row, recipe: Recipe, root: Path, options: argparse.Namespace) -> Entry:
    """One row of a comparison as a result."""
    mean, spread = mean_and_spread(list(row.top1.values()))
    origin = protocol_of(read_manifest(root), "test", recipe.clip)
    return Entry(
        task=task,
        method=row.name,
        top1=100 * mean,
        spread=100 * spread if len(row.top1) > 1 else None,
        seeds=len(row.top1),
        epochs=recipe.training.epochs,
        protocol=Origin(**origin.as_dict()),
        form="smallest" if options.smallest else "full",
        versions={name: version(name) for name in PACKAGES},
        hardware=options.hardware,
        date=date.today().isoformat(),
        by=options.by,
        command=command(options),
    )


def command(options: argparse.Namespace) -> str:
    """What repeats the measurement, without the folders of whoever measured."""
    words = ["benchmarks/leaderboard.py"]
    words += ["--smallest"] if options.smallest else ["--seeds", str(options.seeds)]
    words += ["--set", *options.set] if options.set else []
    return shlex.join(words)


def datasets(options: argparse.Namespace) -> dict[str, tuple[str, Path]]:
    """Task → the recipe that is trained, and the prepared dataset."""
    size = "smallest" if options.smallest else "full"
    found = {"digits in motion": ("demo", options.out / f"digits_{size}")}
    counts = {"train": 600, "val": 0, "test": 2400, "digits": 5}
    if options.smallest:
        counts = {"train": 40, "val": 0, "test": 40, "digits": 5}
    if not is_prepared(found["digits in motion"][1]):
        prepare("generated", None, found["digits in motion"][1], options=counts)
    if options.nmnist is not None and not options.smallest:
        found["N-MNIST pairs"] = ("fusion", options.out / "nmnist")
        if not is_prepared(found["N-MNIST pairs"][1]):
            prepare("csv", options.nmnist, found["N-MNIST pairs"][1], options={"test": 400})
    if options.caltech is not None and not options.smallest:
        found["simulated Caltech"] = ("fusion", options.out / "caltech")
        if not is_prepared(found["simulated Caltech"][1]):
            simulate(options.caltech, options.out / "caltech_recordings")
            prepare("csv", options.out / "caltech_recordings", found["simulated Caltech"][1])
    return found


def page(board: Leaderboard) -> str:
    """The page of results, in Markdown."""
    lines = [
        "# Leaderboard",
        "",
        "Results of small tasks that anybody can repeat with `benchmarks/leaderboard.py`: RGB",
        "alone, events alone and both. `--schema` prints the form in which others' results are",
        "taken (`--add`), and `--page` writes this page. A result is replaced by a newer one of",
        "the same task, method, form and person.",
        "",
        "| task | is |",
        "|---|---|",
        *(f"| {task} | {what} |" for task, what in TASKS.items()),
    ]
    for form, heading in (("full", "Results"), ("smallest", "Trials")):
        entries = [entry for entry in board.entries if entry.form == form]
        lines += ["", f"## {heading}", ""]
        if form == "smallest":
            lines += ["One epoch on a few clips: these show that it runs, and compare nothing.", ""]
        if not entries:
            lines.append("None yet.")
            continue
        lines += [
            "| task | method | top-1, % | seeds | epochs | measured on | by | date, hardware |",
            "|---|---|---:|---:|---:|---|---|---|",
        ]
        lines += [_row(entry) for entry in entries]
    return "\n".join(lines) + "\n"


def _row(entry: Entry) -> str:
    spread = "" if entry.spread is None else f" ± {entry.spread:.1f}"
    origin = entry.protocol
    parts = [f"{origin.dataset}, {origin.split}, {origin.samples:,} samples", origin.split_source]
    parts += [f"events {origin.event_source}" if origin.event_source else ""]
    cells = (
        *(entry.task, entry.method, f"{entry.top1:.1f}{spread}", str(entry.seeds)),
        *(str(entry.epochs), "; ".join(part for part in parts if part), entry.by),
        f"{entry.date}, {entry.hardware}, evlora {entry.versions.get('evlora', '?')}",
    )
    return f"| {' | '.join(markdown(cell) for cell in cells)} |"


if __name__ == "__main__":
    main()
