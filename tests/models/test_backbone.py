"""The frozen backbone, its weights and its views."""

import time
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from timm import create_model
from timm.models.vision_transformer import VisionTransformer

from evlora.errors import BackboneError
from evlora.models import BackboneConfig, build_backbone, weights_sha256
from evlora.models.backbone import blocks_of, embed_images, pool_tokens, share_weights
from evlora.models.backbone_names import TESTED

WEIGHTS = "weights/vit_tiny_patch16_224.in1k.fp16.safetensors"


def test_embedding_blocks_and_pooling_are_timms_forward(backbone: VisionTransformer) -> None:
    images = torch.randn(2, 3, 32, 32)
    tokens = embed_images(backbone, images)
    for block in blocks_of(backbone):
        tokens = block(tokens)
    torch.testing.assert_close(pool_tokens(backbone, tokens, "token"), backbone(images))


def test_mean_pooling_leaves_the_class_token_out(backbone: VisionTransformer) -> None:
    tokens = torch.randn(2, 5, 24)
    expected = backbone.norm(tokens)[:, 1:].mean(dim=1)
    torch.testing.assert_close(pool_tokens(backbone, tokens, "mean"), expected)


def test_a_view_shares_every_tensor_and_no_module(backbone: VisionTransformer) -> None:
    view = share_weights(backbone)
    for original, shared in zip(backbone.parameters(), view.parameters(), strict=True):
        assert original is shared
    assert not {id(m) for m in backbone.modules()} & {id(m) for m in view.modules()}


def test_real_weights_give_the_logits_that_timm_gives(data_root: Path) -> None:
    config = BackboneConfig(name="vit_tiny_patch16_224", weights=str(data_root / WEIGHTS))
    ours = build_backbone(config, size=(224, 224)).eval()
    theirs = create_model("vit_tiny_patch16_224", num_classes=1000).eval()
    theirs.load_state_dict(load_file(data_root / WEIGHTS))
    images = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(
        ours(images), theirs.forward_head(theirs.forward_features(images), pre_logits=True)
    )


def test_weights_for_another_image_size_keep_all_but_the_positions(data_root: Path) -> None:
    config = BackboneConfig(name="vit_tiny_patch16_224", weights=str(data_root / WEIGHTS))
    backbone = build_backbone(config, size=(112, 112))
    assert backbone.pos_embed.shape == (1, 1 + 7 * 7, 192)
    stored = load_file(data_root / WEIGHTS)["blocks.3.mlp.fc1.weight"].float()
    torch.testing.assert_close(blocks_of(backbone)[3].mlp.fc1.weight.data, stored)


def test_all_of_it_is_frozen(backbone: VisionTransformer) -> None:
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_the_hash_distinguishes_weights_and_ignores_the_file(
    backbone: VisionTransformer, tmp_path: Path
) -> None:
    before = weights_sha256(backbone.state_dict())
    save_file(backbone.state_dict(), tmp_path / "copy.safetensors")
    assert weights_sha256(load_file(tmp_path / "copy.safetensors")) == before
    with torch.no_grad():
        backbone.cls_token[0, 0, 0] += 1e-3
    assert weights_sha256(backbone.state_dict()) != before


@pytest.mark.parametrize(
    ("changes", "size", "words"),
    [
        ({"name": "vit_of_nobody"}, (32, 32), "timm has no model 'vit_of_nobody'"),
        ({"name": "zzz"}, (32, 32), f"there are: evlora_nano, {', '.join(TESTED)}"),
        ({"name": "resnet18"}, (32, 32), "timm cannot build resnet18"),
        ({"options": {"patch_size": 16}}, (40, 32), "the nearest is 32×32"),
        ({"options": {"no_such": 1}}, (32, 32), "no_such"),
        ({"weights": "nowhere.safetensors"}, (32, 32), "no file nowhere.safetensors"),
    ],
)
def test_a_wrong_backbone_is_named_with_its_cure(
    changes: dict[str, object], size: tuple[int, int], words: str
) -> None:
    settings = {"name": "vit_tiny_patch16_224", "weights": "random", **changes}
    with pytest.raises(BackboneError, match=words.replace(".", r"\.")):
        build_backbone(BackboneConfig.model_validate(settings), size=size)


def test_weights_of_another_depth_are_refused(backbone: VisionTransformer, tmp_path: Path) -> None:
    path = tmp_path / "shallow.safetensors"
    save_file(backbone.state_dict(), path)
    options: dict[str, int | float | str | bool] = {
        "patch_size": 16,
        "embed_dim": 24,
        "num_heads": 2,
    }
    for depth, words in ((4, "12 tensors missing"), (2, "12 tensors not in the model")):
        config = BackboneConfig(
            name="vit_tiny_patch16_224", weights=str(path), options={**options, "depth": depth}
        )
        with pytest.raises(BackboneError, match=words):
            build_backbone(config, size=(32, 32))


def test_weights_of_another_width_are_refused(backbone: VisionTransformer, tmp_path: Path) -> None:
    path = tmp_path / "narrow.safetensors"
    save_file(backbone.state_dict(), path)
    config = BackboneConfig(name="vit_tiny_patch16_224", weights=str(path), options={"depth": 3})
    with pytest.raises(BackboneError, match="size mismatch"):
        build_backbone(config, size=(32, 32))


def test_a_hub_that_does_not_answer_is_reported_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    begun = time.monotonic()
    with pytest.raises(
        BackboneError, match=r"could not get the pretrained.*backbone\.weights=FILE"
    ):
        build_backbone(BackboneConfig(name="vit_tiny_patch16_224"), size=(224, 224))
    assert time.monotonic() - begun < 10
    assert constants.HF_HUB_OFFLINE is False


class Trap:
    """Unpickling it would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("pickle ran",)


def test_a_pickle_is_refused_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trap.pt"
    torch.save({"state_dict": Trap()}, path)
    config = BackboneConfig(name="vit_tiny_patch16_224", weights=str(path))
    with pytest.raises(BackboneError, match="no file of plain tensors"):
        build_backbone(config, size=(32, 32))
    assert "pickle ran" not in capsys.readouterr().out
