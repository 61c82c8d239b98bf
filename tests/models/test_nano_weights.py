"""The backbone that ships with evlora: found without a network, checked, kept out of bundles."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from evlora.bundle import load_bundle, save_bundle
from evlora.errors import BackboneError
from evlora.models import BackboneConfig, build_backbone, nano
from evlora.recipe import build


def test_the_weights_ship_with_evlora_and_are_small() -> None:
    tensors = load_file(nano.WEIGHTS)
    assert nano.WEIGHTS.stat().st_size <= 6_000_000
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    vit = build_backbone(BackboneConfig(name="evlora_nano"), size=(96, 96))
    for name, tensor in vit.state_dict().items():
        assert torch.equal(tensor, tensors[name].float()), name


@pytest.mark.parametrize("size", [(64, 64), (96, 96), (128, 96)])
def test_other_sizes_get_resized_positions(size: tuple[int, int]) -> None:
    vit = build_backbone(BackboneConfig(name="evlora_nano"), size=size)
    assert vit.pos_embed is not None
    assert vit.pos_embed.shape == (1, size[0] * size[1] // 256, 192)
    assert vit(torch.randn(1, 3, *size)).isfinite().all()


def test_no_hub_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    build_backbone(BackboneConfig(name="evlora_nano"), size=(64, 64))


def test_a_bundle_finds_it_again(tmp_path: Path) -> None:
    settings = {"clip.frames": 2, "clip.size": 64, "backbone.name": "evlora_nano"}
    recognizer = build("demo", num_classes=3, overrides=settings).eval()
    save_bundle(recognizer, tmp_path / "bundle")
    clip = torch.randint(0, 256, (1, 2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        before = recognizer.recognize(clip, clip).logits
        after = load_bundle(tmp_path / "bundle").recognize(clip, clip).logits
    assert torch.allclose(before, after, atol=1e-5)
    stored = sum(file.stat().st_size for file in (tmp_path / "bundle").rglob("*"))
    assert stored < 2_000_000  # what was learned, not the backbone


@pytest.mark.parametrize("fault", ["changed", "missing"])
def test_other_weights_under_its_name_are_refused(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "evlora_nano.safetensors"
    if fault == "changed":
        save_file({name: -tensor for name, tensor in load_file(nano.WEIGHTS).items()}, path)
    monkeypatch.setattr(nano, "WEIGHTS", path)
    with pytest.raises(BackboneError, match="install evlora again"):
        build_backbone(BackboneConfig(name="evlora_nano"), size=(64, 64))


def test_patches_that_its_stem_does_not_make_are_refused() -> None:
    config = BackboneConfig(name="evlora_nano", weights="random", options={"patch_size": 8})
    with pytest.raises(BackboneError, match=r"patch_size: expected 16.*got 8"):
        build_backbone(config, size=(64, 64))
