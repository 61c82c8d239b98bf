"""The fast functions give the numbers of the plain blocks: scores, loss and every gradient."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from backbone_families import FAMILIES, ROTARY, VARIANTS, tiny
from slow import slow_but
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from evlora.models import VELoRA, VELoRAConfig
from evlora.models.fast import IDEAS, Checkpointing, Idea, Settings, blocks, set_blocks

ABLATIONS: list[dict[str, Any]] = [
    {},
    {"difference": False},
    {"reconstruction": False},
    {"shared_stage": False},
    {"high_blocks": 2},
    {"pool": "mean"},
    {"fixed_targets": True},
    {"adapter_per_view": False},
    {"active_patches": 2},
]
METHODS: list[dict[str, Any]] = [
    {"method": "none"},
    {"method": "lora", "sites": "attention"},
    {"method": "lora", "sites": "both", "rank": 2},
    {"method": "lora", "sites": "all"},
    {"method": "lora_fa", "sites": "both"},
    {"method": "dora"},
    {"method": "adalora"},
    {"method": "lv_adapter"},
    {"method": "lv_adapter", "sites": "both", "options": {"pair": False}},
    {"method": "lv_adapter", "options": {"activation": "relu"}},
    {"method": "lv_adapter", "sites": "both", "options": {"vector": "output", "shift": True}},
    {"method": "lv_adapter", "sites": "both", "options": {"vector": "both"}},
    {"method": "lv_adapter", "sites": "both", "options": {"rank_pattern": {"mlp.fc1": 0}}},
    {"method": "ssf"},
    {"method": "bitfit"},
    {"method": "ln_tuning"},
    {"method": "ia3"},
    {"method": "vera"},
    {"method": "oft"},
    {"method": "adaptformer"},
    {"method": "adapter_plus"},
    {"method": "vpt"},
    {"method": "full"},
]
Learned = tuple[Tensor, Tensor, dict[str, Tensor]]


def network_of(family: str = "CLIP", **settings: Any) -> VELoRA:
    torch.manual_seed(0)
    kind = (FAMILIES | VARIANTS)[family]
    settings = {"pool": kind.pool, **settings}
    network = VELoRA(tiny(kind), VELoRAConfig.model_validate(settings), num_classes=5).train()
    without_chance(network)
    with torch.no_grad():  # off the start, where low-rank pairs are zero
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def without_chance(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "drop_prob"):
            module.drop_prob = 0.0


def learned(
    network: VELoRA,
    ideas: tuple[Idea, ...] = IDEAS,
    checkpointing: Checkpointing = "none",
    *,
    size: tuple[int, int] = (32, 48),
    half: bool = False,
) -> Learned:
    """Scores, loss and gradients of a fixed batch."""
    set_blocks(network, Settings(frozenset(ideas), checkpointing))
    generator = torch.Generator().manual_seed(1)
    rgb, events = (torch.randn(2, 3, 3, *size, generator=generator) for _ in range(2))
    network.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits, terms, _ = network(rgb, events)
        loss = cross_entropy(logits.float(), torch.tensor([0, 1])) + sum(terms.values())
    loss.backward()
    gradients = {
        name: parameter.grad.clone()
        for name, parameter in network.named_parameters()
        if parameter.grad is not None
    }
    return logits.detach().clone(), loss.detach(), gradients


def distance(one: Learned, other: Learned) -> float:
    """The largest relative difference of scores, loss and gradients, by the norm of each tensor."""
    assert one[2].keys() == other[2].keys()
    pairs = [(one[0], other[0]), (one[1], other[1])]
    pairs += [(one[2][name], other[2][name]) for name in other[2]]
    # A gradient that is zero but for rounding, such as of a bias before a softmax, has no scale.
    largest = max(float(second.norm()) for _, second in pairs)
    return max(
        float((first - second).norm() / second.norm().clamp(min=1e-3 * largest))
        for first, second in pairs
    )


@pytest.mark.parametrize(
    ("settings", "checkpointing"),
    slow_but(
        itertools.product(ABLATIONS, ("none", "ffn", "block")),
        quick=lambda case: case[1] == "none" or not case[0],
    ),
    ids=str,
)
def test_every_ablation_learns_the_same(
    settings: dict[str, Any], checkpointing: Checkpointing
) -> None:
    network = network_of(**settings)
    plain, fast = learned(network, ()), learned(network, checkpointing=checkpointing)
    assert distance(fast, plain) < 1e-5


QUICK_METHODS = ("none", "lora", "dora", "lv_adapter", "ssf", "vpt", "full")
"""Those of every test run."""


@pytest.mark.parametrize(
    "adapter",
    slow_but(METHODS, quick=lambda adapter: adapter["method"] in QUICK_METHODS),
    ids=str,
)
def test_every_method_learns_the_same(adapter: dict[str, Any]) -> None:
    network = network_of(adapter=adapter)
    assert distance(learned(network), learned(network, ())) < 1e-5


@pytest.mark.parametrize(
    ("family", "adapter"),
    slow_but(
        itertools.product([*FAMILIES, *VARIANTS], ({"sites": "both"}, {"method": "lv_adapter"})),
        quick=lambda case: case[0] in FAMILIES and "sites" in case[1],
    ),
    ids=str,
)
def test_every_family_of_backbones_learns_the_same(family: str, adapter: dict[str, Any]) -> None:
    network = network_of(family, adapter=adapter)
    size = (FAMILIES | VARIANTS)[family].size
    assert distance(learned(network, size=size), learned(network, (), size=size)) < 1e-5


@pytest.mark.parametrize("family", ROTARY)
def test_pruned_images_keep_their_rotary_positions(family: str) -> None:
    kind = (FAMILIES | VARIANTS)[family]
    for checkpointing in ("none", "block"):
        network = network_of(family, adapter={"method": "lv_adapter"}, active_patches=2)
        plain = learned(network, (), size=kind.size)
        assert distance(learned(network, checkpointing=checkpointing, size=kind.size), plain) < 1e-5


@pytest.mark.parametrize("adapter_per_view", [True, False])
@pytest.mark.parametrize("method", ["lora", "lv_adapter"])
def test_blocks_that_are_repeated_see_the_same_moments_again(
    method: str, adapter_per_view: bool
) -> None:
    adapter = {"method": method, "moment_heads": 2}
    network = network_of(adapter=adapter, adapter_per_view=adapter_per_view)
    plain = learned(network, ())
    for ideas in ((), IDEAS):
        assert distance(learned(network, ideas, "block"), plain) < 1e-5


@pytest.mark.parametrize(
    "adapter",
    [{}, {"sites": "both"}, {"method": "lv_adapter"}, {"method": "ssf"}, {"method": "bitfit"}],
    ids=str,
)
def test_in_half_precision_it_errs_no_more_than_the_plain_blocks(adapter: dict[str, Any]) -> None:
    network = network_of(adapter=adapter)
    exact, plain, fast = (
        learned(network, ()),
        learned(network, (), half=True),
        learned(network, half=True),
    )
    assert distance(fast, exact) < 1.1 * distance(plain, exact)


@pytest.mark.parametrize("family", FAMILIES)
def test_both_halves_of_a_block_with_lora_are_covered(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of(family, adapter={"sites": "both"})
    calls = {"attention_branch": 0, "ffn_branch": 0}
    for name in calls:
        monkeypatch.setattr(blocks, name, counted(getattr(blocks, name), calls, name))
    learned(network, size=FAMILIES[family].size)
    expected = 3 * 2 + 2 + 1 + 2  # low blocks of three views, ρ twice, φ, high blocks
    assert calls["ffn_branch"] == expected
    assert calls["attention_branch"] == (0 if family == "EVA-02" else expected)


def counted(function: Callable[..., Any], calls: dict[str, int], name: str) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        calls[name] += 1
        return function(*args)

    return call


def test_twice_the_same_bit_for_bit() -> None:
    network = network_of(adapter={"sites": "both"})
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.1
    torch.manual_seed(3)
    first = learned(network)
    torch.manual_seed(3)
    second = learned(network)
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(first[2][name], second[2][name]) for name in first[2])
