"""Adapters: a few weights added to frozen modules, through peft."""

from evlora.models.adapters.adapter_plus import AdapterPlusConfig
from evlora.models.adapters.adaptformer import AdaptFormerConfig
from evlora.models.adapters.catalogue import (
    METHODS,
    AdapterConfig,
    adapt,
    added_by_lora,
    require_low_rank_pair,
    unwrapped,
)
from evlora.models.adapters.lv_adapter import LvAdapterConfig
from evlora.models.adapters.schedule import (
    after_step,
    before_loading,
    before_saving,
    begin_training,
    load_training_state,
    training_state,
)
from evlora.models.adapters.ssf import SsfConfig
from evlora.models.adapters.vpt import VptConfig

__all__ = [
    "METHODS",
    "AdaptFormerConfig",
    "AdapterConfig",
    "AdapterPlusConfig",
    "LvAdapterConfig",
    "SsfConfig",
    "VptConfig",
    "adapt",
    "added_by_lora",
    "after_step",
    "before_loading",
    "before_saving",
    "begin_training",
    "load_training_state",
    "require_low_rank_pair",
    "training_state",
    "unwrapped",
]
