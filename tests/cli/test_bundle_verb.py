"""`evlora bundle`: a copy for another machine."""

import json
from pathlib import Path
from typing import Any

import pytest
from command import Command
from safetensors.torch import save_file
from timm import create_model

from evlora.bundle import save_bundle
from evlora.recipe import build


@pytest.fixture
def tiny_bundle(tiny_settings: dict[str, Any], tmp_path: Path) -> Path:
    """A bundle of a run, whose backbone is a file beside the run."""
    sizes = {**tiny_settings["backbone.options"], "img_size": 32}
    vit = create_model(tiny_settings["backbone.name"], num_classes=0, **sizes)
    file = tmp_path / "vit.safetensors"
    save_file(vit.state_dict(), file)
    changes = {**tiny_settings, "backbone.weights": str(file)}
    recognizer = build("demo", num_classes=3, overrides=changes)
    return save_bundle(
        recognizer, tmp_path / "run" / "bundle", recipe={"run": {"seed": 4}}, metrics={"top1": 0.5}
    )


@pytest.mark.slow
def test_a_bundle_is_copied_with_its_backbone_and_without(
    tiny_bundle: Path, evlora: Command, tmp_path: Path
) -> None:
    done = evlora("bundle", tiny_bundle.parent, tmp_path / "whole", "--with-backbone")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"bundle: {tmp_path / 'whole'} (0.3 MB)\n"
    (tmp_path / "vit.safetensors").unlink()
    content = json.loads((tmp_path / "whole" / "config.json").read_text())
    assert content["recipe"] == {"run": {"seed": 4}}
    assert content["metrics"] == {"top1": 0.5}
    assert evlora("bundle", tmp_path / "whole", tmp_path / "light").returncode == 0
    assert not (tmp_path / "light" / "backbone.safetensors").exists()
    refused = evlora("bundle", tmp_path / "light", tmp_path / "again")
    assert refused.returncode == 2
    assert "the file vit.safetensors" in refused.stderr
    assert "--weights" in refused.stderr


def test_a_copy_does_not_replace_other_things(
    tiny_bundle: Path, evlora: Command, tmp_path: Path
) -> None:
    refused = evlora("bundle", tiny_bundle, tmp_path)
    assert refused.returncode == 2
    assert "found other things in it" in refused.stderr
