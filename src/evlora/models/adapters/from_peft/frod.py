"""FRoD: bases that all layers of the same name share, and a sparse change of each in them."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

import torch
from peft import FrodConfig
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters.blocks import linear_layers
from evlora.models.adapters.from_peft.row import row_of
from evlora.models.adapters.method import Settings, at_the_sites


def equally_wide_targets(module: nn.Module, settings: Settings) -> str:
    """The layers at the sites.

    Raises:
        AdapterError: Two layers of the same name differ in width, so that they share no basis.
    """
    pattern = at_the_sites(module, settings) or ""
    first: dict[str, nn.Linear] = {}
    for name, layer in linear_layers(module).items():
        if not re.fullmatch(pattern, name):
            continue
        other = first.setdefault(".".join(name.split(".")[-2:]), layer)
        if other.weight.shape != layer.weight.shape:
            raise AdapterError(
                "expected layers of the same name to have the same widths, whose basis they "
                f"share, got {tuple(layer.weight.shape)} at {name} and "
                f"{tuple(other.weight.shape)} before; choose another method for this network"
            )
    return pattern


@contextmanager
def unchecked_sparse_matrices(*_: object) -> Generator[None]:
    """Choose torch's default explicitly; without it, torch warns of the first sparse matrix."""
    torch.sparse.check_sparse_tensor_invariants.disable()
    yield


ROW = row_of(
    FrodConfig,
    sites="attention",
    hidden=["runtime_offload_base_weight"],
    fixed={"progressbar": False},
    find_targets=equally_wide_targets,
)
METHOD = replace(ROW, while_adapting=unchecked_sparse_matrices)
