"""A transformer block with the rung of a side network beside it.

s_i = block_i(μ_i·s_{i−1} + (1 − μ_i)·W_i·z_i), where z_i is what the frozen block gives and
μ = sigmoid(α / 0.1) a gate, as published. Behind the last block W_up·s is added to z. W_up starts
at zero, so that nothing changes at the start; published, the side network alone goes on to the
head, and starts from pruned weights of the backbone.
"""

from typing import Any, cast

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from evlora.errors import AdapterError
from evlora.models.adapters.blocks import width_of
from evlora.models.adapters.lst.config import LstConfig
from evlora.models.adapters.tuners import ModuleLayer

TEMPERATURE = 0.1
"""Of the gates."""


class Side:
    """What a rung leaves for the next one, by adapter; the layers of a network share it."""

    def __init__(self) -> None:
        self.left: dict[str, Tensor] = {}


class LstLayer(nn.Module, ModuleLayer):
    """A frozen transformer block and a rung beside it, for each adapter's name.

    Args:
        base_layer: The block.
        adapter_name: Name of the first adapter.
        config: Its settings.
        side: What the rung before leaves for this one; all layers have the same.
        begins: Whether no rung is before it.
        joins: Whether the side network is added to the backbone here.
    """

    adapter_layer_names = ("lst_down", "lst_gate", "lst_block", "lst_up")

    def __init__(
        self,
        base_layer: nn.Module,
        adapter_name: str,
        config: LstConfig,
        *,
        side: Side,
        begins: bool,
        joins: bool,
    ) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.side = side
        self.begins = begins
        self.joins = joins
        self.lst_down = nn.ModuleDict()
        self.lst_gate = nn.ParameterDict()
        self.lst_block = nn.ModuleDict()
        self.lst_up = nn.ModuleDict()
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: LstConfig) -> None:
        """Add a rung of this name, which changes nothing before its first training step."""
        width = width_of(self.get_base_layer())
        self.lst_down[adapter_name] = nn.Linear(width, config.rank)
        self.lst_block[adapter_name] = Block(config.rank, config.heads, qkv_bias=True)
        if not self.begins:
            self.lst_gate[adapter_name] = nn.Parameter(torch.zeros(()))
        if self.joins:
            up = nn.Linear(config.rank, width)
            nn.init.zeros_(up.weight)
            nn.init.zeros_(up.bias)
            self.lst_up[adapter_name] = up
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=bool(config.inference_mode))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The block's output; of a tuple, the first is what the side network reads and is added to.

        Raises:
            AdapterError: The blocks were not called one after the other.
        """
        output = self.base_layer(*args, **kwargs)
        if self.disable_adapters:
            return output
        z: Tensor = output[0] if isinstance(output, tuple) else output  # (B, N, D), (B, H, W, D)
        tokens = z
        for name in self.active_adapters:
            if name not in self.lst_down:
                continue
            climbed = self._climbed(name, z)
            if self.joins:
                tokens = tokens + self.lst_up[name](climbed).to(z.dtype)
            else:
                self.side.left = {**self.side.left, name: climbed}
        return (tokens, *output[1:]) if isinstance(output, tuple) else tokens

    def _climbed(self, name: str, z: Tensor) -> Tensor:
        """What the side network is behind this rung, shape (B, …, R)."""
        down = cast(nn.Linear, self.lst_down[name])
        seen: Tensor = down(z.to(down.weight.dtype))
        if not self.begins:
            left = dict(self.side.left)
            before = left.pop(name, None)
            self.side.left = left
            if before is None or before.shape != seen.shape:
                raise AdapterError(
                    "lst: expected the blocks of a network to be called one after the other, with "
                    f"the same tokens; a rung for {tuple(seen.shape)} found "
                    f"{'none' if before is None else tuple(before.shape)} before it. Do not "
                    "recompute blocks (set_grad_checkpointing): nothing in them is kept for the "
                    "way back"
                )
            gate = (self.lst_gate[name] / TEMPERATURE).sigmoid()
            seen = gate * before + (1 - gate) * seen
        return self.lst_block[name](seen.flatten(1, -2)).view_as(seen)

    def __repr__(self) -> str:
        return f"lst.{super().__repr__()}"
