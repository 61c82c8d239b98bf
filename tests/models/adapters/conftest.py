"""What the tests of adapters share: a tiny backbone as evlora builds it."""

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from evlora.models import BackboneConfig, build_backbone

TINY = BackboneConfig(
    name="vit_tiny_patch16_224",
    weights="random",
    options={"patch_size": 16, "embed_dim": 24, "depth": 3, "num_heads": 2},
)


@pytest.fixture
def vit() -> VisionTransformer:
    return build_backbone(TINY, size=(32, 32))


@pytest.fixture
def fresh_compiler() -> None:
    """What was compiled before does not count: of one function, eight versions are the limit."""
    torch.compiler.reset()
