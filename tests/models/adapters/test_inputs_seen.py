"""Pairs that start from what their layers see."""

from typing import Any, cast

import pytest
import torch
from adapter_networks import base, inputs
from peft import PeftModel
from torch import Tensor, nn

from evlora.errors import AdapterError
from evlora.models.adapters import (
    AdapterConfig,
    adapt,
    models_awaiting_inputs,
    starting_from_inputs,
)


def adapted(**options: Any) -> PeftModel:
    config = AdapterConfig(sites="both", rank=3, dropout=0.0, options=options)
    return cast(PeftModel, adapt(base("vit"), config, name="vit").eval())


@torch.no_grad()
def test_the_pair_starts_from_the_principal_components_of_the_inputs() -> None:
    model, images = adapted(init="eva"), torch.cat([inputs("vit")] * 3)
    images += torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    before = model(images)
    layers = {n: layer for n, layer in model.named_modules() if hasattr(layer, "lora_A")}
    seen: dict[str, Tensor] = {}
    handles = [
        layer.register_forward_pre_hook(
            lambda _module, given, name=name: seen.update({name: given[0].flatten(0, -2)})
        )
        for name, layer in layers.items()
    ]
    with starting_from_inputs(models_awaiting_inputs([model])):
        model(images)
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(model(images), before, atol=1e-6, rtol=0)
    for name, layer in layers.items():
        start = cast(Any, layer).lora_A["default"].weight
        _, _, directions = torch.linalg.svd(seen[name] - seen[name].mean(0), full_matrices=False)
        same = (start @ directions[:3].T).abs()
        torch.testing.assert_close(same, torch.eye(3), atol=0.02, rtol=0)


def test_other_starts_wait_for_nothing() -> None:
    assert models_awaiting_inputs([adapted(init="gaussian"), nn.Linear(2, 2)]) == []


def test_too_few_tokens_and_layers_that_saw_nothing_are_refused() -> None:
    model = adapted(init="eva")
    layer = next(m for m in model.modules() if hasattr(m, "lora_A"))
    with (
        pytest.raises(AdapterError, match=r"6 tokens or more in a batch for this rank, got 2 in "),
        starting_from_inputs(models_awaiting_inputs([model])),
    ):
        layer(torch.zeros(2, cast(Any, layer).in_features))
    with (
        pytest.raises(AdapterError, match=r"expected clips that pass through .*, none did"),
        starting_from_inputs(models_awaiting_inputs([model])),
    ):
        pass
