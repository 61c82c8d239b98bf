"""Every method of the catalogue inside VELoRA, in a bundle, and beside other views."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from adapter_networks import SETTINGS, base, shake
from slow import slow_but
from timm.models.vision_transformer import VisionTransformer
from torch.nn.functional import cross_entropy

from evlora.bundle import load_bundle, save_bundle
from evlora.models import VELoRA, VELoRAConfig
from evlora.models.adapters import AdapterConfig, adapt
from evlora.models.backbone import share_weights
from evlora.recipe import build

# peft 0.21 uses a name of transformers that its version 6 will not have
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_check:FutureWarning")


IN_VELORA = [method for method in SETTINGS if method not in ("none", "full", "lora")]
every_method = pytest.mark.parametrize(
    "method", slow_but(IN_VELORA, quick=("lv_adapter", "bitfit", "vera").__contains__)
)


@every_method
def test_every_method_works_in_the_views_of_velora(method: str, vit: VisionTransformer) -> None:
    with torch.no_grad():
        for name, parameter in vit.named_parameters():
            if name.endswith("bias"):  # zero in a random ViT; GLoRA trains a factor of it
                parameter.normal_(std=0.02)
    config = VELoRAConfig(adapter=AdapterConfig(method=method, **SETTINGS[method]))
    network = VELoRA(vit, config, num_classes=5)
    shake(network, 0.05)
    rgb, events = torch.randn(2, 2, 3, 3, 32, 32)
    logits, terms, _ = network(rgb, events)
    (cross_entropy(logits, torch.tensor([0, 1])) + terms["reconstruction"]).backward()
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert [name for name, p in trained.items() if p.grad is None or not p.grad.any()] == []
    addresses = {p.data_ptr() for p in vit.parameters()}
    of_adapters = ("lora_A", "ranknum")  # what LoRA-FA and AdaLoRA hold and do not train
    assert all(
        p.data_ptr() in addresses or any(part in name for part in of_adapters)
        for name, p in network.named_parameters()
        if not p.requires_grad
    )


@every_method
def test_every_method_survives_a_bundle(
    method: str, tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    adapter = {"method": method, **SETTINGS[method]}
    overrides = {**tiny_settings, "model.adapter": adapter}
    recognizer = build("demo", num_classes=4, overrides=overrides)
    shake(recognizer, 0.05)
    recognizer.eval()
    rgb, events = torch.randn(2, 2, 2, 3, 32, 32)
    with torch.inference_mode():
        expected = recognizer(rgb, events).logits
        again = load_bundle(save_bundle(recognizer, tmp_path / "bundle"))(rgb, events).logits
    assert torch.equal(again, expected)


@pytest.mark.parametrize("method", ["ssf", "bitfit", "ln_tuning"])
def test_folding_one_view_in_changes_no_other(method: str, vit: VisionTransformer) -> None:
    views = [share_weights(vit) for _ in range(2)]
    first = cast(Any, adapt(views[0], AdapterConfig(method=method), name="first"))
    shake(first, 0.05)
    x = torch.randn(1, 3, 32, 32)
    expected = views[1](x)
    first.merge_and_unload()
    assert torch.equal(views[1](x), expected)


def test_lv_adapter_takes_sites_and_half_of_itself() -> None:
    config = AdapterConfig(method="lv_adapter", sites="attention", options={"pair": False})
    network = adapt(base("vit"), config, name="vit")
    names = [name for name, p in network.named_parameters() if p.requires_grad]
    assert len(names) == 8
    assert all(".attn." in name and ("vector" in name or "shift" in name) for name in names)
