"""A model of every family of backbones, narrow and of three blocks, for the tests."""

from typing import NamedTuple

import torch

from evlora.models import Backbone, BackboneConfig, build_backbone


class Family(NamedTuple):
    """One model of timm, and how it is used here."""

    name: str
    size: tuple[int, int]
    pool: str


FAMILIES = {
    "CLIP": Family("vit_base_patch16_clip_quickgelu_224.openai", (32, 48), "token"),
    "AugReg": Family("vit_base_patch16_224.augreg_in21k", (32, 48), "token"),
    "DINOv2": Family("vit_base_patch14_reg4_dinov2.lvd142m", (28, 42), "token"),
    "DINOv3": Family("vit_base_patch16_dinov3.lvd1689m", (32, 48), "token"),
    "EVA-02": Family("eva02_base_patch14_224.mim_in22k", (28, 42), "mean"),
    "SigLIP 2": Family("vit_base_patch16_siglip_224.v2_webli", (32, 48), "map"),
}
VARIANTS = {  # further kinds of blocks and poolings in the same families
    "DINOv2 without registers": Family("vit_base_patch14_dinov2.lvd142m", (28, 42), "mean"),
    "DINOv3 with SwiGLU": Family("vit_small_plus_patch16_dinov3.lvd1689m", (32, 48), "mean"),
    "EVA-02 with one qkv layer": Family("eva02_tiny_patch14_224.mim_in22k", (28, 42), "mean"),
    "EVA-02 of EVA-CLIP": Family("eva02_base_patch16_clip_224.merged2b", (32, 48), "token"),
    "SigLIP 2 without its head": Family(
        "vit_base_patch16_siglip_gap_224.v2_webli", (32, 48), "mean"
    ),
}
ROTARY = [
    name
    for name, family in (FAMILIES | VARIANTS).items()
    if "eva02" in family.name or "dinov3" in family.name
]
TINY: dict[str, int | float | str | bool] = {"embed_dim": 32, "depth": 3, "num_heads": 2}


def configuration(family: Family, weights: str = "random") -> BackboneConfig:
    """The narrow model of this family."""
    return BackboneConfig(name=family.name, weights=weights, options=TINY)


def tiny(family: Family) -> Backbone:
    """The narrow model of this family with random weights, not training."""
    backbone = build_backbone(configuration(family), size=family.size)
    with torch.no_grad():  # LayerScale starts at 1e-5, with which no block would matter
        for parameter in backbone.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return backbone.eval()
