"""Layers that compute the same with less time and memory; docs/performance.md shows how much."""

from evlora.models.config import IDEAS, Checkpointing, Idea
from evlora.models.fast.blocks import Settings, set_blocks, through
from evlora.models.fast.preparing import FROZEN_TYPES, Precision, cast_frozen_weights

__all__ = [
    "FROZEN_TYPES",
    "IDEAS",
    "Checkpointing",
    "Idea",
    "Precision",
    "Settings",
    "cast_frozen_weights",
    "set_blocks",
    "through",
]
