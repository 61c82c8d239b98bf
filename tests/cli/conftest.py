"""What the tests of the verbs share."""

from pathlib import Path
from typing import Any

import pytest
from command import Command
from small_recordings import write_recording

from evlora.bundle import save_bundle
from evlora.datasets import read_manifest
from evlora.recipe import build


@pytest.fixture
def evlora(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process."""
    return Command(monkeypatch, capsys)


@pytest.fixture
def predict(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_bundle: Path,
) -> Command:
    """Runs `evlora predict` with a small bundle and these words behind it."""
    return Command(monkeypatch, capsys, "predict", tiny_bundle)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Six recordings of two classes, in two splits."""
    for number in range(6):
        split = "test" if number > 3 else "train"
        path = tmp_path / "source" / split / ("cat", "dog")[number % 2] / f"{number}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_recording(path, number)
    return tmp_path / "source"


@pytest.fixture
def bundle(tiny_settings: dict[str, Any], tiny_dataset: Path, tmp_path: Path) -> Path:
    """An untrained bundle over the classes of the small dataset."""
    labels = read_manifest(tiny_dataset).labels
    recognizer = build("demo", num_classes=len(labels), overrides=tiny_settings)
    recognizer.labels = labels
    return save_bundle(recognizer, tmp_path / "bundle")
