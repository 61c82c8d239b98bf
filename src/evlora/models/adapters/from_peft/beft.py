"""BEFT (2025): a shift of the outputs of layers that have a bias, y + β."""

import re

from peft import BeftConfig
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters.blocks import exactly, linear_layers
from evlora.models.adapters.from_peft.row import row_of
from evlora.models.adapters.method import Settings, at_the_sites


def biased_targets(module: nn.Module, settings: Settings) -> str:
    """The layers at the sites that have a bias, into which a shift can be folded.

    Raises:
        AdapterError: None of them has one.
    """
    pattern = at_the_sites(module, settings) or ""
    layers = linear_layers(module)
    at_sites = {name: layer for name, layer in layers.items() if re.fullmatch(pattern, name)}
    names = [name for name, layer in at_sites.items() if "bias" in dict(layer.named_parameters())]
    if not names:
        raise AdapterError(
            f"expected layers with a bias, which beft shifts, got {len(at_sites)} without; choose "
            "other sites, or another method"
        )
    return exactly(names)


METHOD = row_of(BeftConfig, sites="attention", find_targets=biased_targets)
