"""The choice of a network by its configuration."""

from typing import cast

from timm.models.vision_transformer import VisionTransformer

from evlora.models.backbone import Backbone
from evlora.models.config import Modality, PublishedConfig, SingleStreamConfig, VELoRAConfig
from evlora.models.network import Network
from evlora.models.published import PublishedVELoRA
from evlora.models.single_stream import SingleStream
from evlora.models.velora import VELoRA


def build_network(
    backbone: Backbone,
    config: VELoRAConfig | SingleStreamConfig | PublishedConfig,
    *,
    modalities: tuple[Modality, ...],
    frames: int,
    num_classes: int,
) -> Network:
    """The network of a configuration, on a view of the backbone.

    Args:
        backbone: Frozen.
        config: Which network, and its parts.
        modalities: What is seen: `rgb`, `event`, or both.
        frames: T, the moments of a clip.
        num_classes: K.

    Raises:
        RecipeError: The configuration contradicts itself or the backbone.
        AdapterError: An adapter is unknown or matches no layer.
    """
    if isinstance(config, VELoRAConfig):
        return VELoRA(backbone, config, modalities=modalities, num_classes=num_classes)
    if isinstance(config, PublishedConfig):
        tower = cast(VisionTransformer, backbone)  # CLIP's, which that checkpoint's bundles name
        return PublishedVELoRA(tower, config, modalities=modalities, num_classes=num_classes)
    return SingleStream(
        backbone, config, modalities=modalities, frames=frames, num_classes=num_classes
    )
