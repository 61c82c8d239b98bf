"""A transformer block with an Adapter+ behind it ("post": after the FFN's skip connection).

Place, channel-wise scale, biases, missing norm, bottleneck of 8, stochastic depth of 0.1 and the
truncated normal of standard deviation 0.01 are those of the released configuration.
"""

from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from evlora.models.adapters.adapter_plus.config import AdapterPlusConfig
from evlora.models.adapters.blocks import width_of
from evlora.models.adapters.tuners import ModuleLayer

HOULSBY_STD = 0.01


class AdapterPlusLayer(nn.Module, ModuleLayer):
    """A frozen transformer block with a bottleneck on its output, for each adapter's name."""

    adapter_layer_names = ("adapter_plus_down", "adapter_plus_up", "adapter_plus_scale")
    other_param_names = ("adapter_plus_dropout", "adapter_plus_drop_path")

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: AdapterPlusConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.adapter_plus_down = nn.ModuleDict()
        self.adapter_plus_up = nn.ModuleDict()
        self.adapter_plus_scale = nn.ParameterDict()
        self.adapter_plus_dropout = nn.ModuleDict()
        self.adapter_plus_drop_path = nn.ModuleDict()
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: AdapterPlusConfig) -> None:
        """Add an adapter of this name."""
        width = width_of(self.get_base_layer())
        down, up = nn.Linear(width, config.rank), nn.Linear(config.rank, width)
        for layer in (down, up):
            nn.init.trunc_normal_(
                layer.weight, std=HOULSBY_STD, a=-2 * HOULSBY_STD, b=2 * HOULSBY_STD
            )
            nn.init.zeros_(layer.bias)
        if config.init == "zero":
            nn.init.zeros_(up.weight)
        self.adapter_plus_down[adapter_name] = down
        self.adapter_plus_up[adapter_name] = up
        self.adapter_plus_scale[adapter_name] = nn.Parameter(torch.ones(width))
        self.adapter_plus_dropout[adapter_name] = nn.Dropout(config.dropout)
        self.adapter_plus_drop_path[adapter_name] = DropPath(config.drop_path)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=bool(config.inference_mode))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The block's output; of a tuple, the first is adapted."""
        output = self.base_layer(*args, **kwargs)
        if self.disable_adapters:
            return output
        if isinstance(output, tuple):
            return (self._adapted(output[0]), *output[1:])
        return self._adapted(output)

    def _adapted(self, y: Tensor) -> Tensor:  # (B, N, D), or (B, H, W, D) of timm's Swin
        for name in self.active_adapters:
            if name not in self.adapter_plus_down:
                continue
            scale = self.adapter_plus_scale[name]
            x = nn.functional.gelu(self.adapter_plus_down[name](y.to(scale.dtype)))
            x = self.adapter_plus_up[name](self.adapter_plus_dropout[name](x))
            x = self.adapter_plus_drop_path[name](x) * scale
            y = y + x.to(y.dtype)
        return y

    def __repr__(self) -> str:
        return f"adapter_plus.{super().__repr__()}"
