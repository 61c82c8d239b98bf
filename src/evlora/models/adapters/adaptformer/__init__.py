"""AdaptFormer as a peft tuner: a bottleneck beside each FFN (Chen et al., NeurIPS 2022)."""

from evlora.models.adapters.adaptformer.config import AdaptFormerConfig
from evlora.models.adapters.adaptformer.layer import AdaptFormerLayer
from evlora.models.adapters.adaptformer.method import METHOD
from evlora.models.adapters.adaptformer.model import AdaptFormerModel
from evlora.models.adapters.peft_registration import register

__all__ = ["METHOD", "AdaptFormerConfig", "AdaptFormerLayer", "AdaptFormerModel"]

register(AdaptFormerConfig, AdaptFormerModel)
