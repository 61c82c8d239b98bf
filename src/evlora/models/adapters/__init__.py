"""Adapters: a few weights added to frozen modules, through peft."""

from evlora.models.adapters.catalogue import METHODS, AdapterConfig, adapt, added_by_lora, unwrapped

__all__ = ["METHODS", "AdapterConfig", "adapt", "added_by_lora", "unwrapped"]
