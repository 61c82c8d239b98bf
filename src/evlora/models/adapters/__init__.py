"""Adapters: a few weights added to frozen modules, through peft."""

from evlora.models.adapters.catalogue import (
    METHODS,
    AdapterConfig,
    adapt,
    added_by_lora,
    require_low_rank_pair,
    unwrapped,
)
from evlora.models.adapters.schedule import (
    after_step,
    before_loading,
    before_saving,
    begin_training,
    load_training_state,
    training_state,
)

__all__ = [
    "METHODS",
    "AdapterConfig",
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
