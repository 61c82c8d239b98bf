"""Weight files under others' names: equal logits, strictly, with the nearest names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_vits import CLIP, DINOV2, DINOV3, OPTIONS, WIDTH, Tensors, Vit
from safetensors.torch import save_file
from torch import Tensor

from evlora.bundle import load_bundle, save_bundle
from evlora.errors import BackboneError
from evlora.models import BackboneConfig, build_backbone
from evlora.models.backbone import blocks_of, embed_images, pool_tokens
from evlora.recognizer import Recognizer, RecognizerConfig


def named(tensors: Tensors, before: str) -> Tensors:
    return {f"{before}{name}": tensor for name, tensor in tensors.items()}


def wrapped_by_peft(tensors: Tensors) -> Tensors:
    """As after `get_peft_model`, before any training: LoRA's second factor is zero."""
    found = named(tensors, "base_model.model.")
    for name in [name for name in found if name.endswith(("mlp.fc1.weight", "mlp.fc1.bias"))]:
        layer, _, kind = name.rpartition(".")
        found[f"{layer}.base_layer.{kind}"] = found.pop(name)
        found[f"{layer}.lora_A.default.weight"] = torch.randn(2, WIDTH)
        found[f"{layer}.lora_B.default.weight"] = torch.zeros(4 * WIDTH, 2)
    return found


OF_AN_OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-3}]}
TEXT_TOWER = {"transformer.resblocks.0.ln_1.weight": torch.ones(8), "logit_scale": torch.ones(())}
LAYOUTS: dict[str, tuple[Vit, Callable[[Tensors], Any]]] = {
    "DINOv2": (DINOV2, dict),
    "GEP": (DINOV2, lambda found: {"event_encoder": found, "optimizer": OF_AN_OPTIMIZER}),
    "GEP with a projection": (
        DINOV2,
        lambda found: {
            "encoder": {**named(found, "encoder."), "proj.weight": torch.zeros(8, WIDTH)},
            "decoder": {"weight": torch.zeros(5, 8)},
        },
    ),
    "DINOv2 in training": (
        DINOV2,
        lambda found: {
            "teacher": {
                **{f"backbone.{k.replace('blocks.', 'blocks.0.')}": v for k, v in found.items()},
                "dino_head.mlp.0.weight": torch.zeros(2, WIDTH),
            }
        },
    ),
    "open_clip": (CLIP, lambda found: {**named(found, "visual."), **TEXT_TOWER}),
    "DINOv3": (DINOV3, dict),
    "peft": (DINOV2, wrapped_by_peft),
    "Lightning": (
        DINOV3,
        lambda found: {
            "state_dict": {**named(found, "model.backbone."), "model.head.weight": torch.zeros(5)},
            "epoch": 3,
            "optimizer_states": [OF_AN_OPTIMIZER],
        },
    ),
    "DDP, compiled": (CLIP, lambda found: named(found, "module._orig_mod.visual.")),
}


def written(folder: Path, content: Any, name: str = "weights.pt") -> str:
    torch.save(content, folder / name)
    return str(folder / name)


def configured(vit: Vit, weights: str, **more: Any) -> BackboneConfig:
    return BackboneConfig(name=vit.name, weights=weights, options=OPTIONS, **more)


def class_token(vit: Vit, config: BackboneConfig) -> Tensor:
    backbone = build_backbone(config, size=vit.size).eval()
    tokens = embed_images(backbone, images_for(vit))
    for block in blocks_of(backbone):
        tokens = block(tokens)
    return pool_tokens(backbone, tokens, "token")


def images_for(vit: Vit) -> Tensor:
    return torch.randn(2, 3, *vit.size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_checkpoint_under_other_names_gives_the_logits_of_a_plain_network(
    layout: str, tmp_path: Path
) -> None:
    vit, put = LAYOUTS[layout]
    config = configured(vit, written(tmp_path, put(dict(vit.tensors))))
    head = torch.randn(WIDTH, 5, generator=torch.Generator().manual_seed(2))
    logits = class_token(vit, config) @ head
    expected = vit.class_token(vit.tensors, images_for(vit)) @ head
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_the_prefix_chooses_one_of_several_networks(tmp_path: Path) -> None:
    others = {name: tensor + 1 for name, tensor in DINOV2.tensors.items()}
    path = written(tmp_path, {"event_encoder": DINOV2.tensors, "image_encoder": others})
    with pytest.raises(BackboneError, match=r"event_encoder, image_encoder; choose one with"):
        class_token(DINOV2, configured(DINOV2, path))
    with pytest.raises(BackboneError, match=r"no network 'events'.*did you mean event_encoder"):
        class_token(DINOV2, configured(DINOV2, path, prefix="events"))
    chosen = class_token(DINOV2, configured(DINOV2, path, prefix="event_encoder"))
    expected = DINOV2.class_token(DINOV2.tensors, images_for(DINOV2))
    torch.testing.assert_close(chosen, expected, rtol=1e-4, atol=1e-4)


def changed(tensors: Tensors, **to: Tensor) -> Tensors:
    return tensors | {name.replace("__", "."): tensor for name, tensor in to.items()}


def test_a_tensor_without_a_place_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    found = dict(DINOV2.tensors)
    found["blocks.1.norm3.weight"] = found.pop("blocks.1.norm2.weight")
    with pytest.raises(
        BackboneError,
        match=r"norm3.weight, nearest blocks.1.norm2.weight.*width 32, 2 blocks, patches of 14 px, "
        "3 channels and 4 registers",
    ):
        class_token(DINOV2, configured(DINOV2, written(tmp_path, found)))


TRAINED_LORA = "base_model.model.blocks.0.mlp.fc1.lora_B.default.weight"
REFUSED: dict[str, tuple[Vit, Callable[[], Any], str]] = {
    "an adapter that is not merged": (
        DINOV2,
        lambda: wrapped_by_peft(DINOV2.tensors) | {TRAINED_LORA: torch.ones(4 * WIDTH, 2)},
        r"not fit .*adapters of peft.*lora_B.*merge_and_unload",
    ),
    "biases that the model lacks": (
        DINOV3._replace(name="vit_small_patch16_dinov3.lvd1689m"),
        lambda: DINOV3.tensors,
        r"qkv.bias: is not zero.*_dinov3_qkvb",
    ),
    "other periods": (
        DINOV3,
        lambda: changed(DINOV3.tensors, rope_embed__periods=torch.arange(1.0, 5.0)),
        "turn by other periods",
    ),
    "EventPretrain": (
        DINOV2,
        lambda: named(
            {"patch_embed.proj.weight": torch.zeros(32, 5, 16, 16), "vit_block.0.x": torch.ones(1)},
            "backbone.",
        ),
        "network of EventPretrain: its patches take 5 bins",
    ),
    "no network": (DINOV2, lambda: {"weight": torch.zeros(2, 2)}, "tensors missing"),
    "no tensors": (DINOV2, lambda: {"epoch": 3}, "holds no tensors"),
    "a list": (DINOV2, lambda: [torch.zeros(2)], "expected tensors by their names, got a list"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_another_network_is_refused(case: str, tmp_path: Path) -> None:
    vit, content, words = REFUSED[case]
    with pytest.raises(BackboneError, match=words):
        class_token(vit, configured(vit, written(tmp_path, content())))


def test_whatever_torch_raises_at_a_damaged_file_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a tuple was expected")

    (tmp_path / "vit.pt").write_bytes(b"PK")
    monkeypatch.setattr("torch.load", fail)
    with pytest.raises(BackboneError, match="cannot be read: a tuple was expected"):
        class_token(DINOV2, configured(DINOV2, str(tmp_path / "vit.pt")))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    for name in ("cut.pt", "cut.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 cut")
        with pytest.raises(BackboneError, match=r"cannot be read|no file of plain tensors"):
            class_token(DINOV2, configured(DINOV2, str(tmp_path / name)))


def test_a_bundle_over_such_a_file_names_its_hash_and_opens(tmp_path: Path) -> None:
    path = tmp_path / "gep.safetensors"
    save_file({f"event_encoder.{k}": v.contiguous() for k, v in DINOV2.tensors.items()}, path)
    parts = {
        "clip": {"size": list(DINOV2.size), "frames": 2, "modalities": ["rgb"]},
        "backbone": configured(DINOV2, str(path), prefix="event_encoder"),
        "model": {"network": "single_stream", "adapter": {"rank": 2}},
    }
    config = RecognizerConfig.model_validate(parts)
    recognizer = Recognizer(
        build_backbone(config.backbone, size=DINOV2.size), config, ("left", "right")
    ).eval()
    clips = torch.randn(1, 2, 3, *DINOV2.size)
    for name, with_backbone in (("small", False), ("whole", True)):
        save_bundle(recognizer, tmp_path / name, with_backbone=with_backbone)
        again = load_bundle(tmp_path / name)
        assert again.backbone_sha256 == recognizer.backbone_sha256
        torch.testing.assert_close(again(clips).logits, recognizer(clips).logits)
