"""Layers that compute the same with less time and memory; docs/performance.md shows how much."""

from evlora.models.config import IDEAS, Checkpointing, Idea
from evlora.models.fast.blocks import through, through_all
from evlora.models.fast.preparing import FROZEN_TYPES, Precision, cast_frozen_weights
from evlora.models.fast.settings import Settings, set_blocks
from evlora.models.fast.stem import through_convolution

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
    "through_all",
    "through_convolution",
]
