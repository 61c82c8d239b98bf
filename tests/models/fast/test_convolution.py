"""A convolution with its pairs as one gives the numbers of peft's two beside each other."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

import evlora
from evlora.models.fast import IDEAS, Settings, set_blocks, stem, through_convolution
from evlora.recognizer import Recognizer

NANO = {
    "backbone.name": "evlora_nano",
    "backbone.weights": "random",
    "backbone.options": {"embed_dim": 24, "depth": 2, "num_heads": 2},
    "clip.size": 32,
}


def adapted(dropout: float = 0.0, **shape: Any) -> nn.Module:
    """A frozen convolution with LoRA off its start."""
    layer = nn.Sequential(nn.Conv2d(**shape)).requires_grad_(False)
    config = LoraConfig(r=3, lora_alpha=6, target_modules=["0"], lora_dropout=dropout)
    inject_adapter_in_model(config, layer)
    for parameter in layer.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter)
    return layer.train()[0]


def learned(layer: nn.Module, maps: Tensor, *, is_fast: bool) -> list[Tensor]:
    """The layer's maps, and the gradients of its input and of all that it learns."""
    set_blocks(layer, Settings(frozenset(IDEAS if is_fast else ()), "none"))
    maps = maps.clone().requires_grad_()
    layer.zero_grad(set_to_none=True)
    output = through_convolution(layer, maps)
    weights = torch.linspace(-1, 1, output.numel()).view(output.shape)
    (output * weights).sum().backward()
    gradients = [p.grad for p in layer.parameters() if p.requires_grad]
    assert maps.grad is not None
    return [output.detach(), maps.grad, *(g for g in gradients if g is not None)]


def distance(ones: list[Tensor], others: list[Tensor]) -> float:
    """The largest relative difference."""
    pairs = zip(ones, others, strict=True)
    return max(float((one - other).norm() / other.norm()) for one, other in pairs)


@pytest.mark.parametrize("channels", [5, 64])
@pytest.mark.parametrize(
    "shape",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (2, 3), "stride": (1, 2), "padding": (0, 1), "bias": False},
        {"kernel_size": 1},
        {"kernel_size": 4, "stride": 4},
    ],
    ids=str,
)
def test_a_convolution_learns_the_same(shape: dict[str, Any], channels: int) -> None:
    layer = adapted(in_channels=channels, out_channels=7, **shape)
    maps = torch.randn(2, channels, 9, 12)
    fast, plain = learned(layer, maps, is_fast=True), learned(layer, maps, is_fast=False)
    assert len(fast) == 4  # output, input, A, B
    assert distance(fast, plain) < 1e-5


def used(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Fills with the convolutions that the fast function computes."""
    calls: list[Any] = []
    convolved = stem.convolved
    monkeypatch.setattr(stem, "convolved", lambda *a: (calls.append(a[0]), convolved(*a))[1])
    return calls


def test_what_is_not_covered_calls_the_layer_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = used(monkeypatch)
    shape = {"in_channels": 4, "out_channels": 4, "kernel_size": 3}
    maps = torch.randn(1, 4, 8, 8)
    with_dropout, grouped, hooked = adapted(0.1, **shape), adapted(**shape), adapted(**shape)
    grouped.base_layer.groups = 2  # type: ignore[union-attr]
    grouped.base_layer.weight.data = torch.randn(4, 2, 3, 3)  # type: ignore[union-attr]
    hooked.register_forward_hook(lambda *_: None)
    for layer in (with_dropout, grouped, hooked):
        set_blocks(layer, Settings(frozenset(IDEAS), "none"))
        through_convolution(layer, maps)
    assert not calls
    learned(adapted(**shape), maps, is_fast=True)
    assert len(calls) == 1


def recognizer_of(**settings: Any) -> Recognizer:
    torch.manual_seed(0)
    recognizer = evlora.build("demo", num_classes=4, overrides={**NANO, **settings}).train()
    with torch.no_grad():
        for parameter in recognizer.trained_tensors().values():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return recognizer


def test_the_whole_stem_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = recognizer_of()
    found: list[list[Tensor]] = []
    images = [torch.randn(2, 2, 3, 32, 32) for _ in range(2)]
    calls = used(monkeypatch)
    for fast in (IDEAS, ()):
        recognizer.prepare_training(fast=fast)
        recognizer.zero_grad(set_to_none=True)
        logits = recognizer(*images).logits
        logits.logsumexp(dim=1).sum().backward()
        gradients = [p.grad for p in recognizer.trained_tensors().values()]
        largest = max(float(g.norm()) for g in gradients if g is not None)
        # A gradient that is zero but for rounding has no scale.
        found.append(
            [
                logits.detach(),
                *(g for g in gradients if g is not None and g.norm() > 1e-3 * largest),
            ]
        )
    assert len(calls) == 3 * 11  # the convolutions of the stem, in three views
    assert distance(*found) < 1e-5


def test_the_stem_s_weights_stay_those_of_the_file() -> None:
    plain, prepared = recognizer_of(), recognizer_of()
    prepared.prepare_training()
    assert prepared.backbone_sha256 == plain.backbone_sha256
