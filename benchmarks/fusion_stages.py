"""What each stage gives, on real scenes and made ones: the table of docs/fusion-real-scenes.md.

    python benchmarks/fusion_stages.py DATA OUT
    python benchmarks/fusion_stages.py DATA OUT --development

DATA holds the folders dark_actions, ucf101_six and nmnist_paired, each with `index.csv`, the
photographs caltech101_subset, and weights. Videos and photographs get events from the simulator;
digits in motion are made here. `--development` trains and measures on parts of the training clips
alone, those of videos split by source, to choose on; without it, the test clips are measured on.
What was trained is kept in OUT: given the same command again, it goes on where it was stopped.
`--only SET` and `--rows NAME …` split the work between processes.

What precedes the trained blocks is computed once for each set, the test clips' as well.
"""

import argparse
import json
import os
import platform
import re
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch

import real_scenes
from evlora.bundle import load_bundle
from evlora.comparison_rows import recipes_of
from evlora.datasets import prepare
from evlora.datasets.storage import is_prepared
from evlora.figures import new_figure, save_figure
from evlora.files import writing_file
from evlora.models.network import MomentwiseNetwork
from evlora.packing import clip_dataset
from evlora.recipe import Recipe, build, load_recipe, recipe_of
from evlora.training.features import OFF, FeatureDataset
from evlora.training.opening import open_dataset
from evlora.training.run import train

DIGITS_IN_MOTION = {"train": 600, "val": 0, "test": 2400, "digits": 5}
WEIGHTS = Path("weights", "vit_tiny_patch16_224.in1k.fp16.safetensors")
RESULT_FILE = "test.json"
MOST_COLUMNS = 5
ROWS = (
    *("velora_rgb", "velora_events"),
    *("lora", "view_losses", "whole_view_losses", "sum_of_views", "trend", "change"),
    *("difference_alone", "reconstruction_alone", "shared_stage_alone", "velora", "as_published"),
)
LAST_BLOCKS = {
    "model.high_blocks": "2",
    "model.adapter.sites": "both",
    "model.adapter.blocks": "2",
    "model.adapter.dropout": "0",
    "model.shared_adapter.dropout": "0",
    "training.learning_rate": "2e-3",
    "training.batch_size": "16",
    "training.epochs": "16",
    "clip.jitter": "false",
    "clip.augmentation.crop": "1",
    "clip.augmentation.colour": "0",
    "clip.augmentation.event_drop": "0",
}
"""LoRA in the two blocks that follow the mean over time, and clips that are not changed at random,
so that what comes before is computed once for all rows and seeds."""
FULL_RATE = "1e-3"
"""The best of 1e-4, 3e-4 and 1e-3 for `full_blocks` on held-out clips of UCF101."""
FULL: dict[str, dict[str, Any]] = {
    "full_blocks": {"model.adapter": {"method": "full", "blocks": 2}},
    "full_network": {"model.adapter": {"method": "full"}, "training.cache_features": OFF},
}
"""Rows that train the weights themselves, of the last two blocks or all, with `LIKE`'s losses."""
LIKE = "view_losses"
VIDEOS = {
    "backbone.name": "vit_tiny_patch16_224",
    "model.pool": "token",
    "clip.size": "96",
    "clip.frames": "8",
    "clip.fit": "stretch",
    "data.memory_mb": "2000",
}
"""Keys of all rows on videos."""


@dataclass(frozen=True)
class Scenes:
    """A dataset, and what all rows are trained with on it."""

    recipe: str
    prepared: Callable[[Path, Path, int | None], Path]
    """From the data, a folder and the number of a fold, or None for the whole, to a dataset."""
    overrides: dict[str, str] = field(default_factory=dict[str, str])
    weights: Path | None = None
    """Of the backbone, in the data."""
    folds: int = 0
    """Parts of its training clips that anything was chosen on."""
    dataset_of: str = ""
    """The set that has the same recordings, where another one has."""


def videos(
    name: str, *, threshold: float, source: str, folds: list[list[str]]
) -> Callable[[Path, Path, int | None], Path]:
    """What prepares a folder of videos with events of this threshold."""

    def prepared(data: Path, out: Path, fold: int | None) -> Path:
        if fold is None:
            return real_scenes.videos(data / name, out, threshold=threshold)
        held_out = real_scenes.HeldOut(re.compile(source), frozenset(folds[fold]))
        return real_scenes.videos(
            data / name, out, threshold=threshold, held_out=held_out, fold=fold
        )

    return prepared


def dark_actions(threshold: float) -> Callable[[Path, Path, int | None], Path]:
    """What prepares dark actions; two folds of sources, each with clips of every class."""
    folds = [["2", "7", "10", "11"], ["1", "3", "4", "8", "14"]]
    return videos("dark_actions", threshold=threshold, source=r"_(\d+)_\d+\.mp4", folds=folds)


def ucf(threshold: float) -> Callable[[Path, Path, int | None], Path]:
    """What prepares six classes of UCF101; three folds of six groups each."""
    folds = [[f"{group:02}" for group in range(first, first + 6)] for first in (8, 14, 20)]
    return videos("ucf101_six", threshold=threshold, source=r"_g(\d+)_", folds=folds)


def caltech(data: Path, out: Path, fold: int | None) -> Path:
    """Photographs with events; one fold, of those whose number ends with 0 to 3."""
    source = data / "caltech101_subset"
    if fold is None:
        return real_scenes.photographs(source, out)
    held_out = real_scenes.HeldOut(re.compile(r"(\d)\.png"), frozenset("0123"))
    return real_scenes.photographs(source, out, held_out=held_out, fold=fold)


def nmnist(data: Path, out: Path, fold: int | None) -> Path:
    """N-MNIST with its pictures, split as in `fusion.py`."""
    del fold
    if not is_prepared(out / "dataset"):
        prepare("csv", data / "nmnist_paired", out / "dataset", options={"test": 400})
    return out / "dataset"


def digits_in_motion(data: Path, out: Path, fold: int | None) -> Path:
    """Generated digits, those of `fusion.py`."""
    del data, fold
    if not is_prepared(out / "dataset"):
        prepare("generated", None, out / "dataset", options=DIGITS_IN_MOTION)
    return out / "dataset"


IN_THE_DARK = {"clip.exposure": "0.0156"}
"""Of the light: what fusion.py takes where both modalities of N-MNIST are about equally good."""
MANY_CLIPS = {"training.epochs": "8"}
SETS = {
    "UCF101, six": Scenes("demo", ucf(0.2), VIDEOS, WEIGHTS, folds=3),
    "UCF101, six, in the dark": Scenes(
        "demo", ucf(0.2), VIDEOS | IN_THE_DARK, WEIGHTS, dataset_of="UCF101, six"
    ),
    "UCF101, six, threshold 0.4": Scenes("demo", ucf(0.4), VIDEOS, WEIGHTS),
    "dark actions": Scenes("demo", dark_actions(0.2), VIDEOS, WEIGHTS, folds=2),
    "dark actions, threshold 0.4": Scenes("demo", dark_actions(0.4), VIDEOS, WEIGHTS),
    "Caltech": Scenes("demo", caltech, VIDEOS, WEIGHTS, folds=1),
    "Caltech in the dark": Scenes(
        "demo", caltech, VIDEOS | IN_THE_DARK, WEIGHTS, dataset_of="Caltech"
    ),
    "N-MNIST in the dark": Scenes("fusion", nmnist, IN_THE_DARK | MANY_CLIPS),
    "digits in motion": Scenes("demo", digits_in_motion, MANY_CLIPS),
}


def main() -> None:
    """Train what is not trained yet, and print one table over all sets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="folder of the datasets")
    parser.add_argument("out", type=Path, help="folder for what is prepared and trained")
    parser.add_argument("--development", action="store_true", help="held-out training clips")
    parser.add_argument("--folds", type=int, help="the first ones alone, of held-out clips")
    parser.add_argument("--only", choices=SETS, action="append", help="this set alone")
    parser.add_argument("--rows", nargs="+", default=ROWS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], help="keys to change, KEY=VALUE")
    parser.add_argument("--precision", default="32-true", help="bf16-mixed where it is fast")
    parser.add_argument("--failures", metavar="ROW", help="list what all seeds of a row get wrong")
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="and draw an event image of each"
    )
    options = parser.parse_args()
    changes = dict(entry.split("=", 1) for entry in options.set)
    names = options.only or [
        name for name, its in SETS.items() if its.folds or not options.development
    ]
    results: dict[str, dict[str, list[Path]]] = {}
    for name in names:
        folds = range(SETS[name].folds)[: options.folds] if options.development else [None]
        for fold in folds:
            found = runs_of(name, fold, options, changes)
            for row, folders in found.items():
                results.setdefault(name, {}).setdefault(row, []).extend(folders)
    print(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("torch", "timm", "peft", "lightning"))
        + "\n"
    )
    print(table(results, options.rows))
    if options.failures:
        for name, found in results.items():
            wrong = failures(found[options.failures])
            print(f"\n{name}: {', '.join(wrong) or 'none'}")
            if wrong and options.pictures:
                path = options.pictures / f"{name.replace(', ', '_').replace(' ', '_')}.png"
                draw_clips(found[options.failures][0], wrong, path)


def runs_of(
    name: str, fold: int | None, options: argparse.Namespace, changes: dict[str, str]
) -> dict[str, list[Path]]:
    """The folders of the runs on a set or a fold of it by row, all of them trained and scored."""
    scenes = SETS[name]
    folder, made = (
        options.out / each.replace(" ", "_").replace(",", "")
        for each in (name, scenes.dataset_of or name)
    )
    made.mkdir(parents=True, exist_ok=True)
    root = scenes.prepared(options.data, made, fold)
    tag = "".join(f"_{key}={value}" for key, value in sorted(changes.items()))
    keys = {
        **LAST_BLOCKS,
        **scenes.overrides,
        **(
            {}
            if scenes.weights is None
            else {"backbone.weights": str(options.data / scenes.weights)}
        ),
        "training.cache_features": str(options.out / "features"),
        "training.precision": options.precision,
        "data.root": str(root),
        **changes,
    }
    base = recipe_of(scenes.recipe, keys)
    names = list(dict.fromkeys(LIKE if row in FULL else row for row in options.rows))
    recipes = recipes_of(
        scenes.recipe, base, names, changes=keys, over=None, report=lambda line: None
    )
    found: dict[str, list[Path]] = {}
    for row in options.rows:
        recipe = recipes[LIKE if row in FULL else row, ""]
        if row in FULL:
            rate = {"training.learning_rate": FULL_RATE}
            recipe = recipe_of(recipe, {**FULL[row], **rate, **changes})
        for seed in range(options.seeds):
            place = folder / f"runs_{root.name}{tag}" / row / f"seed-{seed}"
            run = recipe.run.model_copy(update={"dir": place, "seed": seed})
            top1 = scored(recipe.model_copy(update={"run": run, "comparison": {}}), place)
            print(f"{name} {row} {seed}: {100 * top1:.1f} %", file=sys.stderr, flush=True)
            found.setdefault(row, []).append(place)
    return found


def scored(recipe: Recipe, place: Path) -> float:
    """The accuracy of a run on the test clips, from their features; trained if it is not yet."""
    file = place / RESULT_FILE
    if not file.is_file():
        recognizer = load_bundle(train(recipe, resume=True).bundle)
        manifest = open_dataset(recipe.data, seed=recipe.run.seed)
        clips = clip_dataset(
            manifest, "test", recognizer.clip_config, memory_mb=recipe.data.memory_mb
        )
        features = FeatureDataset(clips, variants=1)
        is_kept = recipe.training.cache_features != OFF  # then nothing there was trained
        features.fill(
            (build(recipe, num_classes=len(manifest.labels)) if is_kept else recognizer).eval(),
            Path(recipe.training.cache_features) if is_kept else None,
            batch_size=16,
            workers=0,
            precision=nullcontext(),
        )
        network = cast(MomentwiseNetwork, recognizer.network)
        wrong: list[str] = []
        for first in range(0, len(features), 64):
            batch = features.collate(list(range(len(features)))[first : first + 64])
            with torch.inference_mode():
                predicted = network.conclude(batch.encoded).logits.argmax(dim=1)
            assert batch.labels is not None  # a manifest's samples have labels
            is_wrong = (predicted != batch.labels).tolist()
            wrong += [name for name, is_it in zip(batch.samples, is_wrong, strict=True) if is_it]
        result: dict[str, Any] = {"top1": 1 - len(wrong) / len(features), "wrong": wrong}
        with writing_file(file) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return float(json.loads(file.read_text(encoding="utf-8"))["top1"])


def table(results: dict[str, dict[str, list[Path]]], rows: tuple[str, ...] | list[str]) -> str:
    """A line for each row, a column for each set: mean ± standard deviation over the runs."""
    lines = ["| accuracy, % | trained | " + " | ".join(results) + " |"]
    lines.append("|---|" + "---:|" * (1 + len(results)))
    for row in rows:
        cells = " | ".join(accuracy(found[row]) for found in results.values())
        (recipe, *_) = next(iter(results.values()))[row]
        lines.append(f"| `{row}` | {trained(recipe / 'recipe.yaml'):,} | {cells} |")
    return "\n".join(lines)


def accuracy(runs: list[Path]) -> str:
    """The mean over runs in per cent, and their standard deviation where there are several."""
    top1 = [100 * float(json.loads((run / RESULT_FILE).read_text())["top1"]) for run in runs]
    spread = f" ± {statistics.stdev(top1):.1f}" if len(top1) > 1 else ""
    return f"{statistics.fmean(top1):.1f}{spread}"


def failures(runs: list[Path]) -> list[str]:
    """The test clips that all of the runs get wrong."""
    wrong = Counter(
        name for run in runs for name in json.loads((run / RESULT_FILE).read_text())["wrong"]
    )
    return sorted(name for name, count in wrong.items() if count == len(runs))


def draw_clips(run: Path, names: list[str], path: Path) -> None:
    """Event images of the middle moment of test clips: frames may not be passed on."""
    recipe, clip = load_recipe(run / "recipe.yaml"), load_bundle(run / "bundle").clip_config
    clips = clip_dataset(open_dataset(recipe.data, seed=recipe.run.seed), "test", clip)
    places = {sample.sample: place for place, sample in enumerate(clips.samples)}
    columns = min(MOST_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure((1.6 * columns, 1.9 * rows))
    for number, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, number + 1)
        events = clips[places[name]].events
        assert events is not None  # both modalities are there
        axes.imshow(events[len(events) // 2].permute(1, 2, 0).numpy())
        axes.set_title(f"{clips.samples[places[name]].label}\n{Path(name).stem}", fontsize=7)
        axes.set_axis_off()
    save_figure(figure, path)


def trained(recipe: Path) -> int:
    """The numbers that a run trains, for the six classes of the videos."""
    network = build(recipe, num_classes=6)
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


if __name__ == "__main__":
    main()
