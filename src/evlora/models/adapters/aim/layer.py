"""A transformer block with AIM's three adapters.

The first block also adds a position to the tokens of each moment. Positions and the last layers of
all bottlenecks start at zero, so that nothing changes at the start, as released.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from evlora.errors import AdapterError
from evlora.models.adapters.aim.config import AimConfig
from evlora.models.adapters.blocks import (
    ATTENTION_NAMES,
    FIRST_NORM_NAMES,
    child_called,
    width_of,
)
from evlora.models.adapters.moments import SeesMoments, by_clip
from evlora.models.adapters.tuners import ModuleLayer

PLACES = ("temporal", "spatial", "joint")


class AimLayer(nn.Module, ModuleLayer, SeesMoments):
    """A frozen transformer block with three bottlenecks, for each adapter's name.

    Args:
        base_layer: The block, whose attention and FFN have norms before them.
        adapter_name: Name of the first adapter.
        config: Its settings.
        is_first: Whether it adds the positions of moments.
    """

    adapter_layer_names = ("aim_down", "aim_up", "aim_positions")
    other_param_names = ("aim_scale",)

    def __init__(
        self, base_layer: nn.Module, adapter_name: str, config: AimConfig, *, is_first: bool
    ) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.is_first = is_first
        self.aim_down = nn.ModuleDict()
        self.aim_up = nn.ModuleDict()
        self.aim_positions = nn.ParameterDict()
        self.aim_scale: dict[str, float] = {}
        self._inside: list[str] = []
        """The adapters that attention and FFN have while this layer calls the block."""
        self._attention().register_forward_hook(self._behind)
        cast(Any, base_layer).mlp.register_forward_hook(self._beside)
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: AimConfig) -> None:
        """Add three bottlenecks of this name, which change nothing before the first step."""
        width = width_of(self.get_base_layer())
        down = nn.ModuleDict({place: nn.Linear(width, config.rank) for place in PLACES})
        up = nn.ModuleDict({place: nn.Linear(config.rank, width) for place in PLACES})
        for layer in up.values():
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
        self.aim_down[adapter_name], self.aim_up[adapter_name] = down, up
        self.aim_scale[adapter_name] = config.scale
        if self.is_first:
            self.aim_positions[adapter_name] = nn.Parameter(torch.zeros(config.moments, width))
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=bool(config.inference_mode))

    def forward(self, tokens: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The block's output for tokens that see the other moments, shape (B·T, N, D)."""
        names = [name for name in self.active_adapters if name in self.aim_scale]
        if self.disable_adapters or not names:
            return self.base_layer(tokens, *args, **kwargs)
        for name in names:
            if name in self.aim_positions:
                tokens = tokens + self._positions(name, tokens)
        over_time = self._over_time(tokens)
        for name in names:
            tokens = tokens + self._bottleneck(name, "temporal", over_time)
        self._inside = names
        try:
            return self.base_layer(tokens, *args, **kwargs)
        finally:
            self._inside = []

    def _positions(self, name: str, tokens: Tensor) -> Tensor:
        """The position of each image's moment, shape (B·T, 1, D)."""
        known: Tensor = self.aim_positions[name]
        if self.moments > len(known):
            raise AdapterError(
                f"aim: expected clips of at most {len(known)} moments, got {self.moments}; set "
                "model.adapter.options.moments to clip.frames or more"
            )
        clips = tokens.shape[0] // self.moments
        return known[: self.moments].repeat(clips, 1).unsqueeze(1).to(tokens.dtype)

    def _over_time(self, tokens: Tensor) -> Tensor:
        """The block's attention over the moments of each place, shape (B·T, N, D) to the same."""
        norm = cast(tuple[str, nn.Module], child_called(self.base_layer, FIRST_NORM_NAMES))[1]
        clips = by_clip(norm(tokens), self.moments)  # (B, T, N, D)
        of_places = clips.transpose(1, 2)  # (B, N, T, D)
        attended = self._attention()(of_places.flatten(0, 1))
        attended = attended[0] if isinstance(attended, tuple) else attended
        return attended.view_as(of_places).transpose(1, 2).flatten(0, 1)

    def _attention(self) -> nn.Module:
        return cast(tuple[str, nn.Module], child_called(self.base_layer, ATTENTION_NAMES))[1]

    def _bottleneck(self, name: str, place: str, x: Tensor) -> Tensor:
        down, up = (cast(Any, parts[name])[place] for parts in (self.aim_down, self.aim_up))
        return up(functional.gelu(down(x.to(down.weight.dtype)))).to(x.dtype)

    def _behind(self, _attention: nn.Module, _given: Any, output: Any) -> Any:
        """The attention's output a + S(a)."""
        a: Tensor = output[0] if isinstance(output, tuple) else output
        for name in self._inside:
            a = a + self._bottleneck(name, "spatial", a)
        return (a, *output[1:]) if isinstance(output, tuple) else a

    def _beside(self, _ffn: nn.Module, given: tuple[Any, ...], output: Tensor) -> Tensor:
        """The FFN's output + s·J of its input."""
        for name in self._inside:
            output = output + self.aim_scale[name] * self._bottleneck(name, "joint", given[0])
        return output

    def __repr__(self) -> str:
        return f"aim.{super().__repr__()}"
