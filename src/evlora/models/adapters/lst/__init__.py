"""LST (Sung et al., NeurIPS 2022): a small network beside the backbone, which gets no gradient."""

from evlora.models.adapters.lst.config import LstConfig
from evlora.models.adapters.lst.layer import LstLayer
from evlora.models.adapters.lst.method import METHOD
from evlora.models.adapters.lst.model import LstModel
from evlora.models.adapters.peft_registration import register

__all__ = ["METHOD", "LstConfig", "LstLayer", "LstModel"]

register(LstConfig, LstModel)
