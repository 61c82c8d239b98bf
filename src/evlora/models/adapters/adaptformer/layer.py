"""A frozen FFN with bottlenecks beside it, y = FFN(n) + s·W_up(Dropout(ReLU(W_down·x))).

n is the FFN's input and x the residual stream before the norm that gave n, which the FFN never
sees. So the norm is wrapped too, and passes both on: a plain value that goes from one module to the
next, with no state between steps, also when the network is recomputed, compiled or copied.
"""

import math
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from evlora.errors import AdapterError
from evlora.models.adapters.adaptformer.config import AdaptFormerConfig
from evlora.models.adapters.tuners import ModuleLayer


class NormAndInput(nn.Module):
    """A norm that gives (its output, its input) to the FFN behind it.

    Args:
        base_layer: The frozen norm; it is put back when the model is unloaded.
    """

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer

    def get_base_layer(self) -> nn.Module:
        """The norm, under the name by which peft asks for it."""
        return self.base_layer

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The normalised tokens and the tokens themselves, each of the shape of x."""
        return self.base_layer(x), x


class AdaptFormerLayer(nn.Module, ModuleLayer):
    """An FFN with any number of named AdaptFormers.

    Args:
        base_layer: The frozen FFN; it stays unchanged, and is put back when the model is unloaded.
        adapter_name: Name of the first adapter.
        config: Its settings.
        path: What the FFN is called in a message.
        takes_residual: Whether the FFN's second argument is the residual stream, which it
            adds itself.
    """

    adapter_layer_names = ("adaptformer_down", "adaptformer_up")
    other_param_names = ("adaptformer_dropout", "adaptformer_config")

    def __init__(
        self,
        base_layer: nn.Module,
        adapter_name: str,
        config: AdaptFormerConfig,
        *,
        path: str,
        takes_residual: bool,
    ) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.path = path
        self.takes_residual = takes_residual
        self.adaptformer_down = nn.ModuleDict()
        self.adaptformer_up = nn.ModuleDict()
        self.adaptformer_dropout = nn.ModuleDict()
        self.adaptformer_config: dict[str, AdaptFormerConfig] = {}
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self._active_adapter: str | list[str] = adapter_name
        self.train(base_layer.training)
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: AdaptFormerConfig) -> None:
        """Adds an adapter of this name, which changes nothing before its first training step."""
        width_in, width_out = self._widths()
        if config.reads == "residual":
            width_in = width_out
        down = nn.Linear(width_in, config.bottleneck)
        up = nn.Linear(config.bottleneck, width_out)
        nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
        for parameter in (down.bias, up.weight, up.bias):
            nn.init.zeros_(parameter)
        self.adaptformer_down[adapter_name] = down
        self.adaptformer_up[adapter_name] = up
        self.adaptformer_dropout[adapter_name] = nn.Dropout(config.dropout).train(self.training)
        self.adaptformer_config[adapter_name] = config
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters)

    def forward(
        self, received: Tensor | tuple[Tensor, Tensor], *args: Any, **kwargs: Any
    ) -> Tensor:
        """The FFN's output plus what the active adapters add, in the type of the FFN's own.

        Args:
            received: The FFN's input, shape (…, D); or that and the residual stream, where the norm
                before it passes both on.
            args: What else the FFN takes.
            kwargs: The same, by name.

        Returns:
            Shape (…, D).

        Raises:
            AdapterError: An adapter is to read the residual stream, and none came.
        """
        if isinstance(received, tuple):
            x, residual = received
        else:
            x, residual = received, (args[0] if self.takes_residual and args else None)
        output = cast(Tensor, self.base_layer(x, *args, **kwargs))
        if self.disable_adapters:
            return output
        for name in self.active_adapters:
            if name not in self.adaptformer_config:
                continue
            seen = x if self.adaptformer_config[name].reads == "ffn" else residual
            if seen is None:
                raise AdapterError(
                    f"adaptformer: {self.path} was called without the residual stream, so its norm "
                    "is not directly before it; give the right one as norm=, or let the adapter "
                    "read the FFN's own input with reads='ffn'"
                )
            output = output + self._added(name, seen).to(output.dtype)
        return output

    def _added(self, name: str, x: Tensor) -> Tensor:
        down, up = cast(
            tuple[nn.Linear, nn.Linear], (self.adaptformer_down[name], self.adaptformer_up[name])
        )
        hidden = functional.relu(down(self._cast_input_dtype(x, down.weight.dtype)))
        return self.adaptformer_config[name].scale * up(self.adaptformer_dropout[name](hidden))

    def _widths(self) -> tuple[int, int]:
        linear = [part for part in self.base_layer.modules() if isinstance(part, nn.Linear)]
        if not linear:
            raise AdapterError(
                f"adaptformer: {self.path}: expected an FFN with linear layers, got "
                f"{type(self.base_layer).__name__} without any; name FFNs in target_modules"
            )
        return linear[0].in_features, linear[-1].out_features
