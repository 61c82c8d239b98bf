"""What each stage gives, on real scenes and made ones: the table of docs/fusion-real-scenes.md.

    python benchmarks/fusion_stages.py DATA OUT
    python benchmarks/fusion_stages.py DATA OUT --development

DATA holds the folders dark_actions, ucf101_six and nmnist_paired, each with `index.csv`. Videos get
events from the simulator; digits in motion are made here. `--development` trains and measures on
parts of the videos' training clips alone, split by source, to choose on; without it, the test clips
are measured on. What was trained is kept in OUT: given the same command again, it goes on where it
was stopped. `--only SET` and `--rows NAME …` split the work between processes.
"""

import argparse
import os
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

import real_scenes
from evlora.comparison import compare
from evlora.comparison_table import Comparison
from evlora.datasets import prepare
from evlora.datasets.storage import is_prepared
from evlora.recipe import build

DIGITS_IN_MOTION = {"train": 600, "val": 0, "test": 2400, "digits": 5}
DARK_CLASSES = ("jump", "run", "sit", "stand", "turn", "walk")
DARK_SOURCES = real_scenes.HeldOut(
    re.compile(r"_(\d+)_\d+\.mp4"),
    frozenset((name, source) for name in DARK_CLASSES for source in ("3", "7", "10", "11")),
)
"""Held out of all classes: a source that stays with one class and is held out of another one
makes that one look like the first, and accuracy falls below chance."""
UCF_CLASSES = (
    *("Archery", "BasketballDunk", "HorseRace"),
    *("PlayingPiano", "PlayingViolin", "Surfing"),
)
UCF_GROUPS = real_scenes.HeldOut(
    re.compile(r"_g(\d+)_"),
    frozenset((name, f"{group:02}") for name in UCF_CLASSES for group in range(8, 13)),
)
ROWS = (
    "velora_rgb",
    "velora_events",
    "lora",
    "view_losses",
    "trend",
    "change",
    "velora",
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
    "training.cache_variants": "2",
}
"""LoRA in the two blocks that follow the mean over time, so that what comes before is computed once
for each of two draws of a clip."""
VIDEOS = {
    "clip.frames": "4",
    "clip.fit": "stretch",
    "clip.augmentation.flip": "true",
    "data.memory_mb": "2000",
}
"""Keys of all rows on videos, set before the first run."""


@dataclass(frozen=True)
class Scenes:
    """A dataset, and what all rows are trained with on it."""

    recipe: str
    prepared: Callable[[Path, Path, bool], Path]
    overrides: dict[str, str] = field(default_factory=dict[str, str])
    is_developed_on: bool = False
    """Whether anything was chosen on a part of its training clips."""


def videos(
    name: str, *, threshold: float, held_out: real_scenes.HeldOut
) -> Callable[[Path, Path, bool], Path]:
    """What prepares a folder of videos with events of this threshold."""

    def prepared(data: Path, out: Path, is_development: bool) -> Path:
        return real_scenes.prepared(
            data / name, out, threshold=threshold, held_out=held_out if is_development else None
        )

    return prepared


def nmnist(data: Path, out: Path, is_development: bool) -> Path:
    """N-MNIST with its pictures, split as in `fusion.py`."""
    del is_development
    if not is_prepared(out / "dataset"):
        prepare("csv", data / "nmnist_paired", out / "dataset", options={"test": 400})
    return out / "dataset"


def digits_in_motion(data: Path, out: Path, is_development: bool) -> Path:
    """Generated digits, those of `fusion.py`."""
    del data, is_development
    if not is_prepared(out / "dataset"):
        prepare("generated", None, out / "dataset", options=DIGITS_IN_MOTION)
    return out / "dataset"


SETS = {
    "dark actions": Scenes(
        "demo",
        videos("dark_actions", threshold=0.2, held_out=DARK_SOURCES),
        VIDEOS,
        is_developed_on=True,
    ),
    "UCF101, six": Scenes(
        "demo",
        videos("ucf101_six", threshold=0.2, held_out=UCF_GROUPS),
        VIDEOS,
        is_developed_on=True,
    ),
    "dark actions, threshold 0.4": Scenes(
        "demo", videos("dark_actions", threshold=0.4, held_out=DARK_SOURCES), VIDEOS
    ),
    "N-MNIST at 0.0156": Scenes("fusion", nmnist, {"clip.exposure": "0.0156"}),
    "digits in motion": Scenes("demo", digits_in_motion),
}


def main() -> None:
    """Train what is not trained yet, and print one table over all sets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="folder of the datasets")
    parser.add_argument("out", type=Path, help="folder for what is prepared and trained")
    parser.add_argument("--development", action="store_true", help="held-out training clips")
    parser.add_argument("--only", choices=SETS, action="append", help="this set alone")
    parser.add_argument("--rows", nargs="+", default=ROWS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], help="keys to change, KEY=VALUE")
    parser.add_argument("--precision", default="32-true", help="bf16-mixed where it is fast")
    options = parser.parse_args()
    names = options.only or [
        name for name, scenes in SETS.items() if scenes.is_developed_on or not options.development
    ]
    results: dict[str, Comparison] = {}
    for name in names:
        scenes, folder = SETS[name], options.out / name.replace(" ", "_").replace(",", "")
        folder.mkdir(parents=True, exist_ok=True)
        root = scenes.prepared(options.data, folder, options.development)
        changes = dict(entry.split("=", 1) for entry in options.set)
        tag = "".join(f"_{key}={value}" for key, value in sorted(changes.items()))
        results[name] = compare(
            scenes.recipe,
            methods=options.rows,
            seeds=options.seeds,
            overrides={
                **LAST_BLOCKS,
                **scenes.overrides,
                "training.cache_features": str(options.out / "features"),
                "training.precision": options.precision,
                "data.root": str(root),
                "run.dir": str(folder / f"runs_{root.name}{tag}"),
                **changes,
            },
            repeats=0,
            report=lambda line: print(line, file=sys.stderr, flush=True),
        )
    print(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("torch", "timm", "peft", "lightning"))
        + "\n"
    )
    print(table(results, options.rows))


def table(results: dict[str, Comparison], rows: tuple[str, ...] | list[str]) -> str:
    """A line for each row, a column for each set: mean ± standard deviation over the seeds."""
    lines = ["| accuracy, % | trained | " + " | ".join(results) + " |"]
    lines.append("|---|" + "---:|" * (1 + len(results)))
    folder = next(iter(results.values())).folder
    for name in rows:
        recipe = folder / "runs" / name / "seed-0" / "recipe.yaml"
        cells = " | ".join(result.at(name, "").accuracy for result in results.values())
        lines.append(f"| `{name}` | {trained(recipe):,} | {cells} |")
    return "\n".join(lines)


def trained(recipe: Path) -> int:
    """The numbers that a run trains, for the six classes of the videos."""
    network = build(recipe, num_classes=6)
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


if __name__ == "__main__":
    main()
