"""What a run does to a network before its first step: frozen weights in half precision.

Nothing of it is saved: adapters, head and the SHA-256 of the backbone are those of the network as
it was built.
"""

from collections.abc import Iterator
from typing import Literal

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
FROZEN_TYPES: dict[Precision, torch.dtype] = {
    "bf16-mixed": torch.bfloat16,
    "16-mixed": torch.float16,
}
"""In which type frozen weights lie under each precision; the others as they are."""


def cast_frozen_weights(backbone: nn.Module, precision: Precision) -> dict[str, Tensor]:
    """Put a frozen backbone's matrices into the type that autocast would give them in every call.

    Args:
        backbone: A tree that holds all of its parameters; adapters and whatever is trained stay as
            they are, and so do norms, which autocast leaves in float32.
        precision: Of the run.

    Returns:
        What was cast, as it was, by its name without adapters.
    """
    dtype = FROZEN_TYPES.get(precision)
    exact: dict[str, Tensor] = {}
    if dtype is None:
        return exact
    adapters = {id(part) for layer in _adapted(backbone) for part in _beside_base(layer)}
    for path, module in backbone.named_modules():
        if type(module) not in (nn.Linear, nn.Conv2d) or id(module) in adapters:
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad and parameter.dtype == torch.float32:
                exact[f"{path}.{name}".replace(".base_layer", "")] = parameter.data
                parameter.data = parameter.data.to(dtype)
    return exact


def _adapted(backbone: nn.Module) -> list[nn.Module]:
    return [module for module in backbone.modules() if isinstance(module, BaseTunerLayer)]


def _beside_base(layer: nn.Module) -> Iterator[nn.Module]:
    for name, child in layer.named_children():
        if name != "base_layer":
            yield from child.modules()
