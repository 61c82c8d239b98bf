"""Does fusion earn its place? The tables of docs/fusion.md, from nothing but N-MNIST with frames.

    python benchmarks/fusion.py NMNIST_PAIRED OUT

Recordings of digits beside their pictures, split anew into 700 clips to train with and 400 to
measure with, the frames darkened step by step; then digits in motion, which evlora makes itself.
What was trained is kept in OUT: given the same command again, it goes on where it was stopped.
"""

import argparse
import os
import platform
import sys
from datetime import date
from pathlib import Path

import peft
import timm
import torch

from evlora.clips import prepare
from evlora.clips.manifest import is_prepared
from evlora.comparison import Over, compare, markdown

EXPOSURES = Over("clip.exposure", ("1", "0.031", "0.016", "0.008", "0.004"))
MOVING = (
    "velora_rgb",
    "velora_events",
    "velora",
    "moving_targets",
    "full_fine_tuning",
    "no_difference",
    "no_reconstruction",
    "no_shared_stage",
    "lora",
)
PATCHES = Over("model.active_patches", ("8",))
"""Of the 16 that an image of 64 px has."""
DIGITS_IN_MOTION = {"train": 600, "val": 0, "test": 400, "digits": 5}


def main() -> None:
    """Train what is not trained yet, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("source", type=Path, help="N-MNIST with frames: a folder with index.csv")
    parser.add_argument("out", type=Path, help="folder for datasets and runs")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    handwritten, moving = options.out / "nmnist", options.out / "digits_in_motion"
    if not is_prepared(handwritten):
        prepare("csv", options.source, handwritten, options={"test": 400})
    if not is_prepared(moving):
        prepare("generated", None, moving, options=DIGITS_IN_MOTION)
    print(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} thread(s), Python {platform.python_version()}, "
        f"torch {torch.__version__}, timm {timm.__version__}, peft {peft.__version__}"
    )
    bf16 = {"training.precision": "bf16-mixed"}  # as in the recipe of the others
    tables = {
        "darker and darker": (
            "fusion",
            handwritten,
            ("velora_rgb", "velora_events", "velora", "moving_targets"),
            EXPOSURES,
            {},
        ),
        "full fine-tuning": ("fusion", handwritten, ("full_fine_tuning",), None, {}),
        "digits in motion": ("demo", moving, MOVING, None, bf16),
        "fewer patches": ("fusion", handwritten, ("moving_targets",), PATCHES, {}),
        "fewer patches in motion": ("demo", moving, ("moving_targets",), PATCHES, bf16),
    }
    for name, (recipe, data, methods, over, changes) in tables.items():
        folder = options.out / "runs" / name.replace(" ", "_")
        result = compare(
            recipe,
            methods=methods,
            seeds=options.seeds,
            over=over,
            overrides={"data.root": str(data), "run.dir": str(folder), **changes},
            repeats=0,
            say=lambda line: print(line, file=sys.stderr),
        )
        print(f"\n## {name}\n\n{markdown(result)}", flush=True)


if __name__ == "__main__":
    main()
