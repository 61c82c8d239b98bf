"""A transformer block with an ST-Adapter before it.

As released, there is no activation, the convolution starts at zero, so that nothing changes at the
start, and class token and registers have no adapter of their own: they see time through attention.
Here they pass the bottleneck like all other tokens, so that it suits networks whose tokens it does
not know the order of.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from evlora.models.adapters.blocks import width_of
from evlora.models.adapters.moments import SeesMoments, by_clip
from evlora.models.adapters.st_adapter.config import StAdapterConfig
from evlora.models.adapters.tuners import ModuleLayer


class StAdapterLayer(nn.Module, ModuleLayer, SeesMoments):
    """A frozen transformer block with a bottleneck on its input, for each adapter's name."""

    adapter_layer_names = ("st_adapter_down", "st_adapter_up", "st_adapter_taps", "st_adapter_bias")

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: StAdapterConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.st_adapter_down = nn.ModuleDict()
        self.st_adapter_up = nn.ModuleDict()
        self.st_adapter_taps = nn.ParameterDict()
        self.st_adapter_bias = nn.ParameterDict()
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: StAdapterConfig) -> None:
        """Add an adapter of this name, which changes nothing before its first training step."""
        width = width_of(self.get_base_layer())
        down, up = nn.Linear(width, config.rank), nn.Linear(config.rank, width)
        nn.init.zeros_(down.bias)
        nn.init.zeros_(up.bias)
        self.st_adapter_down[adapter_name] = down
        self.st_adapter_up[adapter_name] = up
        self.st_adapter_taps[adapter_name] = nn.Parameter(torch.zeros(config.kernel, config.rank))
        self.st_adapter_bias[adapter_name] = nn.Parameter(torch.zeros(config.rank))
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=bool(config.inference_mode))

    def forward(self, tokens: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The block's output for its adapted input, shape (B·T, N, D), or (B·T, H, W, D)."""
        if not self.disable_adapters:
            for name in self.active_adapters:
                if name in self.st_adapter_taps:
                    tokens = tokens + self._added(name, tokens).to(tokens.dtype)
        return self.base_layer(tokens, *args, **kwargs)

    def _added(self, name: str, tokens: Tensor) -> Tensor:
        taps, bias = self.st_adapter_taps[name], self.st_adapter_bias[name]
        hidden = self.st_adapter_down[name](tokens.to(taps.dtype))  # (B·T, …, R)
        return self.st_adapter_up[name](over_moments(hidden, taps, self.moments) + bias)

    def __repr__(self) -> str:
        return f"st_adapter.{super().__repr__()}"


def over_moments(x: Tensor, taps: Tensor, moments: int) -> Tensor:
    """A depth-wise convolution over the moments of each clip, with zeros beyond its borders.

    Args:
        x: Shape (B·T, …, R).
        taps: Weights by moment, earliest first, shape (K, R), K odd.
        moments: T.

    Returns:
        The shape of x.
    """
    reach = len(taps) // 2
    clips = by_clip(x, moments)  # (B, T, …, R)
    around = pad(clips, [0, 0] * (clips.ndim - 2) + [reach, reach])  # T + K − 1 moments
    parts = [around[:, k : k + moments] * tap for k, tap in enumerate(taps)]
    return torch.stack(parts).sum(dim=0).flatten(0, 1)
