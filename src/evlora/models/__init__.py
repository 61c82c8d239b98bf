"""Networks: tensors in, tensors out; they know nothing of files, clips or recipes."""

from evlora.models.adapters import AdapterConfig
from evlora.models.backbone import Backbone, BackboneConfig, build_backbone, weights_sha256
from evlora.models.build import NetworkConfig, build_network
from evlora.models.network import Network, Output
from evlora.models.published import PublishedConfig, PublishedVELoRA
from evlora.models.published.checkpoint import PublishedCheckpoint, read_published_checkpoint
from evlora.models.single_stream import SingleStream, SingleStreamConfig
from evlora.models.velora import VELoRA, VELoRAConfig

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
