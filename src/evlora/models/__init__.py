"""Networks: tensors in, tensors out; they know nothing of files, clips or recipes."""

from typing import TYPE_CHECKING

from evlora import deferring

if TYPE_CHECKING:
    from evlora.models.adapters import AdapterConfig
    from evlora.models.backbone import Backbone, build_backbone, weights_sha256
    from evlora.models.build import build_network
    from evlora.models.config import (
        BackboneConfig,
        NetworkConfig,
        PublishedConfig,
        SingleStreamConfig,
        VELoRAConfig,
    )
    from evlora.models.network import Network, Output
    from evlora.models.published import (
        PublishedCheckpoint,
        PublishedVELoRA,
        read_published_checkpoint,
    )
    from evlora.models.single_stream import SingleStream
    from evlora.models.velora import VELoRA

__all__ = [
    "AdapterConfig",
    "Backbone",
    "BackboneConfig",
    "Network",
    "NetworkConfig",
    "Output",
    "PublishedCheckpoint",
    "PublishedConfig",
    "PublishedVELoRA",
    "SingleStream",
    "SingleStreamConfig",
    "VELoRA",
    "VELoRAConfig",
    "build_backbone",
    "build_network",
    "read_published_checkpoint",
    "weights_sha256",
]

_HOMES = {
    "evlora.models.adapters": ("AdapterConfig",),
    "evlora.models.backbone": (
        "Backbone",
        "build_backbone",
        "weights_sha256",
    ),
    "evlora.models.build": ("build_network",),
    "evlora.models.config": (
        "BackboneConfig",
        "NetworkConfig",
        "PublishedConfig",
        "SingleStreamConfig",
        "VELoRAConfig",
    ),
    "evlora.models.network": (
        "Network",
        "Output",
    ),
    "evlora.models.published": (
        "PublishedCheckpoint",
        "PublishedVELoRA",
        "read_published_checkpoint",
    ),
    "evlora.models.single_stream": ("SingleStream",),
    "evlora.models.velora": ("VELoRA",),
}

__getattr__ = deferring.names_on_demand("evlora.models", _HOMES)
