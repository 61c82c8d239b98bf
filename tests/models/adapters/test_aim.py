"""AIM: its formula, its attention over time, and what it refuses."""

from typing import Any, cast

import pytest
import torch
from adapter_networks import base, shake
from peft import get_peft_model
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters import AdapterConfig, AimConfig, adapt, set_moments, unwrapped
from evlora.models.adapters.aim import AimLayer

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_check:FutureWarning")


def adapted(**settings: Any) -> tuple[nn.Module, AimLayer]:
    block = cast(Any, base("vit")).blocks[0]
    model = adapt(block, AdapterConfig(method="aim", **settings), name="block").eval()
    return model, cast(AimLayer, cast(Any, unwrapped(model))[0])


def test_a_block_is_that_of_the_paper() -> None:
    model, layer = adapted(rank=4)
    shake(model)
    set_moments(model, 3)
    block = cast(Any, layer.get_base_layer())

    def bottleneck(place: str, x: torch.Tensor) -> torch.Tensor:
        down, up = (cast(Any, part["default"])[place] for part in (layer.aim_down, layer.aim_up))
        return up(nn.functional.gelu(down(x)))

    given = torch.randn(2, 3, 5, 24)  # two clips of three moments
    x = given + layer.aim_positions["default"][:3, None]
    over_time = torch.empty_like(x)
    for place in range(5):
        over_time[:, :, place] = block.attn(block.norm1(x[:, :, place]))
    x = (x + bottleneck("temporal", over_time)).flatten(0, 1)
    a = block.attn(block.norm1(x))
    x = x + a + bottleneck("spatial", a)
    n = block.norm2(x)
    expected = x + block.mlp(n) + 0.5 * bottleneck("joint", n)
    torch.testing.assert_close(unwrapped(model)(given.flatten(0, 1)), expected)
    x = torch.randn(2, 5, 24)  # called by itself, the block is the frozen one
    torch.testing.assert_close(block(x), cast(Any, base("vit")).blocks[0](x))


def test_positions_are_in_the_first_adapted_block_alone(vit: VisionTransformer) -> None:
    model = adapt(vit, AdapterConfig(method="aim", blocks=2), name="vit")
    layers = [part for part in model.modules() if isinstance(part, AimLayer)]
    assert [layer.is_first for layer in layers] == [True, False]
    assert sum("aim_positions" in name for name, _ in model.named_parameters()) == 1


def test_longer_clips_than_it_has_positions_for_are_refused() -> None:
    model, _ = adapted(options={"moments": 2})
    set_moments(model, 3)
    with pytest.raises(AdapterError, match=r"at most 2 moments, got 3; set .*options\.moments"):
        unwrapped(model)(torch.zeros(3, 5, 24))


def test_heads_that_see_moments_already_and_settings_out_of_range_are_refused(
    vit: VisionTransformer,
) -> None:
    with pytest.raises(AdapterError, match=r"vit: cannot add aim: .*moment_heads=0"):
        adapt(vit, AdapterConfig(method="aim", moment_heads=1), name="vit")
    with pytest.raises(AdapterError, match="moments: expected 1 or more, got 0"):
        AimConfig(moments=0)
    block = nn.Sequential(cast(Any, base("vit")).blocks[0])
    block[0].norm1_of_another_name = block[0]._modules.pop("norm1")
    with pytest.raises(AdapterError, match="expects a norm before the attention, called norm1"):
        get_peft_model(cast(Any, block), AimConfig())
