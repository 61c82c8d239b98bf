"""The network gives what the plain reference gives, and the gradients too, in every ablation."""

from typing import Any

import pytest
import torch
from plain_velora import PlainVELoRA, cross_entropy
from slow import slow_but
from torch import Tensor

from evlora.models import VELoRA, VELoRAConfig
from evlora.recipe import build, load_recipe, shipped_recipes

DEPTH, HEADS = 3, 2
ABLATIONS = [name for name in shipped_recipes() if name.startswith("ablations/")]
NUMBERS = ("active_patches", "frames", "high_blocks", "rank", "representation")
ADAPTERS = ("adalora", "dora", "full_fine_tuning", "lora_", "lv_adapter")
FINE_PATCHES = {"backbone.options.patch_size": 8}  # 16 of them
WEIGHT = 0.3  # of each term beside the cross-entropy


def changes_a_part(name: str) -> bool:
    """Whether a recipe changes which parts there are: no number, kind of picture or adapter."""
    return not name.removeprefix("ablations/").startswith((*NUMBERS, *ADAPTERS))


def settings_of(depth: int = DEPTH) -> dict[str, Any]:
    """What makes a recipe of the paper's size tiny; the family of the backbone stays CLIP."""
    return {
        "clip.size": 32,
        "backbone.weights": "random",
        "backbone.options": {"patch_size": 16, "embed_dim": 16, "depth": depth, "num_heads": HEADS},
    }


def shaken(network: VELoRA) -> VELoRA:
    """Off every start: pairs at zero, norms and vectors at one, gates and embeddings at zero."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "ranknum" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def leaves(network: VELoRA) -> dict[str, Tensor]:
    """Copies of all tensors by name; tensors that are one in the network are one here."""
    copies: dict[int, Tensor] = {}
    by_name = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if id(tensor) not in copies:
            copies[id(tensor)] = tensor.detach().clone().requires_grad_(tensor.requires_grad)
        by_name[name] = copies[id(tensor)]
    return by_name


def require_the_same(network: VELoRA, *, frames: int, depth: int) -> None:
    config = network.config
    assert isinstance(config, VELoRAConfig)
    images = {name: torch.randn(2, frames, 3, 32, 32) for name in network.modalities}
    labels = [2, 0]

    logits, terms, by_view = network(images.get("rgb"), images.get("event"))
    target = torch.tensor(labels)
    loss = torch.nn.functional.cross_entropy(logits, target)
    own_losses = [torch.nn.functional.cross_entropy(own, target) for own in by_view.values()]
    (loss + WEIGHT * sum(terms.values()) + WEIGHT * sum(own_losses)).backward()

    tensors = leaves(network)
    plain = PlainVELoRA(
        tensors, config, network.modalities, depth=depth, heads=HEADS, learns=network.training
    )
    expected, expected_terms, expected_by_view = plain(images)
    expected_loss = cross_entropy(expected, labels)
    expected_own = [cross_entropy(own, labels) for own in expected_by_view.values()]
    (expected_loss + WEIGHT * sum(expected_terms.values()) + WEIGHT * sum(expected_own)).backward()

    close = {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(logits, expected, **close)
    torch.testing.assert_close(loss, expected_loss, **close)
    assert terms.keys() == expected_terms.keys()
    assert by_view.keys() == expected_by_view.keys()
    for name, value in {**terms, **by_view}.items():
        torch.testing.assert_close(value, {**expected_terms, **expected_by_view}[name], **close)
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    for name, parameter in trained.items():
        gradient, reference = parameter.grad, tensors[name].grad
        assert gradient is not None, name
        assert reference is not None, name
        assert gradient.any(), name
        torch.testing.assert_close(gradient, reference, **close, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("name", slow_but(["velora_vitb16_clip", *ABLATIONS], quick=changes_a_part))
def test_the_network_is_the_plain_reference(name: str) -> None:
    """Logits, loss, terms and the gradient of every trained tensor, of each recipe on disk."""
    recipe = load_recipe(name)
    assert isinstance(recipe.model, VELoRAConfig)
    depth = max(DEPTH, recipe.model.high_blocks + 1)
    overrides = settings_of(depth)
    for key in ("active_patches", "active_difference_patches"):
        count = getattr(recipe.model, key)
        if count is not None:  # as large a share of the 4 patches here
            overrides[f"model.{key}"] = max(1, 4 * count // 196)
    network = build(name, num_classes=3, overrides=overrides).network
    assert isinstance(network, VELoRA)
    require_the_same(shaken(network), frames=min(recipe.clip.frames, 4), depth=depth)


@pytest.mark.parametrize(
    "keys",
    slow_but(
        [
            {"model.difference": False, "clip.frames": 1},
            {"model.shared_stage": False, "model.pool": "mean", "model.high_blocks": 2},
            {"model.shared_stage": False, "model.adapter_per_view": False},
            {"model.adapter_per_view": False, "model.adapter": {"method": "full"}},
            {"model.shared_adapter": {"method": "lv_adapter", "rank": 3}},
            {"model.shared_adapter.sites": "both", "model.adapter": {"method": "none"}},
            {"clip.modalities": ["event", "rgb"]},
            {"model.adapter": {"sites": "all"}, "model.shared_adapter.sites": "all"},
            {"model.adapter": {"sites": "all"}, "model.adapter_per_view": False},
            {**FINE_PATCHES, "model.active_patches": 5},
            {**FINE_PATCHES, "model.active_patches": 15, "model.pool": "mean"},
            {**FINE_PATCHES, "model.active_patches": 16},
            {**FINE_PATCHES, "model.active_patches": 5, "clip.modalities": ["event"]},
            {**FINE_PATCHES, "model.active_patches": 5, "model.adapter_per_view": False},
            {**FINE_PATCHES, "model.active_patches": 12, "model.active_difference_patches": 2},
            {**FINE_PATCHES, "model.active_difference_patches": 3},
            {**FINE_PATCHES, "model.active_patches": 5, "model.thin_answers": False},
            {"model.beside_mean": ["trend", "change"], "model.beside_mean_rank": 2},
            {"model.beside_mean": ["trend"], "model.difference": False, "clip.frames": 4},
        ],
        quick=lambda keys: "clip.modalities" in keys or "model.beside_mean_rank" in keys,
    ),
    ids=str,
)
def test_the_keys_agree_with_the_reference_together_as_well(keys: dict[str, Any]) -> None:
    overrides = {**settings_of(), "clip.frames": 3, **keys}
    network = build("velora_vitb16_clip", num_classes=3, overrides=overrides).network
    assert isinstance(network, VELoRA)
    require_the_same(shaken(network), frames=overrides["clip.frames"], depth=DEPTH)


@pytest.mark.parametrize("thin_answers", [True, False])
def test_training_sees_the_patches_that_the_reference_sees(thin_answers: bool) -> None:
    overrides = {
        **settings_of(),
        **FINE_PATCHES,
        "clip.frames": 3,
        "model.adapter.dropout": 0,
        "model.shared_adapter.dropout": 0,
        "model.active_patches": 5,
        "model.thin_answers": thin_answers,
    }
    network = build("velora_vitb16_clip", num_classes=3, overrides=overrides).network
    assert isinstance(network, VELoRA)
    require_the_same(shaken(network).train(), frames=3, depth=DEPTH)
