"""Visual prompt tuning, deep (VPT; Jia et al., ECCV 2022): prompt tokens before every block."""

from evlora.models.adapters.peft_registration import register
from evlora.models.adapters.vpt.config import VptConfig
from evlora.models.adapters.vpt.layer import VptLayer
from evlora.models.adapters.vpt.method import METHOD
from evlora.models.adapters.vpt.model import VptModel

__all__ = ["METHOD", "VptConfig", "VptLayer", "VptModel"]

register(VptConfig, VptModel)
