"""The choice of a network by its configuration."""

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import Discriminator, Tag
from timm.models.vision_transformer import VisionTransformer

from evlora.models.backbone import (
    Backbone,
)
from evlora.models.network import (
    Modality,
    Network,
)
from evlora.models.published import PublishedConfig, PublishedVELoRA
from evlora.models.single_stream import SingleStream, SingleStreamConfig
from evlora.models.velora import VELoRA, VELoRAConfig


def _network_of(config: Any) -> str:
    if isinstance(config, Mapping):
        return str(cast(Mapping[str, Any], config).get("network", "velora"))
    return str(getattr(config, "network", config))


NetworkConfig = Annotated[
    Annotated[VELoRAConfig, Tag("velora")]
    | Annotated[SingleStreamConfig, Tag("single_stream")]
    | Annotated[PublishedConfig, Tag("published")],
    Discriminator(
        _network_of,
        custom_error_type="unknown_network",
        custom_error_message="expected velora or single_stream",
    ),
]
"""The configuration of a network; the key `network` picks the kind, `velora` by default.
A recipe may name velora or single_stream; published stands in the bundles of that checkpoint."""


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
