"""VPT-deep: the same as prompts that go through whole blocks, on timm and transformers."""

from typing import Any, cast

import pytest
import torch
from adapter_networks import answer, base, inputs
from peft import get_peft_model
from timm import create_model
from timm.models.vision_transformer import ResPostBlock
from torch import Tensor, nn
from vision_networks import transformers_model

from evlora.errors import AdapterError
from evlora.models.adapters.vpt import VptConfig, VptLayer

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_check:FutureWarning")

SMALL = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}


def prompts_of(model: nn.Module) -> list[Tensor]:
    layers = [m for m in model.modules() if isinstance(m, VptLayer)]
    return [cast(Tensor, layer.vpt_prompts["default"]) for layer in layers]


def test_the_answer_is_that_of_prompts_put_before_each_block_and_taken_away_behind_it() -> None:
    plain, x = cast(Any, base("vit")), inputs("vit")
    model = get_peft_model(cast(Any, base("vit")), VptConfig(tokens=7)).eval()
    tokens = plain._pos_embed(plain.patch_embed(x))
    for block, prompts in zip(plain.blocks, prompts_of(model), strict=True):
        # as published: behind the class token, before the patches
        joined = [tokens[:, :1], prompts.expand(len(x), -1, -1), tokens[:, 1:]]
        tokens = block(torch.cat(joined, dim=1))
        tokens = torch.cat([tokens[:, :1], tokens[:, 8:]], dim=1)
    torch.testing.assert_close(model(x), plain.norm(tokens)[:, 0])


def test_on_clip_as_well() -> None:
    plain, x = cast(Any, base("clip")), inputs("clip")
    model = get_peft_model(cast(Any, base("clip")), VptConfig(tokens=3)).eval()
    tokens = plain.pre_layrnorm(plain.embeddings(x))
    for layer, prompts in zip(plain.encoder.layers, prompts_of(model), strict=True):
        joined = torch.cat([tokens, prompts.expand(len(x), -1, -1)], dim=1)
        tokens = layer(joined, attention_mask=None)[:, :-3]
    expected = plain.post_layernorm(tokens[:, 0])
    torch.testing.assert_close(answer("clip", model, x), expected)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("ViT", {"intermediate_size": 48}), ("Dinov2", {})],
    ids=["ViT", "DINOv2"],
)
def test_prompts_train_in_other_transformers(kind: str, options: dict[str, Any]) -> None:
    network = cast(Any, transformers_model(kind, **SMALL, **options))
    model = get_peft_model(network, VptConfig()).train()
    model(inputs("vit")).last_hidden_state[:, 0].square().sum().backward()
    assert len(prompts_of(model)) == 2
    assert all(prompts.grad is not None and prompts.grad.any() for prompts in prompts_of(model))


def test_a_block_by_itself_takes_prompts_too() -> None:
    block = cast(Any, base("vit")).blocks[0]
    model = get_peft_model(block, VptConfig())
    x = torch.randn(2, 5, 24)
    assert cast(Any, model).base_model.model(x).shape == x.shape


def test_it_trains_the_prompts_alone() -> None:
    model = get_peft_model(cast(Any, base("vit")), VptConfig(tokens=4))
    trained = {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    assert len(trained) == 2
    assert set(trained.values()) == {(4, 24)}


def test_rotary_positions_and_masks_are_refused() -> None:
    eva = create_model(
        "eva02_tiny_patch14_224", num_classes=0, img_size=28, embed_dim=24, depth=1, num_heads=2
    )
    model = get_peft_model(cast(Any, eva), VptConfig())
    with pytest.raises(AdapterError, match="without masks and rotary positions, got rope"):
        model(torch.randn(1, 3, 28, 28))


def test_windows_of_timms_swin_are_refused() -> None:
    swin = create_model(
        "swin_tiny_patch4_window7_224",
        num_classes=0,
        img_size=32,
        window_size=4,
        embed_dim=16,
        depths=(1,),
        num_heads=(2,),
    )
    with pytest.raises(AdapterError, match="SwinTransformerBlock: vpt needs attention over all"):
        get_peft_model(cast(Any, swin), VptConfig())


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("vit_tiny_patch16_224", {"block_fn": ResPostBlock}, "ResPostBlock: vpt expects a norm"),
        ("vit_relpos_base_patch16_224", {}, "RelPosBlock: .* by relative position"),
    ],
)
def test_blocks_of_another_kind_are_refused(name: str, options: dict[str, Any], words: str) -> None:
    tiny = {"img_size": 32, "embed_dim": 24, "depth": 1, "num_heads": 2, "num_classes": 0}
    with pytest.raises(AdapterError, match=words):
        get_peft_model(cast(Any, create_model(name, **tiny, **options)), VptConfig())


def test_no_prompts_at_all_are_refused() -> None:
    with pytest.raises(AdapterError, match="vpt: tokens: expected 1 or more, got 0"):
        VptConfig(tokens=0)
