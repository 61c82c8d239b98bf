"""GPS (Zhang et al., CVPR 2024): single entries of the weights, chosen by their gradient."""

from evlora.models.adapters.gps.choosing import choosing_entries, models_choosing_entries
from evlora.models.adapters.gps.config import GpsConfig
from evlora.models.adapters.gps.layer import GpsLayer, Places
from evlora.models.adapters.gps.method import METHOD
from evlora.models.adapters.gps.model import GpsModel
from evlora.models.adapters.peft_registration import register

__all__ = [
    "METHOD",
    "GpsConfig",
    "GpsLayer",
    "GpsModel",
    "Places",
    "choosing_entries",
    "models_choosing_entries",
]

register(GpsConfig, GpsModel)
