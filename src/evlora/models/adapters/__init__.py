"""Adapters: a few weights added to frozen modules, through peft."""

from typing import TYPE_CHECKING

from evlora import deferring

if TYPE_CHECKING:
    from evlora.models.adapters.adapter_plus import AdapterPlusConfig
    from evlora.models.adapters.adaptformer import AdaptFormerConfig
    from evlora.models.adapters.adapting import adapt, train_backbone, unwrapped
    from evlora.models.adapters.aim import AimConfig
    from evlora.models.adapters.config import AdapterConfig
    from evlora.models.adapters.folding import fold, is_foldable
    from evlora.models.adapters.from_peft.adalora.schedule import (
        after_step,
        before_loading,
        before_saving,
        begin_training,
        fill_kept_ranks,
        load_training_state,
        training_state,
    )
    from evlora.models.adapters.from_peft.inputs_seen import (
        models_awaiting_inputs,
        starting_from_inputs,
    )
    from evlora.models.adapters.gps import (
        GpsConfig,
        Places,
        choosing_entries,
        models_choosing_entries,
    )
    from evlora.models.adapters.low_rank_pair import added_by_lora, require_low_rank_pair
    from evlora.models.adapters.lst import LstConfig
    from evlora.models.adapters.lv_adapter import LvAdapterConfig
    from evlora.models.adapters.methods import METHODS
    from evlora.models.adapters.moments import sees_moments, set_moments
    from evlora.models.adapters.ssf import SsfConfig
    from evlora.models.adapters.st_adapter import StAdapterConfig
    from evlora.models.adapters.vpt import VptConfig

__all__ = [
    "METHODS",
    "AdaptFormerConfig",
    "AdapterConfig",
    "AdapterPlusConfig",
    "AimConfig",
    "GpsConfig",
    "LstConfig",
    "LvAdapterConfig",
    "Places",
    "SsfConfig",
    "StAdapterConfig",
    "VptConfig",
    "adapt",
    "added_by_lora",
    "after_step",
    "before_loading",
    "before_saving",
    "begin_training",
    "choosing_entries",
    "fill_kept_ranks",
    "fold",
    "is_foldable",
    "load_training_state",
    "models_awaiting_inputs",
    "models_choosing_entries",
    "require_low_rank_pair",
    "sees_moments",
    "set_moments",
    "starting_from_inputs",
    "train_backbone",
    "training_state",
    "unwrapped",
]

_HOMES = {
    "evlora.models.adapters.adapter_plus": ("AdapterPlusConfig",),
    "evlora.models.adapters.adaptformer": ("AdaptFormerConfig",),
    "evlora.models.adapters.adapting": (
        "adapt",
        "train_backbone",
        "unwrapped",
    ),
    "evlora.models.adapters.aim": ("AimConfig",),
    "evlora.models.adapters.config": ("AdapterConfig",),
    "evlora.models.adapters.folding": (
        "fold",
        "is_foldable",
    ),
    "evlora.models.adapters.from_peft.adalora.schedule": (
        "after_step",
        "before_loading",
        "before_saving",
        "begin_training",
        "fill_kept_ranks",
        "load_training_state",
        "training_state",
    ),
    "evlora.models.adapters.from_peft.inputs_seen": (
        "starting_from_inputs",
        "models_awaiting_inputs",
    ),
    "evlora.models.adapters.gps": (
        "GpsConfig",
        "Places",
        "choosing_entries",
        "models_choosing_entries",
    ),
    "evlora.models.adapters.low_rank_pair": (
        "added_by_lora",
        "require_low_rank_pair",
    ),
    "evlora.models.adapters.lst": ("LstConfig",),
    "evlora.models.adapters.lv_adapter": ("LvAdapterConfig",),
    "evlora.models.adapters.methods": ("METHODS",),
    "evlora.models.adapters.ssf": ("SsfConfig",),
    "evlora.models.adapters.moments": (
        "sees_moments",
        "set_moments",
    ),
    "evlora.models.adapters.st_adapter": ("StAdapterConfig",),
    "evlora.models.adapters.vpt": ("VptConfig",),
}

__getattr__ = deferring.names_on_demand("evlora.models.adapters", _HOMES)
