"""Scale and shift of features (SSF; Lian et al., NeurIPS 2022), and its half, BitFit."""

from evlora.models.adapters.peft_registration import register
from evlora.models.adapters.ssf.config import SsfConfig
from evlora.models.adapters.ssf.layer import SsfLayer
from evlora.models.adapters.ssf.method import METHOD
from evlora.models.adapters.ssf.model import SsfModel

__all__ = ["METHOD", "SsfConfig", "SsfLayer", "SsfModel"]

register(SsfConfig, SsfModel)
