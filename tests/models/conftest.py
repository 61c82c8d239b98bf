"""Small networks for the tests of the models."""

from collections.abc import Callable

import pytest
from timm.models.vision_transformer import VisionTransformer

from evlora.models import BackboneConfig, VELoRA, VELoRAConfig, build_backbone

TINY = BackboneConfig(
    name="vit_tiny_patch16_224",
    weights="random",
    options={"patch_size": 16, "embed_dim": 24, "depth": 3, "num_heads": 2},
)


@pytest.fixture
def backbone() -> VisionTransformer:
    """A frozen ViT of three narrow blocks for images of 32 px."""
    return build_backbone(TINY, size=(32, 32))


@pytest.fixture
def make_network(backbone: VisionTransformer) -> Callable[..., VELoRA]:
    """Makes a VELoRA of five classes; keywords are those of its configuration."""

    def make(modalities: tuple[str, ...] = ("rgb", "event"), **settings: object) -> VELoRA:
        config = VELoRAConfig.model_validate(settings)
        return VELoRA(backbone, config, modalities=modalities, num_classes=5)

    return make
