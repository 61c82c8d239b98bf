"""Which of the fast functions training uses, as an attribute of the layers that have one."""

from typing import NamedTuple, cast

import torch
from peft.tuners.lora.layer import Conv2d as LoraConvolution
from timm.models.eva import EvaBlock
from timm.models.vision_transformer import Block
from torch import nn

from evlora.models.config import Checkpointing, Idea


class Settings(NamedTuple):
    """How blocks and stems are computed in training."""

    ideas: frozenset[Idea]
    checkpointing: Checkpointing


PLAIN = Settings(frozenset(), "none")
SETTINGS = "fast_settings"
"""The attribute of a layer that holds its settings."""


def set_blocks(module: nn.Module, settings: Settings) -> None:
    """Let all blocks and convolutions of a network be computed so from now on."""
    for part in module.modules():
        if isinstance(part, Block | EvaBlock | LoraConvolution):
            setattr(part, SETTINGS, settings)
        if isinstance(part, LoraConvolution) and "convolution" in settings.ideas:
            weight = cast(nn.Conv2d, part.get_base_layer()).weight
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)


def settings_of(layer: nn.Module) -> Settings:
    """How a layer is computed now: as it is, unless in training and switched on."""
    settings: Settings = getattr(layer, SETTINGS, PLAIN)
    is_plain = settings == PLAIN or not torch.is_grad_enabled() or torch.compiler.is_compiling()
    return PLAIN if is_plain or torch.jit.is_tracing() else settings
