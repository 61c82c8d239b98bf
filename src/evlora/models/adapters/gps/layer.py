"""A frozen linear layer of whose weight some entries are trained: y = (W + S)·x + b.

S holds the same number of entries in each row, values and columns apart, so that both are saved as
small dense tensors.
"""

from typing import Any, cast

import torch
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn
from torch.nn import functional

from evlora.errors import AdapterError
from evlora.models.adapters.gps.config import GpsConfig


class Places(BufferDict):
    """The columns of the trained entries by adapter, shape (D of the output, entries) each."""

    def __init__(self) -> None:
        super().__init__(persistent=True)


class GpsLayer(nn.Module, BaseTunerLayer):
    """A linear layer with a sparse change of its weight, for each adapter's name.

    Args:
        base_layer: The frozen layer; unchanged, and put back when the model is unloaded.
        adapter_name: Name of the first adapter.
        config: Its settings.
        path: What the layer is called in a message.
    """

    adapter_layer_names = ("gps_change",)
    other_param_names = ("gps_places",)

    def __init__(
        self, base_layer: nn.Linear, adapter_name: str, config: GpsConfig, *, path: str
    ) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.path = path
        self.probe: Tensor | None = None
        """Zeros that are added to W while its gradient is looked at, else None."""
        self.gps_change = nn.ParameterDict()
        self.gps_places = Places()
        self.merged_adapters: list[str] = []
        self._unmerged: nn.Parameter | None = None
        self._active_adapter: str | list[str] = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: GpsConfig) -> None:
        """Add a change of this name, of the largest entries of each row, which starts at zero.

        Raises:
            AdapterError: A row has fewer entries.
        """
        weight = self.base_layer.weight
        if config.entries > weight.shape[1]:
            raise AdapterError(
                f"gps: {self.path}: expected at most its {weight.shape[1]} inputs as entries of "
                f"each row, got {config.entries}; set a lower number"
            )
        change = torch.zeros(weight.shape[0], config.entries)
        self.gps_change[adapter_name] = nn.Parameter(change)
        self.gps_places[adapter_name] = _largest(weight.detach(), config.entries)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=bool(config.inference_mode))

    def choose(self, adapter_name: str, gradient: Tensor) -> None:
        """Train the entries of the largest gradient from now on.

        Args:
            adapter_name: Of the change, which must be at its start.
            gradient: Of W.
        """
        places = cast(Tensor, self.gps_places[adapter_name])
        places.copy_(_largest(gradient, places.shape[1]))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        width = self.base_layer.weight.shape[1]
        for name, places in state_dict.items():
            if name.startswith(f"{prefix}gps_places.") and (
                places.min() < 0 or places.max() >= width
            ):
                raise AdapterError(
                    f"gps: {name}: expected columns 0…{width - 1}, got {int(places.min())} to "
                    f"{int(places.max())}; the file is damaged, or of another network"
                )
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, x: Tensor) -> Tensor:
        """The adapted layer's output, shape (…, D of the input) to (…, D of the output)."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        names = [name for name in self.active_adapters if name in self.gps_change]
        if self.disable_adapters or self.merged or not names:
            return self.base_layer(x)
        weight = self._changed(names)
        if self.probe is not None:
            weight = weight + self.probe
        bias = cast(Tensor | None, self.base_layer.bias)
        bias = None if bias is None else bias.to(weight.dtype)
        output = functional.linear(x.to(weight.dtype), weight, bias)
        return output if torch.is_autocast_enabled(x.device.type) else output.to(x.dtype)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Folds changes into the layer: it gets a new weight, the old one is kept.

        Args:
            safe_merge: Whether to check first that the folded numbers are finite.
            adapter_names: Which ones; None means the active ones.

        Raises:
            AdapterError: A change holds numbers that are not finite.
        """
        found = check_adapters_to_merge(cast(Any, self), adapter_names)
        names = [name for name in found if name in self.gps_change]
        if not names:
            return
        before = cast(nn.Parameter, self.base_layer.weight)
        folded = self._changed(names).detach().to(before.dtype)
        if safe_merge and not folded.isfinite().all():
            raise AdapterError(
                f"cannot merge the adapters {names}: they hold numbers that are not finite; "
                "they were damaged in training, go back to an earlier state"
            )
        if self._unmerged is None:
            self._unmerged = before
        self.base_layer.weight = nn.Parameter(folded, requires_grad=False)
        self.merged_adapters.extend(names)

    def unmerge(self) -> None:
        """Puts back the very weight that was there before merging."""
        if self._unmerged is None:
            return
        now = self.base_layer.weight
        self._unmerged.data = self._unmerged.data.to(now.device, now.dtype)
        self.base_layer.weight = self._unmerged
        self._unmerged = None
        self.merged_adapters.clear()

    def _changed(self, names: list[str]) -> Tensor:
        """W + S, in the more precise of both types."""
        weight: Tensor = self.base_layer.weight
        for name in names:
            change, places = self.gps_change[name], cast(Tensor, self.gps_places[name])
            dtype = torch.promote_types(weight.dtype, change.dtype)
            weight = weight.to(dtype).scatter_add(1, places.long(), change.to(dtype))
        return weight

    def __repr__(self) -> str:
        return f"gps.{super().__repr__()}"


def _largest(values: Tensor, count: int) -> Tensor:
    """The columns of the largest values of each row, without their signs, in ascending order."""
    return values.abs().topk(count, dim=1).indices.sort(dim=1).values.int()
