"""AIM (Yang et al., ICLR 2023): adapters in space, over time, and beside the FFN."""

from evlora.models.adapters.aim.config import AimConfig
from evlora.models.adapters.aim.layer import AimLayer
from evlora.models.adapters.aim.method import METHOD
from evlora.models.adapters.aim.model import AimModel
from evlora.models.adapters.peft_registration import register

__all__ = ["METHOD", "AimConfig", "AimLayer", "AimModel"]

register(AimConfig, AimModel)
