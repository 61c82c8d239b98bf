"""SSF: its formula on every kind of layer, folding and unfolding, and BitFit as its half."""

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from adapter_networks import base, shake
from peft import PeftModel, get_peft_model
from torch import Tensor, nn

from evlora.errors import AdapterError
from evlora.models.adapters.ssf import SsfConfig, SsfLayer

LAYERS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "linear": lambda: (nn.Linear(4, 6), torch.randn(2, 3, 4)),
    "linear without bias": lambda: (nn.Linear(4, 6, bias=False), torch.randn(2, 3, 4)),
    "norm": lambda: (nn.LayerNorm(6), torch.randn(2, 3, 6)),
    "patches": lambda: (nn.Conv2d(3, 6, 2, stride=2), torch.randn(2, 3, 4, 4)),
    "patches of video": lambda: (nn.Conv3d(3, 6, 2, stride=2), torch.randn(2, 3, 4, 4, 4)),
}


def scaled_and_shifted(y: Tensor, kind: str, scale: Tensor, shift: Tensor) -> Tensor:
    axis = 1 if "patches" in kind else y.ndim - 1
    return (y.movedim(axis, -1) * scale + shift).movedim(-1, axis)


def ssf_on(layer: nn.Module, **settings: Any) -> tuple[PeftModel, SsfLayer]:
    model = cast(PeftModel, get_peft_model(cast(Any, nn.Sequential(layer)), SsfConfig(**settings)))
    return model.eval(), cast(SsfLayer, cast(Any, model).base_model.model[0])


@pytest.mark.parametrize("kind", LAYERS)
def test_the_output_is_scaled_and_shifted_feature_by_feature(kind: str) -> None:
    layer, x = LAYERS[kind]()
    y = layer(x)
    model, ssf = ssf_on(layer)
    assert torch.equal(model(x), y)
    shake(model)
    expected = scaled_and_shifted(y, kind, ssf.ssf_scale["default"], ssf.ssf_shift["default"])
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("kind", LAYERS)
def test_folding_in_and_out_again_is_exact(kind: str) -> None:
    layer, x = LAYERS[kind]()
    weight, bias = cast(Any, layer).weight, cast(Any, layer).bias
    before = weight.clone()
    model, _ = ssf_on(layer)
    shake(model)
    expected = model(x)
    cast(Any, model).merge_adapter()
    assert torch.equal(weight, before)  # others may share it
    torch.testing.assert_close(model(x), expected)
    cast(Any, model).unmerge_adapter()
    assert cast(Any, layer).weight is weight
    assert cast(Any, layer).bias is bias
    assert torch.equal(model(x), expected)


def test_disabling_a_folded_adapter_gives_the_frozen_layer_back() -> None:
    layer, x = LAYERS["linear"]()
    y = layer(x)
    model, _ = ssf_on(layer)
    shake(model)
    cast(Any, model).merge_adapter()
    with model.disable_adapter():
        assert torch.equal(model(x), y)


def test_folding_refuses_numbers_that_are_not_finite() -> None:
    model, ssf = ssf_on(nn.Linear(2, 2))
    with torch.no_grad():
        ssf.ssf_shift["default"].fill_(torch.inf)
    with pytest.raises(AdapterError, match=r"'default': .*not finite"):
        cast(Any, model).merge_adapter(safe_merge=True)


def test_it_finds_all_linear_norm_and_patch_layers_of_a_vit() -> None:
    model = get_peft_model(cast(Any, base("vit")), SsfConfig())
    adapted = [name for name, m in model.named_modules() if isinstance(m, SsfLayer)]
    assert len(adapted) == 2 + 2 * 6  # patches and last norm; two norms and four layers a block


def test_the_papers_start_is_an_option() -> None:
    _, ssf = ssf_on(nn.Linear(500, 500), init_std=0.02)
    scale, shift = ssf.ssf_scale["default"], ssf.ssf_shift["default"]
    assert scale.mean().item() == pytest.approx(1, abs=0.01)
    assert scale.std().item() == pytest.approx(0.02, rel=0.2)
    assert shift.std().item() == pytest.approx(0.02, rel=0.2)


def test_bitfit_adapts_the_layers_with_a_bias_and_learns_what_a_bias_would() -> None:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3, bias=False))
    twin = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3, bias=False))
    twin.load_state_dict(network.state_dict())
    model = get_peft_model(cast(Any, network), SsfConfig(scale=False))
    biases = [p for name, p in twin.named_parameters() if name.endswith("bias")]
    x, target = torch.randn(8, 4), torch.randn(8, 3)
    for parameters, net in (([p for p in model.parameters() if p.requires_grad], model),
                            (biases, twin)):  # fmt: skip
        assert len(parameters) == 1
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            (net(x) - target).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(model(x), twin(x))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scale": False, "shift": False}, "expected scale or shift or both"),
        ({"init_std": -0.1}, "init_std: expected 0 or more, got -0.1"),
        ({"target_modules": ["0"]}, "expected a Linear, LayerNorm .*, got Tanh"),
        ({}, "has no linear, norm or convolution layer"),
    ],
)
def test_what_cannot_be_scaled_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(AdapterError, match=words):
        get_peft_model(cast(Any, nn.Sequential(nn.Tanh())), SsfConfig(**settings))
