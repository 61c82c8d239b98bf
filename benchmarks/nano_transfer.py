"""What the features of evlora-nano are worth to things it never saw, beside random weights.

    python benchmarks/nano_transfer.py WEIGHTS --nmnist NMNIST_PAIRED --caltech CALTECH101_SUBSET

The backbone is frozen; logistic regression on its features, the mean of the patches, tells classes:

- *digits in motion*: the embedded set, five digits in four motions, made for each seed; 400 clips
  to train with, 200 to test; the features of three moments beside each other, of frames, of event
  images, and of both;
- *nmnist_paired*: 300 of its training recordings to train with, 300 others to test, drawn by the
  seed; the frame, the event images of three moments, and both;
- *caltech101_subset*: 350 photographs to train with, 150 to test, at two sizes; there is one split,
  so the seeds differ in the random weights alone.

Printed are mean and spread over the seeds.
"""

import argparse
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from evlora.clips import ClipConfig
from evlora.datasets import ClipDataset, Manifest, prepare, read_manifest
from evlora.models.backbone import (
    BackboneConfig,
    blocks_of,
    build_backbone,
    embed_images,
    image_statistics,
    pool_tokens,
)
from evlora.models.backbone_names import NANO
from evlora.pretraining.run import WEIGHTS_FILE

FRAMES = 3
BATCH = 100
REGULARISATION = 0.02
"""Of logistic regression: sklearn's C, on features of unit variance."""

Examples = tuple[dict[str, Tensor], list[int]]
"""Images of each kind, shape (B, T, 3, H, W), and labels."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("weights", type=Path, help=f"the {WEIGHTS_FILE} of a run")
    parser.add_argument("--nmnist", type=Path)
    parser.add_argument("--caltech", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*lbfgs failed to converge.*")
    accuracies: dict[str, dict[str, list[float]]] = {}
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            tasks = {
                **digits_in_motion(Path(folder), seed),
                **nmnist(Path(folder), options.nmnist, seed),
                **caltech(Path(folder), options.caltech),
            }
        for name, (train, test) in tasks.items():
            for weights in ("random", str(options.weights)):
                scores = probe(weights, train, test, seed)
                for kind, score in scores.items():
                    row = accuracies.setdefault(f"{name}, {kind}", {})
                    row.setdefault(weights, []).append(score)
    print(f"| frozen features of | random weights, % | {NANO}, % |\n|---|---:|---:|")
    for name, row in accuracies.items():
        cells = [f"{np.mean(scores):.1f} ± {np.std(scores):.1f}" for scores in row.values()]
        print(f"| {name} | {' | '.join(cells)} |")


def digits_in_motion(folder: Path, seed: int) -> dict[str, tuple[Examples, Examples]]:
    """The embedded set."""
    sizes = {"train": 400, "val": 10, "test": 200, "digits": 5, "seed": seed}
    prepare("generated", None, folder / "digits", options=sizes)
    manifest, config = read_manifest(folder / "digits"), ClipConfig(frames=FRAMES, size=64)
    train, test = (examples(manifest, split, config) for split in ("train", "test"))
    return {"digits in motion": (train, test)}


def nmnist(folder: Path, source: Path | None, seed: int) -> dict[str, tuple[Examples, Examples]]:
    """N-MNIST with its frames."""
    if source is None:
        return {}
    prepare("csv", source, folder / "nmnist")
    manifest = read_manifest(folder / "nmnist")
    config = ClipConfig(frames=FRAMES, size=64, fit="stretch")
    order = np.random.default_rng(seed).permutation(len(manifest.split("train"))).tolist()
    train, test = (
        examples(manifest, "train", config, part) for part in (order[:300], order[300:600])
    )
    return {"nmnist_paired": (train, test)}


def caltech(folder: Path, source: Path | None) -> dict[str, tuple[Examples, Examples]]:
    """Photographs."""
    if source is None:
        return {}
    prepare("image_folder", source, folder / "caltech")
    manifest = read_manifest(folder / "caltech")
    tasks: dict[str, tuple[Examples, Examples]] = {}
    for size in (64, 96):
        config = ClipConfig(frames=1, size=size, modalities=("rgb",))
        train, test = (examples(manifest, split, config) for split in ("train", "test"))
        tasks[f"caltech101_subset at {size} px"] = (train, test)
    return tasks


def examples(
    manifest: Manifest, split: str, config: ClipConfig, numbers: list[int] | None = None
) -> Examples:
    """The clips of a split with these numbers, or all."""
    dataset = ClipDataset(manifest, split, config)
    clips = [dataset[number] for number in numbers or range(len(dataset))]
    kinds = {"frames": [clip.rgb for clip in clips], "events": [clip.events for clip in clips]}
    present = {
        kind: torch.stack([image for image in images if image is not None])
        for kind, images in kinds.items()
        if images[0] is not None
    }
    return present, [clip.label for clip in clips]


def probe(weights: str, train: Examples, test: Examples, seed: int) -> dict[str, float]:
    """Accuracy in per cent by frames, by events, and by both where there are both."""
    torch.manual_seed(seed)
    size = tuple(next(iter(train[0].values())).shape[-2:])
    backbone = build_backbone(BackboneConfig(name=NANO, weights=weights), size=size)
    mean, std = image_statistics(backbone)

    def features(images: Tensor) -> NDArray[np.float32]:
        parts: list[Tensor] = []
        for part in images.flatten(0, 1).split(BATCH):
            tokens = embed_images(backbone, (part / 255 - mean) / std)
            for block in blocks_of(backbone):
                tokens = block(tokens)
            parts.append(pool_tokens(backbone, tokens, "mean"))
        return torch.cat(parts).reshape(len(images), -1).numpy()

    with torch.inference_mode():
        known = {kind: features(images) for kind, images in train[0].items()}
        asked = {kind: features(images) for kind, images in test[0].items()}
    choices: Mapping[str, list[str]] = {kind: [kind] for kind in known}
    if len(known) > 1:
        choices = {**choices, "both": list(known)}
    scores: dict[str, float] = {}
    for name, kinds in choices.items():
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISATION))
        classifier.fit(np.hstack([known[kind] for kind in kinds]), train[1])
        scores[name] = 100 * classifier.score(np.hstack([asked[kind] for kind in kinds]), test[1])
    return scores


if __name__ == "__main__":
    main()
