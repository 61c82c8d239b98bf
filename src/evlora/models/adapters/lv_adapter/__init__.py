"""Lv-Adapter as a peft tuner: a vector and a low-rank pair on frozen linear layers.

Xu, Ye, Liu, Wen, Li, Wang: CVIU 2024, 104049. Only the abstract is public; what is here is our
reading of it, and is not confirmed by the authors.
"""

from evlora.models.adapters.lv_adapter.config import LvAdapterConfig
from evlora.models.adapters.lv_adapter.layer import LvAdapterLayer
from evlora.models.adapters.lv_adapter.method import METHOD
from evlora.models.adapters.lv_adapter.model import LvAdapterModel
from evlora.models.adapters.peft_registration import register

__all__ = ["METHOD", "LvAdapterConfig", "LvAdapterLayer", "LvAdapterModel"]

register(LvAdapterConfig, LvAdapterModel)
