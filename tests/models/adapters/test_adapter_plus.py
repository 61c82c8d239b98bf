"""Adapter+: where it sits, its formula, its start and its stochastic depth."""

from typing import Any, cast

import pytest
import torch
from adapter_networks import answer, base, inputs, shake
from peft import get_peft_model
from timm import create_model
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters import AdapterConfig, adapt, unwrapped
from evlora.models.adapters.adapter_plus import AdapterPlusConfig, AdapterPlusLayer

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_check:FutureWarning")


def test_it_sits_behind_the_skip_connection_of_the_ffn() -> None:
    block = create_model(
        "vit_tiny_patch16_224", num_classes=0, img_size=32, embed_dim=24, depth=1, num_heads=2
    ).blocks[0].eval()  # fmt: skip
    x = torch.randn(2, 5, 24)
    adapted = adapt(block, AdapterConfig(method="adapter_plus"), name="block").eval()
    shake(adapted)
    layer = cast(Any, unwrapped(adapted))[0]
    y = x + block.attn(block.norm1(x))
    y = y + block.mlp(block.norm2(y))
    hidden = nn.functional.gelu(layer.adapter_plus_down["default"](y))
    bottleneck = layer.adapter_plus_up["default"](hidden)
    expected = y + layer.adapter_plus_scale["default"] * bottleneck
    torch.testing.assert_close(unwrapped(adapted)(x), expected)


@pytest.mark.parametrize("network", ["vit", "clip", "swin"])
def test_every_block_has_one(network: str) -> None:
    model = get_peft_model(cast(Any, base(network)), AdapterPlusConfig())
    layers = [m for m in model.modules() if isinstance(m, AdapterPlusLayer)]
    assert len(layers) == (3 if network == "swin" else 2)


def test_the_published_start_is_an_option_and_a_small_change() -> None:
    model = get_peft_model(cast(Any, base("vit")), AdapterPlusConfig(init="houlsby")).eval()
    expected = answer("vit", base("vit"), inputs("vit"))
    change = (answer("vit", model, inputs("vit")) - expected).abs().max().item()
    assert 0 < change < 0.01
    weights = [
        p for name, p in model.named_parameters() if "adapter_plus_up.default.weight" in name
    ]
    assert all(p.abs().max().item() <= 0.02 for p in weights)


def test_in_training_some_images_go_without() -> None:
    config = AdapterPlusConfig(drop_path=0.5)
    block = nn.Sequential(create_model("vit_tiny_patch16_224", num_classes=0, depth=1).blocks[0])
    model = get_peft_model(cast(Any, block), config)
    shake(model)
    x = torch.randn(1, 3, 192).expand(40, -1, -1)
    outputs = {tuple(row.flatten()[:3].tolist()) for row in model.train()(x).detach()}
    assert len(outputs) == 2
    assert len({tuple(row.flatten()[:3].tolist()) for row in model.eval()(x).detach()}) == 1


@pytest.mark.parametrize("settings", [{"rank": 0}, {"init": "lora"}, {"drop_path": 1.0}])
def test_a_wrong_setting_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(AdapterError, match=r"adapter_plus: \w+: expected"):
        AdapterPlusConfig(**settings)


def test_the_width_is_that_of_the_tokens_where_heads_have_norms_too() -> None:
    sizes = {"img_size": 32, "embed_dim": 24, "depth": 1, "num_heads": 2, "num_classes": 0}
    vit = create_model("vit_tiny_patch16_224", qk_norm=True, **sizes)
    assert get_peft_model(cast(Any, vit), AdapterPlusConfig())(inputs("vit")).shape == (4, 24)


def test_a_block_without_a_norm_is_refused() -> None:
    block = nn.ModuleDict({"attn": nn.Linear(2, 2), "mlp": nn.Linear(2, 2)})
    with pytest.raises(AdapterError, match="expected a norm in the block"):
        get_peft_model(cast(Any, nn.Sequential(block)), AdapterPlusConfig())
