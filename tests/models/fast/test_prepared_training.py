"""Frozen weights in half precision, and that nothing of it is saved."""

from pathlib import Path

import torch
from safetensors.torch import load_file

import evlora
from evlora.bundle import load_bundle, save_bundle
from evlora.recognizer import Recognizer

TINY = [
    "backbone.name=vit_tiny_patch16_224",
    "backbone.weights=random",
    "backbone.options={embed_dim: 24, depth: 3, num_heads: 2}",
    "clip.frames=2",
    "clip.size=32",
    "model.adapter.dropout=0",
    "model.shared_adapter.dropout=0",
]


def untrained(*overrides: str) -> Recognizer:
    torch.manual_seed(0)
    return evlora.build("velora_vitb16_clip", num_classes=3, overrides=[*TINY, *overrides])


def images() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, 2, 3, 32, 32), torch.randn(2, 2, 3, 32, 32)


def test_frozen_matrices_lie_in_half_precision_and_adapters_do_not() -> None:
    recognizer = untrained("model.adapter.method=lora_fa")
    recognizer.prepare_training(precision="bf16-mixed")
    types = {name: p.dtype for name, p in recognizer.named_parameters()}
    half = {name for name, dtype in types.items() if dtype == torch.bfloat16}
    assert any("fc1.base_layer.weight" in name for name in half)
    assert not any("lora_" in name or "norm" in name or "head" in name for name in half)
    assert all(types[name] == torch.float32 for name in recognizer.trained_tensors())


def test_scores_are_those_of_autocast() -> None:
    recognizer = untrained().eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = recognizer(*images()).logits
    recognizer.prepare_training(precision="bf16-mixed")
    with torch.no_grad():
        assert torch.equal(recognizer(*images()).logits, expected)


def test_a_bundle_holds_the_weights_as_they_were(tmp_path: Path) -> None:
    plain, prepared = untrained(), untrained()
    prepared.prepare_training(precision="bf16-mixed")
    save_bundle(plain, tmp_path / "plain")
    save_bundle(prepared, tmp_path / "prepared")
    ours, theirs = (
        load_file(tmp_path / name / "backbone.safetensors") for name in ("prepared", "plain")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    loaded = load_bundle(tmp_path / "prepared")
    assert loaded.backbone_sha256 == plain.backbone_sha256


def test_full_fine_tuning_is_left_in_full_precision() -> None:
    recognizer = untrained("model.adapter={method: full}")
    recognizer.prepare_training(precision="bf16-mixed")
    assert {p.dtype for p in recognizer.parameters()} == {torch.float32}
