"""Plain peft on plain timm, and evlora: the same scores in both directions."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from peft import LoraConfig, OFTConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

import evlora
from evlora.clips import ClipConfig
from evlora.errors import AdapterError

NAME, CLASSES = "vit_tiny_patch16_224", 3
SIZES: dict[str, Any] = {"embed_dim": 32, "depth": 2, "num_heads": 2}
LABELS = ("a", "b", "c")
CLIP = ClipConfig(frames=1, size=32, modalities=("rgb",))


def plain(classes: int) -> Any:
    return timm.create_model(NAME, num_classes=classes, img_size=32, **SIZES)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A weight file of the base."""
    save_file(plain(CLASSES).state_dict(), tmp_path / "vit.safetensors")
    return str(tmp_path / "vit.safetensors")


def shaken(model: Any) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def adapted(weights: str, folder: Path, config: Any) -> Any:
    """A peft model of the base, saved."""
    model = plain(CLASSES)
    model.load_state_dict(load_file(weights))
    trained = shaken(get_peft_model(model, config))
    trained.save_pretrained(str(folder))
    return trained


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
@pytest.mark.parametrize(
    "settings",
    [
        {"r": 4, "lora_alpha": 8, "target_modules": ["fc1", "fc2"]},
        {"r": 2, "target_modules": r"blocks\.1\.attn\.qkv", "use_dora": True},
    ],
    ids=str,
)
def test_peft_adapters_with_their_head_give_the_same_scores(
    settings: dict[str, Any], weights: str, tmp_path: Path
) -> None:
    theirs = adapted(weights, tmp_path / "peft", LoraConfig(modules_to_save=["head"], **settings))
    recognizer = evlora.from_peft(
        tmp_path / "peft", NAME, labels=LABELS, weights=weights, options=SIZES, clip=CLIP
    )
    images = torch.randn(5, 3, 32, 32)
    with torch.no_grad():
        got, wanted = recognizer(images[:, None]).logits, theirs(images)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    assert recognizer.labels == LABELS


def test_a_head_may_be_given_apart(weights: str, tmp_path: Path) -> None:
    config = LoraConfig(target_modules=["fc1"])
    theirs = adapted(weights, tmp_path / "peft", config)
    head = {
        name: torch.randn_like(x) for name, x in theirs.get_base_model().head.state_dict().items()
    }
    theirs.get_base_model().head.load_state_dict(head)
    keys: dict[str, Any] = {"weights": weights, "options": SIZES, "clip": CLIP, "labels": LABELS}
    recognizer = evlora.from_peft(tmp_path / "peft", NAME, head=head, **keys)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(recognizer(images[:, None]).logits, theirs(images))
    with pytest.raises(AdapterError, match=r"expected a head beside the adapters, found none"):
        evlora.from_peft(tmp_path / "peft", NAME, **keys)


def test_a_bundle_for_one_modality_loads_with_plain_peft(weights: str, tmp_path: Path) -> None:
    keys = {
        "backbone.name": NAME,
        "backbone.weights": weights,
        "backbone.options": SIZES,
        "clip.size": 32,
        "clip.frames": 1,
        "clip.modalities": ["rgb"],
        "model.network": "single_stream",
    }
    recognizer = evlora.build("velora_vitb16_clip", num_classes=CLASSES, overrides=keys)
    bundle = evlora.save_bundle(shaken(recognizer), tmp_path / "bundle")

    model = plain(CLASSES)
    model.load_state_dict(load_file(weights))
    head = load_file(bundle / "head.safetensors")
    model.head.load_state_dict({n.removeprefix("head."): x for n, x in head.items()})
    theirs = PeftModel.from_pretrained(model, str(bundle / "adapters" / "backbone")).eval()
    images = torch.randn(5, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(theirs(images), recognizer(images[:, None]).logits)


def test_what_cannot_be_read_is_one_message(weights: str, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"weights": weights, "options": SIZES, "clip": CLIP, "labels": LABELS}
    folder = tmp_path / "peft"
    with pytest.raises(AdapterError, match=r"expected what PeftModel\.save_pretrained writes"):
        evlora.from_peft(folder, NAME, **keys)

    adapted(weights, folder, OFTConfig(target_modules=["fc1"]))
    with pytest.raises(AdapterError, match="expected LoRA or DoRA, got OFT"):
        evlora.from_peft(folder, NAME, **keys)

    adapted(weights, folder, LoraConfig(target_modules=["fc1"], modules_to_save=["head"]))
    with pytest.raises(
        AdapterError, match=r"its head for 2 labels: .*of another shape: weight, bias"
    ):
        evlora.from_peft(folder, NAME, **{**keys, "labels": ("a", "b")})
    deeper = {**SIZES, "depth": 3}
    save_file(
        timm.create_model(NAME, num_classes=0, img_size=32, **deeper).state_dict(),
        tmp_path / "deeper.safetensors",
    )
    other = {**keys, "options": deeper, "weights": str(tmp_path / "deeper.safetensors")}
    with pytest.raises(AdapterError, match=r"its adapters: expected 6 tensors of this base, got 4"):
        evlora.from_peft(folder, NAME, **other)

    stated = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**stated, "use_rslora": True}))
    with pytest.raises(AdapterError, match="expected a LoRA without use_rslora"):
        evlora.from_peft(folder, NAME, **keys)
