"""Vectors on the last layers of halves learn from blocks that are one step of autograd."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from evlora.models import BackboneConfig, build_backbone
from evlora.models.adapters import AdapterConfig, adapt, unwrapped
from evlora.models.backbone import Backbone, blocks_of, share_weights
from evlora.models.fast import IDEAS, Settings, set_blocks, through_all

DEPTH = 6


def adapted(**adapter: Any) -> Backbone:
    torch.manual_seed(0)
    options = {"embed_dim": 24, "depth": DEPTH, "num_heads": 2}
    config = BackboneConfig(name="vit_tiny_patch16_224", weights="random", options=options)
    backbone = build_backbone(config, size=(64, 64))
    module = adapt(share_weights(backbone), AdapterConfig.model_validate(adapter), name="view")
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    vit: Any = unwrapped(module)
    return vit.train()


def tokens_of(vit: Backbone, *, is_fast: bool = True) -> Tensor:
    set_blocks(vit, Settings(frozenset(IDEAS if is_fast else ()), "none"))
    generator = torch.Generator().manual_seed(1)
    return through_all(blocks_of(vit), torch.randn(8, 17, 24, generator=generator))


def kept_bytes(vit: Backbone) -> int:
    """Of the tokens that are kept for the way back; weights, vectors and pairs are smaller."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if tensor.shape[:1] in ((8,), (8 * 17,)):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        tokens_of(vit)
    return sum(kept.values())


@pytest.mark.parametrize("method", ["ssf", "lv_adapter"])
def test_what_vectors_need_is_kept_in_the_place_of_tokens(method: str) -> None:
    with_vectors = kept_bytes(adapted(method=method, **({} if method == "ssf" else {"rank": 1})))
    # Six units per block as for shifts alone, and the last tokens once.
    assert with_vectors < 1.1 * kept_bytes(adapted(method="bitfit"))


def test_blocks_below_the_first_vector_keep_nothing() -> None:
    last = adapted(method="ssf", blocks=1)
    assert kept_bytes(last) < 1.5 / DEPTH * kept_bytes(adapted(method="ssf"))


@pytest.mark.parametrize("adapter", [{"method": "ssf", "blocks": 4}, {"method": "lv_adapter"}])
def test_vectors_of_zero_learn_the_same(adapter: dict[str, Any]) -> None:
    vit = adapted(**adapter)
    with torch.no_grad():
        for name, parameter in vit.named_parameters():
            if "vector" in name or "scale" in name:
                parameter[::3] = 0
    found: list[list[Tensor]] = []
    for is_fast in (True, False):
        vit.zero_grad(set_to_none=True)
        output = tokens_of(vit, is_fast=is_fast)
        output.square().sum().backward()
        gradients = [p.grad.clone() for p in vit.parameters() if p.grad is not None]
        found.append([output.detach(), *gradients])
    largest = max(float(tensor.norm()) for tensor in found[1])
    for one, other in zip(*found, strict=True):
        assert (one - other).norm() <= 1e-5 * max(float(other.norm()), 1e-3 * largest)
