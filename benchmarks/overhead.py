"""What a run costs beside a bare PyTorch loop over the same network and the same clips.

Both take their steps in turns in one process, on one thread; the clock is the processor time of the
process from the beginning of an epoch to the end of its last step, so that whatever else the
machine does falls on neither. The bare loop reads and augments clips by the same dataset, clips
gradients and steps the same optimizer; it checks, logs and saves nothing. Checkpoints, which a run
writes after an epoch and every ten minutes, are not in the figures.

    python benchmarks/overhead.py                      # ViT-S, 6 steps of 4 images, 3 rounds
    python benchmarks/overhead.py --backbone vit_tiny_patch16_224 --steps 20
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback
from PIL import Image
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import evlora
from evlora.datasets import ClipDataset, prepare, read_manifest
from evlora.datasets.loading import loader_options
from evlora.recipe import build, load_recipe
from evlora.training.optimizing import make_optimizer
from evlora.training.ordering import EpochSampler

RECIPE = "nano_photographs"
CLASSES = 10


class Clock(Callback):
    """Processor time of an epoch's steps."""

    def __init__(self) -> None:
        self.begun = self.ended = 0.0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Note when the steps begin."""
        self.begun = time.process_time()

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Note when the last one so far has ended."""
        self.ended = time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="vit_small_patch16_224", help="a ViT of timm")
    parser.add_argument("--batch", type=int, default=4, help="images of a step")
    parser.add_argument("--steps", type=int, default=6, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=224, help="px")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = keys_of(arguments, pictures_in(folder, arguments))
        ratios: list[float] = []
        for number in range(arguments.rounds + 1):
            ours = seconds_of_run({**keys, "run.dir": str(folder / f"run{number}")})
            bare = seconds_of_bare_loop(keys)
            if number:  # the first round warms up
                ratios.append(ours / bare)
                print(f"a step: {ours / arguments.steps:.3f} s of a run, ", end="")
                print(f"{bare / arguments.steps:.3f} s of a bare loop", flush=True)
    print(
        f"{arguments.backbone}, {arguments.batch} images a step, processor time: a run takes "
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) of a bare loop"
    )


def pictures_in(folder: Path, arguments: argparse.Namespace) -> Path:
    """A prepared dataset of noise, as large as an epoch."""
    random = np.random.default_rng(0)
    for number in range(arguments.batch * arguments.steps):
        place = folder / "source" / "train" / f"class{number % CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        side = arguments.size + 32
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    prepare("image_folder", folder / "source", folder / "dataset")
    return folder / "dataset"


def keys_of(arguments: argparse.Namespace, dataset: Path) -> dict[str, Any]:
    """The recipe's keys, the same for both loops."""
    return {
        "data.root": str(dataset),
        "data.validation_fraction": 0,
        "clip.size": arguments.size,
        "backbone.name": arguments.backbone,
        "backbone.weights": "random",
        "backbone.options": {},
        "training.batch_size": arguments.batch,
        "training.epochs": 1,
        "training.warmup_epochs": 0,
        "training.keep": "last",
        "training.mixup": 0.0,
        "training.accelerator": "cpu",
        "training.precision": "32-true",
        "run.report": False,
    }


def seconds_of_run(keys: dict[str, Any]) -> float:
    """Processor time of the steps of a run."""
    clock = Clock()
    evlora.train(RECIPE, overrides=keys, callbacks=[clock])
    return clock.ended - clock.begun


def seconds_of_bare_loop(keys: dict[str, Any]) -> float:
    """Processor time of the same steps without the engine."""
    recipe = load_recipe(RECIPE, keys)
    training = recipe.training
    recognizer = build(RECIPE, num_classes=CLASSES, overrides=keys).train()
    recognizer.prepare_training(
        precision=training.precision, fast=training.fast, checkpointing=training.checkpointing
    )
    manifest = read_manifest(str(recipe.data.root))
    clips = ClipDataset(manifest, "train", recipe.clip, is_training=True, memory_mb=256)
    size = training.batch_size
    order = EpochSampler(clips, world_size=1, rank=0, seed=0, batch_size=size)
    loader = DataLoader(clips, sampler=order, **loader_options(batch_size=size, workers=0))
    optimizer = make_optimizer(recognizer, training)
    trained = [p for p in recognizer.parameters() if p.requires_grad]
    begun = time.process_time()
    for batch in loader:
        images = recognizer.normalize(batch.rgb)
        logits = recognizer(images, None).logits
        loss = cross_entropy(logits, batch.labels, label_smoothing=training.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, training.gradient_clip)
        optimizer.step()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
