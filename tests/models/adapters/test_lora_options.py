"""What LoRA can be made of: where it starts, how it is scaled, and ranks by layer."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from adapter_networks import answer, base, inputs, shake
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from evlora.errors import AdapterError
from evlora.models import VELoRA, VELoRAConfig
from evlora.models.adapters import AdapterConfig, adapt, fold
from evlora.models.backbone import share_weights

STARTS = ["gaussian", "orthogonal", "mica", "pissa", "olora", "eva"]
FROM_WEIGHTS = ["pissa", "olora"]


def adapted(network: nn.Module, **options: Any) -> PeftModel:
    torch.manual_seed(5)
    config = AdapterConfig(sites="both", dropout=0.0, options=options)
    return cast(PeftModel, adapt(network, config, name="vit").eval())


@pytest.mark.parametrize("start", STARTS)
def test_no_start_changes_the_output_or_the_weights_that_views_share(start: str) -> None:
    network = base("vit")
    other, x = share_weights(network), inputs("vit")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    places = {tensor.data_ptr() for tensor in network.state_dict().values()}
    expected = network(x)
    model = adapted(network, init=start)
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=0)
    assert all(torch.equal(before[name], tensor) for name, tensor in other.state_dict().items())
    assert {tensor.data_ptr() for tensor in other.state_dict().values()} == places
    shake(model)
    trained = model(x)
    assert not torch.allclose(trained, expected, atol=1e-3)
    with model.disable_adapter():
        torch.testing.assert_close(model(x), expected)
    torch.testing.assert_close(fold(model)(x), trained, atol=1e-4, rtol=0)


@pytest.mark.parametrize("start", FROM_WEIGHTS)
def test_what_started_from_the_weights_is_loaded_by_peft_alone(start: str, tmp_path: Path) -> None:
    model, x = adapted(base("vit"), init=start), inputs("vit")
    first = next(layer for layer in model.modules() if isinstance(layer, LoraLayer))
    assert cast(Any, first.lora_B["default"]).weight.any()
    shake(model)
    model.save_pretrained(str(tmp_path))
    loaded = PeftModel.from_pretrained(base("vit"), str(tmp_path)).eval()
    torch.testing.assert_close(answer("vit", loaded, x), answer("vit", model, x), atol=1e-4, rtol=0)


def test_a_rank_by_layer_and_the_stable_scale() -> None:
    patterns = {"rank_pattern": {"mlp.fc1": 2}, "alpha_pattern": {"mlp.fc1": 6}}
    model = adapted(base("vit"), rslora=True, **patterns)
    layers = {n: m for n, m in model.named_modules() if isinstance(m, LoraLayer)}
    fc1 = next(layer for name, layer in layers.items() if name.endswith("fc1"))
    fc2 = next(layer for name, layer in layers.items() if name.endswith("fc2"))
    assert (fc1.r["default"], fc1.scaling["default"]) == (2, pytest.approx(6 / 2**0.5))
    assert (fc2.r["default"], fc2.scaling["default"]) == (4, pytest.approx(8 / 4**0.5))


def test_dora_is_an_option_too() -> None:
    names = [n for n, p in adapted(base("vit"), dora=True).named_parameters() if p.requires_grad]
    assert any("magnitude" in name for name in names)
    with pytest.raises(AdapterError, match="pissa cannot be joined with dora"):
        adapted(base("vit"), dora=True, init="pissa")


@pytest.mark.parametrize("start", ["corda", "loftq", "lora_ga"])
def test_a_start_that_is_not_offered_is_refused_with_the_reason(start: str) -> None:
    with pytest.raises(AdapterError, match=f"options.init: {start}: (peft makes it|it makes up)"):
        AdapterConfig(options={"init": start})


@pytest.mark.parametrize("options", [{"dora": True}, {"init": "pissa"}])
def test_the_shared_stage_takes_a_plain_pair_only(
    options: dict[str, Any], vit: VisionTransformer
) -> None:
    config = VELoRAConfig(shared_adapter=AdapterConfig(options=options))
    with pytest.raises(AdapterError, match="expected a pair that adds nothing at the start"):
        VELoRA(vit, config, num_classes=3)
