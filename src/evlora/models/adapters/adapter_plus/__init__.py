"""Adapter+ (Steitz and Roth, CVPR 2024): a bottleneck behind each block."""

from evlora.models.adapters.adapter_plus.config import AdapterPlusConfig
from evlora.models.adapters.adapter_plus.layer import AdapterPlusLayer
from evlora.models.adapters.adapter_plus.method import METHOD
from evlora.models.adapters.adapter_plus.model import AdapterPlusModel
from evlora.models.adapters.peft_registration import register

__all__ = ["METHOD", "AdapterPlusConfig", "AdapterPlusLayer", "AdapterPlusModel"]

register(AdapterPlusConfig, AdapterPlusModel)
