"""Which reading of Lv-Adapter is best: the search of docs/lv-adapter.md, on four tasks.

    python benchmarks/lv_search.py DATA OUT --weights VIT_TINY
    python benchmarks/lv_search.py DATA OUT --weights VIT_TINY --test default lora full old

DATA holds the folders caltech101_subset and ucf101_six; videos of motions and digits in motion are
made here. All readings train the same share of the backbone, 3 % of its parameters, and so does
LoRA. The first command trains them on a part of each task's training clips and measures on the
others: by source for real videos. The second one looks at the test clips, once: for what was
chosen, LoRA, full fine-tuning and the default of before, each at the rate that was best before,
with three seeds. Every run is a line of OUT/log.csv; given the same command again, what has a line
is skipped. `--only TASK`, `--readings NAME …` and `--rates FACTOR …` choose what is trained.
"""

import argparse
import csv
import json
import re
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from evlora.bundle import load_bundle
from evlora.clips import ClipConfig
from evlora.datasets import Manifest, prepare, read_manifest
from evlora.datasets.storage import is_prepared, write_manifest
from evlora.evaluation import evaluate
from evlora.packing import pack
from evlora.profiling import count_parameters
from evlora.recipe import build, load_recipe
from evlora.training.run import train

SHARE = 0.03
"""Of the backbone's parameters, which every adapter may train at most."""
SEEDS = 3
GROUPS_HELD_OUT = range(8, 13)
"""Groups of UCF101, videos of the same place and people, on which readings are chosen."""
HELD_OUT, TEST = "held out", "test"
FROZEN = json.dumps({"method": "none"})
COLUMNS: tuple[str, ...] = (
    "split",
    "task",
    "reading",
    "rank",
    "adapter_parameters",
    "learning_rate",
    "seed",
    "top1",
    "seconds",
)


class Reading(NamedTuple):
    """An adapter without its rank, and the keys of training that belong to it."""

    adapter: Mapping[str, Any]
    training: Mapping[str, Any] = {}
    factor: float = 1.0
    """What its learning rates are of those of adapters."""


def lv(training: Mapping[str, Any] | None = None, **keys: Any) -> Reading:
    """A reading with these options, and keys of training."""
    options = {"shift": False, "vector_scale": 1, **keys}
    return Reading({"method": "lv_adapter", "options": options}, training or {})


OLD = ["attention_output", "ffn"]
"""The sites of the default of before 30 November 2026."""
FAST_VECTOR = {"vector_ratio": 5.0}
READINGS: dict[str, Reading] = {
    "full": Reading({"method": "full"}, factor=0.1),
    "lora": Reading({"method": "lora", "sites": "both", "dropout": 0}),
    "old": lv(sites=OLD, vector="output", scale=1),
    "old_scale": lv(sites=OLD, vector="output", scale=4),
    "both": lv(sites="both", vector="output", scale=1),
    "both_scale": lv(sites="both", vector="output", scale=4),
    "both_pair": lv(sites="both", vector="none", scale=4),
    "both_fast": lv(FAST_VECTOR, sites="both", vector="output", scale=4),
    "both_shift": lv(FAST_VECTOR, sites="both", vector="output", shift=True, scale=4),
    "gentle_shift": lv(FAST_VECTOR, sites="both", vector="output", shift=True, scale=2),
    "slow_shift": lv({"vector_ratio": 2.0}, sites="both", vector="output", shift=True, scale=2),
    "steep_shift": lv(FAST_VECTOR, sites="both", vector="output", shift=True, scale=8),
    "mid_shift": lv({"vector_ratio": 2.0}, sites="both", vector="output", shift=True, scale=8),
    "default": lv(sites="both", vector="output", shift=True, scale=4, vector_scale=5),
    "both_input": lv(FAST_VECTOR, sites="both", vector="input", scale=4),
    "attention": lv(
        FAST_VECTOR,
        sites="both",
        vector="output",
        shift=True,
        scale=4,
        rank_pattern={"mlp.fc1": 0, "mlp.fc2": 0},
    ),
}

TESTED = ("default", "lora", "full", "old")
"""What was measured on the test clips."""
SEARCHED_AS = {"default": "both_shift"}
"""The default holds in `vector_scale` what this reading has as a rate of training."""


@dataclass(frozen=True)
class Task:
    """A dataset, and what all readings are trained with on it."""

    recipe: str
    source: Callable[[Path, Path], Manifest]
    """Prepares the dataset of a folder of datasets in a folder of its own."""
    is_held_out: Callable[[Manifest], set[str]]
    """Names of the training samples on which readings are chosen."""
    keys: Mapping[str, Any]
    rate: float
    """The learning rate of adapters that is tried first."""
    packing: Mapping[str, Any] = field(default_factory=dict[str, Any])
    is_tiny: bool = False
    """Whether the backbone is ViT-Tiny with weights from a file, not evlora-nano."""


def photographs(data: Path, out: Path) -> Manifest:
    """Ten classes of Caltech-101."""
    return prepare("image_folder", data / "caltech101_subset", out)


def motions(data: Path, out: Path) -> Manifest:
    """Videos whose class is the order of their frames."""
    del data
    return prepare("generated_videos", None, out, options={"train": 480, "val": 6, "test": 300})


def actions(data: Path, out: Path) -> Manifest:
    """Six classes of UCF101."""
    return prepare("csv", data / "ucf101_six", out)


def digits(data: Path, out: Path) -> Manifest:
    """Digits in motion, of which the event images are seen."""
    del data
    sizes = {"train": 600, "val": 0, "test": 600, "digits": 5}
    return prepare("generated", None, out, options=sizes)


def every_third(manifest: Manifest) -> set[str]:
    """Every third training sample of each class."""
    return {
        sample.sample
        for label in manifest.labels
        for sample in [one for one in manifest.split("train") if one.label == label][::3]
    }


def by_group(manifest: Manifest) -> set[str]:
    """The training videos of some of UCF101's groups."""
    return {
        sample.sample
        for sample in manifest.split("train")
        if (found := re.search(r"_g(\d+)_", str(sample.frames))) is not None
        and int(found[1]) in GROUPS_HELD_OUT
    }


NANO = {"backbone.name": "evlora_nano", "model.pool": "mean"}
TASKS = {
    "photographs": Task(
        "caltech101_subset",
        photographs,
        every_third,
        {"clip.size": 64, "data.shots": 5, "training.epochs": 8},
        2e-3,
        {"lossy": "jpeg:95", "shorter_side_px": 80},
        is_tiny=True,
    ),
    "motions": Task(
        "generated_videos",
        motions,
        every_third,
        {**NANO, "clip.size": 48, "clip.frames": 3, "training.epochs": 4},
        4e-3,
        {"max_frames": 9},
    ),
    "actions": Task(
        "generated_videos",
        actions,
        by_group,
        {
            "clip.frames": 2,
            "clip.augmentation.flip": True,
            "model.temporal": "mean",
            "training.epochs": 8,
        },
        2e-3,
        {"lossy": "jpeg:95", "shorter_side_px": 80, "max_frames": 12},
        is_tiny=True,
    ),
    "digits": Task(
        "generated_videos",
        digits,
        every_third,
        {
            **NANO,
            "clip.size": 48,
            "clip.frames": 2,
            "clip.modalities": ["event"],
            "training.epochs": 4,
        },
        4e-3,
    ),
}


def main() -> None:
    """Train what is not in the log yet, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="folder of the datasets")
    parser.add_argument("out", type=Path, help="folder for what is prepared, trained and logged")
    parser.add_argument("--weights", required=True, help="a file of ViT-Tiny's weights")
    parser.add_argument("--only", choices=TASKS, action="append", help="this task alone")
    parser.add_argument("--readings", nargs="+", choices=READINGS, default=list(READINGS))
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0], help="of the tasks' own")
    parser.add_argument("--seeds", type=int, default=1, help="of the search")
    parser.add_argument("--test", nargs="+", choices=READINGS, help="measured on the test clips")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = options.only or list(TASKS)
    log = Log(options.out / "log.csv")
    split = HELD_OUT if options.test is None else TEST
    readings = options.test or options.readings
    seeds = range(options.seeds if options.test is None else SEEDS)
    for seed in seeds:
        for reading in dict.fromkeys(readings):
            for name in names:
                if options.test is None and seed == 0:
                    own = TASKS[name].rate * READINGS[reading].factor
                    rates = [round(own * factor, 6) for factor in options.rates]
                else:
                    rates = [log.best_rate(name, reading)]
                for rate in rates:
                    line = {"split": split, "task": name, "reading": reading, "seed": seed}
                    if not log.has(line | {"learning_rate": rate}):
                        log.add(line | run(name, reading, rate, seed=seed, options=options))
    print(table(log, split, names, list(dict.fromkeys(readings))))


class Log:
    """The lines of a file, one for each run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[dict[str, str]] = []
        if self.path.is_file():
            with self.path.open(newline="") as file:
                self.lines = list(csv.DictReader(file))

    def has(self, keys: Mapping[str, Any]) -> bool:
        """Whether there is a line with these values."""
        return next(self.of(keys), None) is not None

    def of(self, keys: Mapping[str, Any]) -> Iterator[dict[str, str]]:
        """The lines with these values."""
        for line in self.lines:
            if all(line[key] == str(value) for key, value in keys.items()):
                yield line

    def add(self, values: Mapping[str, Any]) -> None:
        """Write a further line."""
        line = {key: str(values[key]) for key in COLUMNS}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.path.is_file()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if is_new:
                writer.writeheader()
            writer.writerow(line)
        self.lines.append(line)

    def best_rate(self, task: str, reading: str) -> float:
        """The learning rate that was best on held-out clips; the first one where none was tried."""
        searched = SEARCHED_AS.get(reading, reading)
        lines = list(self.of({"split": HELD_OUT, "task": task, "reading": searched, "seed": 0}))
        if not lines:
            return round(TASKS[task].rate * READINGS[reading].factor, 6)
        return float(max(lines, key=lambda line: float(line["top1"]))["learning_rate"])


def run(
    task: str, reading: str, rate: float, *, seed: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Train one reading and measure it: the other columns of its line."""
    root = dataset_of(task, options.data, options.out, is_test=options.test is not None)
    keys, rank = keys_of(task, reading, options.weights)
    place = options.out / "run"
    adapter = json.dumps(keys["model.adapter"])
    shutil.rmtree(place, ignore_errors=True)
    began = time.process_time()
    keys |= {
        "training.learning_rate": rate,
        "data.root": str(root),
        "run.dir": str(place),
        "run.seed": seed,
    }
    bundle = train(TASKS[task].recipe, overrides=keys).bundle
    recognizer = load_bundle(bundle)
    top1 = evaluate(recognizer, read_manifest(root), split="test", batch_size=32).top1
    seconds = time.process_time() - began
    print(
        f"{task:<12} {reading:<12} {rate:g} seed {seed} {top1:.1%} in {seconds:.0f} s", flush=True
    )
    return {
        "rank": rank,
        "adapter_parameters": parameters_of(task, adapter),
        "learning_rate": rate,
        "top1": round(top1, 4),
        "seconds": round(seconds),
    }


def dataset_of(task: str, data: Path, out: Path, *, is_test: bool) -> Path:
    """The packed dataset of a task, or its training clips alone, a part of them as test."""
    folder, about = out / task, TASKS[task]
    index, packed = folder / "index", folder / ("packed" if is_test else "packed_training")
    if is_prepared(packed):
        return packed
    whole = read_manifest(index) if is_prepared(index) else about.source(data, index)
    if not is_test:
        held_out = about.is_held_out(whole)
        samples = tuple(
            replace(sample, split="test" if sample.sample in held_out else "train")
            for sample in whole.split("train")
        )
        index = folder / "index_training"
        index.mkdir(exist_ok=True)
        write_manifest(replace(whole, samples=samples), index)
    clip: ClipConfig = load_recipe(about.recipe, dict(about.keys)).clip
    pack(index, packed, clip, workers=0, **about.packing)
    return packed


def keys_of(task: str, reading: str, weights: str) -> tuple[dict[str, Any], int]:
    """The keys of a run, with the largest rank that is within the share."""
    about, chosen = TASKS[task], READINGS[reading]
    keys: dict[str, Any] = {**about.keys, "training.batch_size": 16, "training.keep": "last"}
    keys |= {"data.validation_fraction": 0, "data.memory_mb": 2000}
    keys |= {f"training.{name}": value for name, value in chosen.training.items()}
    if about.is_tiny:
        keys |= {"backbone.weights": weights}
    adapter, rank = dict(chosen.adapter), 0
    if adapter["method"] == "full":
        return keys | {"model.adapter": adapter}, rank
    total = parameters_of(task, json.dumps({"method": "full"}))
    one, two = (parameters_of(task, json.dumps(with_rank(adapter, rank))) for rank in (1, 2))
    rank = 1 + int((SHARE * total - one) // (two - one))
    return keys | {"model.adapter": with_rank(adapter, rank)}, rank


def with_rank(adapter: Mapping[str, Any], rank: int) -> dict[str, Any]:
    """The adapter with this rank; LoRA's alpha is twice as large."""
    scale = {"alpha": 2 * rank} if adapter["method"] == "lora" else {}
    return {**adapter, **scale, "rank": rank}


@cache
def parameters_of(task: str, adapter: str) -> int:
    """What an adapter, as JSON, trains beside what frozen features train too: the head and more."""
    keys = {**TASKS[task].keys, "backbone.weights": "random", "model.adapter": json.loads(adapter)}
    network = build(TASKS[task].recipe, num_classes=2, overrides=keys)
    trained = count_parameters(network).trained
    return trained if adapter == FROZEN else trained - parameters_of(task, FROZEN)


def table(log: Log, split: str, tasks: Sequence[str], readings: Sequence[str]) -> str:
    """A line for each reading, a column for each task: mean ± deviation at the best rate."""
    lines = ["| accuracy, % | " + " | ".join(tasks) + " |", "|---|" + "---:|" * len(tasks)]
    for reading in readings:
        cells = [_cell(log, split, task, reading) for task in tasks]
        lines.append(f"| `{reading}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(log: Log, split: str, task: str, reading: str) -> str:
    rate = log.best_rate(task, reading)
    keys = {"split": split, "task": task, "reading": reading, "learning_rate": rate}
    scores = [100 * float(line["top1"]) for line in log.of(keys)]
    if not scores:
        return "–"
    spread = f" ± {statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
    return f"{statistics.mean(scores):.1f}{spread}"


if __name__ == "__main__":
    main()
