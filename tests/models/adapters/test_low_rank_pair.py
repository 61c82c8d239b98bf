"""The low-rank pair without the frozen layer, as the shared stage of VELoRA uses it."""

from typing import Any, cast

import pytest
import torch
from adapter_networks import PlainMlp, shake
from timm.models.vision_transformer import VisionTransformer

from evlora.errors import AdapterError
from evlora.models import VELoRA, VELoRAConfig
from evlora.models.adapters import AdapterConfig, LvAdapterConfig, added_by_lora, unwrapped


def test_the_shared_stage_takes_an_lv_adapter(vit: VisionTransformer) -> None:
    shared = AdapterConfig(method="lv_adapter", sites="ffn", rank=3)
    network = VELoRA(vit, VELoRAConfig(shared_adapter=shared), num_classes=5).eval()
    rgb, events = torch.randn(2, 2, 3, 3, 32, 32)
    before = network(rgb, events).logits
    stage = cast(Any, network.shared_stage)
    shake(stage.phi, 0.05)
    fc1 = cast(Any, unwrapped(stage.phi)).mlp.fc1
    x = torch.randn(2, 5, 24)
    pair = fc1.lv_adapter_up["default"](fc1.lv_adapter_down["default"](x))
    scale = LvAdapterConfig().scale
    torch.testing.assert_close(added_by_lora(fc1, x), scale * pair)
    assert not torch.allclose(network(rgb, events).logits, before)


@pytest.mark.parametrize(
    "shared",
    [
        {"method": "dora"},
        {"method": "bitfit"},
        {"method": "none"},
        {"method": "lv_adapter", "options": {"pair": False}},
    ],
)
def test_the_shared_stage_refuses_what_has_no_pair(
    shared: dict[str, Any], vit: VisionTransformer
) -> None:
    config = VELoRAConfig(shared_adapter=AdapterConfig.model_validate(shared))
    with pytest.raises(AdapterError, match=r"stage: expected .* low-rank pair, lora or lv_adapter"):
        VELoRA(vit, config, num_classes=5)


def test_a_shared_adapter_without_the_ffn_is_refused() -> None:
    with pytest.raises(AdapterError, match="got Linear; give the shared adapter sites that hold"):
        added_by_lora(PlainMlp().first, torch.randn(1, 1, 24))
