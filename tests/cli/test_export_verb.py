"""`evlora export`: what it prints, and what it compares on."""

import json
from pathlib import Path

import pytest
from command import Command
from exportable import exportable

from evlora.bundle import save_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return save_bundle(exportable("events"), tmp_path / "bundle")


@pytest.mark.slow
def test_a_bundle_is_exported_and_compared_on_a_dataset(
    bundle: Path, tiny_dataset: Path, evlora: Command, tmp_path: Path
) -> None:
    out = tmp_path / "events.pt2"
    done = evlora("export", bundle, out, "--on", tiny_dataset, "--clips", 7, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["files"] == [str(out)]
    assert found["check"]["clips"] == 7
    assert found["check"]["clips_from"] == "given"
    assert out.is_file()


def test_a_mistake_is_one_message(bundle: Path, evlora: Command, tmp_path: Path) -> None:
    done = evlora("export", bundle, tmp_path / "x.tflite")
    assert done.returncode == 2
    assert "expected a file that ends in .onnx or .xml or .pt2" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.tflite").exists()
