"""What every test may ask for."""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

# As the command does: waiting threads sleep, so that tests beside each other do not starve.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

PROJECT_ROOT = Path(__file__).resolve().parents[1]

# Modules and collected tests are a million objects that stay to the end. The collector of garbage
# would look through them again and again, which took a quarter of the time of collecting.
gc.disable()


def pytest_collection_finish() -> None:
    """Take what is there out of the collector's sight, and let it collect what tests make."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Give it back: compiled libraries report what nothing has freed at the end."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with real recordings, images and weights, which lies beside the project."""
    root = Path(os.environ.get("EVLORA_TEST_DATA", PROJECT_ROOT.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no test data at {root}; set EVLORA_TEST_DATA to where it lies")
    return root


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The root of the checkout."""
    return PROJECT_ROOT


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared dataset of a few generated clips of 32 px."""
    from evlora.datasets import prepare

    folder = tmp_path_factory.mktemp("tiny") / "dataset"
    options = {"train": 40, "val": 20, "test": 40, "size_px": 32, "frames": 3, "duration_ms": 60}
    prepare("generated", None, folder, options=options)
    return folder


@pytest.fixture(scope="session")
def tiny_settings_of(tiny_dataset: Path) -> Callable[[Path], dict[str, Any]]:
    """The keys of `tiny_settings` with the folder of the run, for what several tests share."""
    return lambda run: _tiny(tiny_dataset, run)


@pytest.fixture
def tiny_settings(tiny_dataset: Path, tmp_path: Path) -> dict[str, Any]:
    """Keys that make any recipe small enough for a test: a ViT of three narrow blocks."""
    return _tiny(tiny_dataset, tmp_path / "run")


@pytest.fixture(scope="session")
def tiny_bundle(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of VELoRA on that small ViT, untrained, to read and to leave as it is."""
    from evlora.bundle import save_bundle
    from evlora.recipe import build

    folder = tmp_path_factory.mktemp("bundle")
    torch.manual_seed(0)
    recognizer = build("demo", num_classes=3, overrides=_tiny(tiny_dataset, folder / "run"))
    return save_bundle(recognizer, folder / "bundle")


def _tiny(dataset: Path, run: Path) -> dict[str, Any]:
    return {
        "data.root": str(dataset),
        "run.dir": str(run),
        "clip.frames": 2,
        "clip.size": 32,
        "backbone.name": "vit_tiny_patch16_224",
        "backbone.weights": "random",
        "backbone.options": {"patch_size": 16, "embed_dim": 24, "depth": 3, "num_heads": 2},
        "training.epochs": 3,
        "training.batch_size": 16,
        "training.precision": "32-true",
        "data.workers": 0,
    }


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)
