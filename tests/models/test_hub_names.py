"""Backbones by their names on the hub; nothing is downloaded here."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from timm import create_model

from evlora.errors import BackboneError
from evlora.models import build_backbone
from evlora.models.config import BackboneConfig

SIZES = {"patch_size": 16, "embed_dim": 24, "depth": 2, "num_heads": 2}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub, which is out of reach."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put(cache: Path, name: str, architecture: str) -> dict[str, torch.Tensor]:
    """A repository in the cache as the hub's client leaves it there."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    vit = create_model("vit_tiny_patch16_224", num_classes=3, img_size=32, **SIZES)
    settings = {
        "architecture": architecture,
        "num_classes": 3,
        "model_args": {**SIZES, "img_size": 32},
        "pretrained_cfg": {
            "input_size": [3, 32, 32],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "num_classes": 3,
            "classifier": "head",
            "first_conv": "patch_embed.proj",
        },
    }
    (snapshot / "config.json").write_text(json.dumps(settings))
    save_file(vit.state_dict(), snapshot / "model.safetensors")
    return vit.state_dict()


@pytest.mark.parametrize("prefix", ["hf_hub:", "hf-hub:"])
def test_a_vit_on_the_hub_is_a_backbone(prefix: str, cache: Path) -> None:
    weights = put(cache, "me/tiny", "vit_tiny_patch16_224")
    backbone = build_backbone(BackboneConfig(name=f"{prefix}me/tiny"), size=(32, 32))
    found = backbone.state_dict()
    assert found.keys() == weights.keys() - {"head.weight", "head.bias"}
    assert all(torch.equal(tensor, weights[name]) for name, tensor in found.items())


def test_a_name_out_of_reach_is_refused_with_what_to_do() -> None:
    with pytest.raises(BackboneError, match=r"found neither: .*backbone.name=tiny .*weights=FILE"):
        build_backbone(BackboneConfig(name="hf_hub:me/tiny"), size=(32, 32))


def test_a_name_that_is_none_on_the_hub_is_refused() -> None:
    with pytest.raises(BackboneError, match="expected hf_hub:me/a/b on the hub"):
        build_backbone(BackboneConfig(name="hf_hub:me/a/b"), size=(32, 32))


def test_what_is_no_vit_of_timm_is_refused(cache: Path) -> None:
    put(cache, "me/strange", "strangenet")
    with pytest.raises(BackboneError, match="is a strangenet, which timm does not have"):
        build_backbone(BackboneConfig(name="hf_hub:me/strange"), size=(32, 32))
