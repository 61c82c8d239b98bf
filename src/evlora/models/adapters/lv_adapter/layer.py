"""A frozen linear layer with Lv-Adapters: y = v ⊙ (W·(u ⊙ x) + b) + s·B·A·x + c, our reading.

Several active adapters apply one after the other: each has the layer with those before it in the
place of W·x + b, which is also what merging them one after the other gives.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn
from torch.nn import functional

from evlora.errors import AdapterError
from evlora.models.adapters.lv_adapter.config import LvAdapterConfig


class LvAdapterLayer(nn.Module, BaseTunerLayer):
    """A linear layer with any number of named Lv-Adapters.

    Args:
        base_layer: The frozen layer; unchanged, and put back when the model is unloaded.
        adapter_name: Name of the first adapter.
        config: Its settings.
        path: Name of the layer in the network.
    """

    adapter_layer_names = (
        "lv_adapter_vector",
        "lv_adapter_input_vector",
        "lv_adapter_shift",
        "lv_adapter_down",
        "lv_adapter_up",
    )
    other_param_names = ("lv_adapter_dropout", "lv_adapter_config")

    def __init__(
        self, base_layer: nn.Linear, adapter_name: str, config: LvAdapterConfig, *, path: str = ""
    ) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.path = path
        self.in_features, self.out_features = base_layer.in_features, base_layer.out_features
        self.lv_adapter_vector = nn.ParameterDict()
        self.lv_adapter_input_vector = nn.ParameterDict()
        self.lv_adapter_shift = nn.ParameterDict()
        self.lv_adapter_down = nn.ModuleDict()
        self.lv_adapter_up = nn.ModuleDict()
        self.lv_adapter_dropout = nn.ModuleDict()
        self.lv_adapter_config: dict[str, LvAdapterConfig] = {}
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self._unmerged: tuple[nn.Parameter, nn.Parameter | None] | None = None
        self._active_adapter: str | list[str] = adapter_name
        self.train(base_layer.training)
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: LvAdapterConfig) -> None:
        """Adds an adapter of this name, which changes nothing before its first training step."""
        self.lv_adapter_config[adapter_name] = config
        if config.has_output_vector:
            self.lv_adapter_vector[adapter_name] = nn.Parameter(torch.ones(self.out_features))
        if config.has_input_vector:
            self.lv_adapter_input_vector[adapter_name] = nn.Parameter(torch.ones(self.in_features))
        has_bias = cast(Tensor | None, self.base_layer.bias) is not None
        if config.shift and has_bias:
            self.lv_adapter_shift[adapter_name] = nn.Parameter(torch.zeros(self.out_features))
        rank = config.rank_of(self.path)
        if rank > 0:
            down = nn.Linear(self.in_features, rank, bias=False)
            up = nn.Linear(rank, self.out_features, bias=False)
            _initialise(down.weight, config.initialisation)
            nn.init.zeros_(up.weight)
            self.lv_adapter_down[adapter_name] = down
            self.lv_adapter_up[adapter_name] = up
            self.lv_adapter_dropout[adapter_name] = nn.Dropout(config.dropout).train(self.training)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters)

    def forward(self, x: Tensor) -> Tensor:
        """The adapted layer's output, in the type of the layer's own.

        Args:
            x: Shape (…, D of the input).

        Returns:
            Shape (…, D of the output).
        """
        if self.disable_adapters and self.merged:
            self.unmerge()
        if self.disable_adapters or self.merged:
            return self.base_layer(x)
        output, dtype = self._adapted(self.active_adapters, x)
        return output.to(dtype)

    def _adapted(self, names: Sequence[str], x: Tensor) -> tuple[Tensor, torch.dtype]:
        """The output with the first of these adapters innermost, and the type of the layer's."""
        if not names:
            output = self.base_layer(x)
            return output, output.dtype
        *before, name = names
        # Vectors stay near 1, where half precision is coarse: products are taken in their type.
        inner = x
        if name in self.lv_adapter_input_vector:
            inner = (x * self.input_vector(name)).to(x.dtype)
        output, dtype = self._adapted(before, inner)
        if name in self.lv_adapter_vector:
            output = output * self.output_vector(name)
        if name in self.lv_adapter_shift:
            output = output + self.shift(name)
        if name in self.lv_adapter_down:
            output = output + self.pair(name, x)
        return output, dtype

    def output_vector(self, name: str) -> Tensor:
        """What the adapter multiplies the output by, v, shape (D of the output,)."""
        return self._away_from_one(self.lv_adapter_vector[name], name)

    def input_vector(self, name: str) -> Tensor:
        """What it multiplies the input by, u, shape (D of the input,)."""
        return self._away_from_one(self.lv_adapter_input_vector[name], name)

    def shift(self, name: str) -> Tensor:
        """What it adds to the output, c, shape (D of the output,)."""
        return self.lv_adapter_config[name].vector_scale * self.lv_adapter_shift[name]

    def _away_from_one(self, stored: Tensor, name: str) -> Tensor:
        scale = self.lv_adapter_config[name].vector_scale
        return stored if scale == 1 else 1 + scale * (stored - 1)

    def pair(self, name: str, x: Tensor) -> Tensor:
        """What the low-rank pair of this adapter adds, s·B·A·x, shape (…, D of the output)."""
        config = self.lv_adapter_config[name]
        down, up = self._down_and_up(name)
        x = self.lv_adapter_dropout[name](self._cast_input_dtype(x, down.weight.dtype))
        hidden = _activated(down(x), config.activation)
        return up(config.scale * hidden)  # s where it is cheapest: there is no bias behind it

    def _down_and_up(self, name: str) -> tuple[nn.Linear, nn.Linear]:
        return cast(
            tuple[nn.Linear, nn.Linear], (self.lv_adapter_down[name], self.lv_adapter_up[name])
        )

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Folds adapters into the layer: it gets a new weight and bias, the old ones are kept.

        The layer's own parameters are not written into, since other modules may share them.

        Args:
            safe_merge: Whether to check first that the folded numbers are finite.
            adapter_names: Which ones; None means the active ones.

        Raises:
            AdapterError: An adapter has an activation, or gives numbers that are not finite.
        """
        names = [
            name
            for name in check_adapters_to_merge(cast(Any, self), adapter_names)
            if name in self.lv_adapter_config
        ]
        require_foldable(self.lv_adapter_config, names)
        base = self.base_layer
        before = cast(tuple[nn.Parameter, nn.Parameter | None], (base.weight, base.bias))
        weight, bias = cast(tuple[Tensor, Tensor | None], before)
        for name in names:
            weight, bias = self._folded(name, weight, bias)
            if safe_merge and not (weight.isfinite().all() and _is_finite(bias)):
                raise AdapterError(
                    f"cannot merge the adapter {name!r}: it holds numbers that are not finite; "
                    "it was damaged in training, go back to an earlier state of it"
                )
        if not names:
            return
        if self._unmerged is None:
            self._unmerged = before
        base.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            base.bias = nn.Parameter(bias, requires_grad=False)
        self.merged_adapters.extend(names)

    def unmerge(self) -> None:
        """Puts back the very weight and bias that were there before merging."""
        if self._unmerged is None:
            return
        base = self.base_layer
        weight, bias = self._unmerged
        # The model may have moved to another device or type meanwhile.
        weight.data = weight.data.to(base.weight.device, base.weight.dtype)
        if bias is not None:
            bias.data = bias.data.to(base.weight.device, base.weight.dtype)
            base.bias = bias
        base.weight = weight
        self._unmerged = None
        self.merged_adapters.clear()

    @torch.no_grad()
    def _folded(
        self, name: str, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        # In single precision at least: 16 bits would lose small changes.
        precise = torch.promote_types(weight.dtype, torch.float32)
        folded, folded_bias = weight.to(precise), None if bias is None else bias.to(precise)
        if name in self.lv_adapter_vector:
            vector = self.output_vector(name).to(precise)
            folded = vector[:, None] * folded
            folded_bias = None if folded_bias is None else vector * folded_bias
        if name in self.lv_adapter_input_vector:
            folded = folded * self.input_vector(name).to(precise)
        if name in self.lv_adapter_shift and folded_bias is not None:
            folded_bias = folded_bias + self.shift(name).to(precise)
        if name in self.lv_adapter_down:
            down, up = (part.weight.to(precise) for part in self._down_and_up(name))
            folded = folded + self.lv_adapter_config[name].scale * (up @ down)
        return (
            folded.to(weight.dtype),
            None if bias is None or folded_bias is None else folded_bias.to(bias.dtype),
        )


def require_foldable(configs: dict[str, LvAdapterConfig], names: list[str]) -> None:
    """Refuses to merge an adapter with an activation, by name.

    Raises:
        AdapterError: One of these adapters cannot be folded into its layer.
    """
    for name in names:
        if name in configs and not configs[name].is_foldable:
            raise AdapterError(
                f"cannot merge the adapter {name!r}: it has activation="
                f"{configs[name].activation!r} between A and B, so it is no linear map that W "
                "could take up; use the model unmerged, or train with activation='none'"
            )


def _activated(hidden: Tensor, activation: str) -> Tensor:
    if activation == "relu":
        return functional.relu(hidden)
    return functional.gelu(hidden) if activation == "gelu" else hidden


def _initialise(weight: Tensor, initialisation: str) -> None:
    if initialisation == "kaiming":
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5))  # as LoRA's A
    elif initialisation == "normal":
        nn.init.normal_(weight, std=1 / math.sqrt(weight.shape[1]))
    else:
        nn.init.orthogonal_(weight)


def _is_finite(bias: Tensor | None) -> bool:
    return bias is None or bool(bias.isfinite().all())
