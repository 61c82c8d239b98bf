"""The attention of a block that has prompt tokens.

VPT-deep puts prompt tokens before a block and replaces what the block makes of them before the
next one. A prompt's own output is never read: within a block, prompts matter only as keys and
values of its attention. So they go through the block's first norm with the other tokens, take part
in the attention, and are dropped there, before the FFN. The other tokens have the values that they
would have if the prompts had gone through the whole block (tested), at less cost, and code that
calls the blocks one by one sees no additional token.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from evlora.errors import AdapterError
from evlora.models.adapters.tuners import ModuleLayer
from evlora.models.adapters.vpt.config import VptConfig

PATCH_VALUES = 3 * 16 * 16
"""Of a patch, for the Xavier bound of the released code: √(6 / (3·P² + D))."""
INPUT_NAMES = ("hidden_states", "x")
"""What timm and transformers call the tokens that enter an attention."""


class VptLayer(nn.Module, ModuleLayer):
    """A frozen attention with prompt tokens, for each adapter's name.

    Args:
        base_layer: The attention.
        adapter_name: Name of the first adapter.
        config: How many tokens.
        norm: The norm before the attention, which the prompts pass as well; it stays the block's.
        width: D of the tokens.
    """

    adapter_layer_names = ("vpt_prompts",)
    other_param_names = ("vpt_dropout",)

    def __init__(
        self,
        base_layer: nn.Module,
        adapter_name: str,
        config: VptConfig,
        *,
        norm: nn.Module,
        width: int,
    ) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.vpt_prompts = nn.ParameterDict()
        self.vpt_dropout = nn.ModuleDict()
        self._norm = (norm,)  # in a tuple, so that it is not a child of this module too
        self._width = width
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: VptConfig) -> None:
        """Add prompt tokens of this name."""
        bound = math.sqrt(6 / (PATCH_VALUES + self._width))
        prompts = torch.empty(config.tokens, self._width).uniform_(-bound, bound)
        self.vpt_prompts[adapter_name] = nn.Parameter(prompts)
        self.vpt_dropout[adapter_name] = nn.Dropout(config.dropout)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=bool(config.inference_mode))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The attention's output for the tokens that it was called with.

        Raises:
            AdapterError: There is a mask or a rotary position, which prompts do not fit.
        """
        names = [name for name in self.active_adapters if name in self.vpt_prompts]
        if self.disable_adapters or not names:
            return self.base_layer(*args, **kwargs)
        positional = {f"argument {number}": value for number, value in enumerate(args[1:], start=2)}
        _require_nothing_by_position(positional | kwargs)
        place = None if args else next(name for name in INPUT_NAMES if name in kwargs)
        tokens: Tensor = args[0] if place is None else kwargs[place]  # (B, N, D), normed
        prompts = [self.vpt_dropout[name](self.vpt_prompts[name]) for name in names]
        normed = self._normed(torch.cat(prompts), tokens.dtype).to(tokens.dtype)
        joined = torch.cat([tokens, normed.expand(tokens.shape[0], -1, -1)], dim=1)
        if place is None:
            args = (joined, *args[1:])
        else:
            kwargs[place] = joined
        output = self.base_layer(*args, **kwargs)
        if isinstance(output, tuple):
            return (output[0][:, : tokens.shape[1]], *output[1:])
        return output[:, : tokens.shape[1]]

    def _normed(self, prompts: Tensor, dtype: torch.dtype) -> Tensor:
        """The prompts after the block's norm, which takes its own number type, or else this one."""
        norm = self._norm[0]
        weight = next(norm.parameters(), None)
        return norm(prompts.to(dtype if weight is None else weight.dtype))

    def __repr__(self) -> str:
        return f"vpt.{super().__repr__()}"


def _require_nothing_by_position(arguments: dict[str, Any]) -> None:
    """Refuse masks, rotary positions and the like: tensors with an entry for every token."""
    given = [
        name
        for name, value in arguments.items()
        if name not in INPUT_NAMES and isinstance(value, Tensor | tuple | list)
    ]
    if given:
        raise AdapterError(
            f"vpt: expected an attention without masks and rotary positions, got {given[0]}, which "
            "has no entry for the prompt tokens; use another method with this network"
        )
