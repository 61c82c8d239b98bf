"""Networks: tensors in, tensors out; they know nothing of files, clips or recipes."""

from evlora.models.adapters import AdapterConfig
from evlora.models.backbone import BackboneConfig, build_backbone, weights_sha256
from evlora.models.velora import Output, VELoRA, VELoRAConfig

__all__ = [
    "AdapterConfig",
    "BackboneConfig",
    "Output",
    "VELoRA",
    "VELoRAConfig",
    "build_backbone",
    "weights_sha256",
]
