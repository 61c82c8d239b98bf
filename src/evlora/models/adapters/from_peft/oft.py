"""OFT (Qiu et al., NeurIPS 2023): W·R·x + b, R orthogonal and made of blocks."""

import re
from typing import Any

from peft import OFTConfig
from torch import nn

from evlora.config import Config
from evlora.errors import AdapterError
from evlora.messages import listed
from evlora.models.adapters.blocks import linear_layers
from evlora.models.adapters.method import Method, Settings, at_the_sites, options_of


class OftOptions(Config):
    """How the rotation is computed."""

    is_exact: bool = False
    """Whether the rotation is Cayley's own, or the first terms of its series, which is faster."""


def divisible_targets(module: nn.Module, settings: Settings) -> str:
    """The layers at the sites.

    Raises:
        AdapterError: `block_size` does not divide the width of a layer's input.
    """
    pattern, block_size = at_the_sites(module, settings) or "", settings.options.block_size
    widths = {
        name: layer.in_features
        for name, layer in linear_layers(module).items()
        if re.fullmatch(pattern, name) and layer.in_features % block_size
    }
    if widths:
        name, width = next(iter(widths.items()))
        fitting = [size for size in (64, 32, 16, 8, 4, 2) if width % size == 0]
        raise AdapterError(
            f"adapter.options.block_size: expected a divisor of the width of every layer's input, "
            f"got {block_size}, and {name} takes {width}; of use there: "
            f"{listed(fitting, at_most=len(fitting))}"
        )
    return pattern


def series_or_exact(settings: Settings) -> dict[str, Any]:
    """Whether peft computes the rotation by a series."""
    return {"use_cayley_neumann": not settings.options.is_exact}


METHOD = Method(
    OFTConfig,
    sites="attention",
    settings={"dropout": "module_dropout"},
    options=options_of(
        OFTConfig, more=OftOptions, block_size="oft_block_size", at_least={"block_size": 2}
    ),
    computed=series_or_exact,
    find_targets=divisible_targets,
)
