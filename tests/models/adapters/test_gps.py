"""GPS: its formula, what is folded, and which entries are chosen."""

from typing import Any, cast

import pytest
import torch
from adapter_networks import base, inputs, shake
from peft import PeftModel, get_peft_model
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters import (
    AdapterConfig,
    GpsConfig,
    adapt,
    choosing_entries,
    models_choosing_entries,
)
from evlora.models.adapters.gps import GpsLayer
from evlora.models.backbone import share_weights

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_check:FutureWarning")


def adapted(**options: Any) -> PeftModel:
    config = AdapterConfig(method="gps", options={"entries": 3, **options})
    return cast(PeftModel, adapt(share_weights(VIT), config, name="vit").eval())


VIT = base("vit")


def layers_of(model: nn.Module) -> dict[str, GpsLayer]:
    found = {name.removeprefix("base_model.model."): part for name, part in model.named_modules()}
    return {name: part for name, part in found.items() if isinstance(part, GpsLayer)}


def test_the_chosen_entries_of_each_row_are_added_to_the_weight() -> None:
    config = GpsConfig(entries=2, target_modules=["0"])
    model = get_peft_model(cast(Any, nn.Sequential(nn.Linear(6, 4))), config)
    shake(model)
    (layer,) = layers_of(model).values()
    weight = cast(torch.Tensor, layer.base_layer.weight).clone()
    change = torch.zeros(4, 6)
    for row, places in enumerate(weight.abs().topk(2).indices.sort().values):
        change[row, places] = layer.gps_change["default"][row]
    x = torch.randn(3, 6)
    expected = nn.functional.linear(x, weight + change, cast(Any, layer.base_layer.bias))
    torch.testing.assert_close(model(x), expected)
    model.merge_adapter()
    torch.testing.assert_close(model(x), expected)
    model.unmerge_adapter()
    assert torch.equal(cast(torch.Tensor, layer.base_layer.weight), weight)


def test_the_entries_of_the_largest_gradients_are_chosen() -> None:
    model, images = adapted(), inputs("vit")
    with choosing_entries(models_choosing_entries([model])):
        model(images).square().sum().backward()
        model(images).square().sum().backward()
    plain = base("vit").requires_grad_(True)
    plain(images).square().sum().backward()
    gradients = {name: p.grad for name, p in plain.named_parameters()}
    for name, layer in layers_of(model).items():
        gradient = cast(torch.Tensor, gradients[f"{name}.weight"])
        expected = gradient.abs().topk(3).indices.sort().values.int()
        assert torch.equal(layer.gps_places["default"], expected)
        assert layer.probe is None
    torch.testing.assert_close(model(images), VIT(images))
    assert all(p.grad is None for p in VIT.parameters())


def test_views_of_the_same_weights_choose_entries_of_their_own() -> None:
    models = adapted(), adapted()
    with choosing_entries(models_choosing_entries(models)):
        for seed, model in enumerate(models):
            model(inputs("vit", seed=seed)).square().sum().backward()
    first, second = (layers_of(model)["blocks.0.mlp.fc1"] for model in models)
    assert first.base_layer.weight is second.base_layer.weight
    assert not torch.equal(first.gps_places["default"], second.gps_places["default"])


def test_by_magnitude_nothing_is_waited_for() -> None:
    assert models_choosing_entries([adapted(chosen_by="magnitude"), nn.Linear(2, 2)]) == []


def test_no_gradient_and_more_entries_than_inputs_are_refused() -> None:
    with (
        pytest.raises(AdapterError, match=r"gps: expected gradients .* no layer got any"),
        choosing_entries([adapted()]),
    ):
        pass
    with pytest.raises(AdapterError, match=r"at most its 24 inputs .* got 25"):
        adapted(entries=25)


@pytest.mark.parametrize("column", [-1, 10_000])
def test_columns_that_the_weight_does_not_have_are_refused(column: int) -> None:
    model = get_peft_model(cast(Any, base("vit")), GpsConfig(entries=2))
    damaged = {
        name: torch.full_like(tensor, column) if "gps_places" in name else tensor
        for name, tensor in model.state_dict().items()
    }
    with pytest.raises(AdapterError, match=r"gps_places.*expected columns 0…"):
        model.load_state_dict(damaged)
    model.load_state_dict(model.state_dict())
