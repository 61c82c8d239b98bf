"""A dataset so small that runs take a moment, and runs that several tests only read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import evlora
from evlora.datasets import prepare


@pytest.fixture(scope="session")
def few_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared dataset: pictures of two classes, 12 to train, 5 to validate and 5 to test."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(1)
    for split, counts in (("train", (6, 6)), ("val", (2, 3)), ("test", (3, 2))):
        for label, count in enumerate(counts):
            place = folder / "source" / split / f"class{label}"
            place.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 230, (32, 32, 3)) + 12 * label
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    prepare("image_folder", folder / "source", folder / "dataset")
    return folder / "dataset"


@pytest.fixture(scope="session")
def short_settings(few_pictures: Path) -> dict[str, Any]:
    """Two epochs of three steps of a tiny network; whoever trains adds a folder."""
    return {
        "data.root": str(few_pictures),
        "data.workers": 0,
        "clip.size": 32,
        "backbone.name": "vit_tiny_patch16_224",
        "backbone.weights": "random",
        "backbone.options": {"patch_size": 16, "embed_dim": 24, "depth": 2, "num_heads": 2},
        "training.epochs": 2,
        "training.batch_size": 4,
        "training.keep": "best",
        "training.accelerator": "cpu",
    }


@pytest.fixture
def own_settings(short_settings: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The same with a folder for the run."""
    return {**short_settings, "run.dir": str(tmp_path / "run")}


@pytest.fixture(scope="session")
def calm_run(short_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run of these settings; it is only read."""
    folder = tmp_path_factory.mktemp("calm") / "run"
    settings = {**short_settings, "run.dir": str(folder)}
    return evlora.train("nano_photographs", overrides=settings).dir
