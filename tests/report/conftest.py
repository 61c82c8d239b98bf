"""A recognizer of forty classes that is not trained, its bundle, and what is found of it."""

from pathlib import Path
from typing import Any

import pytest

from evlora.bundle import save_bundle
from evlora.datasets import read_manifest
from evlora.recipe import build
from evlora.recognizer import Recognizer
from evlora.report.findings import Findings, Wanted, find, read_subject

TINY: dict[str, Any] = {
    "clip.frames": 3,
    "clip.size": 32,
    "backbone.name": "vit_tiny_patch16_224",
    "backbone.weights": "random",
    "backbone.options": {"patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2},
}


@pytest.fixture(scope="session")
def untrained_bundle(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bundle; it is only read."""
    labels = read_manifest(tiny_dataset).labels
    recognizer = build("demo", num_classes=len(labels), overrides=TINY)
    recognizer.labels = labels
    return save_bundle(recognizer, tmp_path_factory.mktemp("untrained") / "bundle")


@pytest.fixture(scope="session")
def findings(untrained_bundle: Path, tiny_dataset: Path) -> Findings:
    """What a report of the bundle shows."""
    wanted = Wanted(dataset=tiny_dataset, clips=4, projection="pca")
    return find(read_subject(untrained_bundle), wanted)


@pytest.fixture
def recognizer() -> Recognizer:
    """A recognizer of six classes that a test may change."""
    built = build("demo", num_classes=6, overrides=TINY)
    built.labels = tuple("abcdef")
    return built.eval()
