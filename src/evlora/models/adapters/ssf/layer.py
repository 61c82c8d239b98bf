"""A layer whose output features are scaled and shifted: γ ⊙ y + β (Lian et al., equation 4)."""

from typing import Any, cast

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn

from evlora.errors import AdapterError
from evlora.models.adapters.ssf.config import SsfConfig

ADAPTABLE = (nn.Linear, nn.LayerNorm, nn.Conv2d, nn.Conv3d)
"""The layers that can take a scale and a shift, and can have them folded in."""


class SsfLayer(nn.Module, BaseTunerLayer):
    """A frozen layer with a scale and a shift per output feature, for each adapter's name."""

    adapter_layer_names = ("ssf_scale", "ssf_shift")

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: SsfConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.ssf_scale = nn.ParameterDict()
        self.ssf_shift = nn.ParameterDict()
        self.merged_adapters: list[str] = []
        self._unmerged: tuple[nn.Parameter, nn.Parameter | None] | None = None
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: SsfConfig) -> None:
        """Add an adapter of this name."""
        features = _features(self.get_base_layer())
        if config.scale:
            scale = torch.ones(features) + config.init_std * torch.randn(features)
            self.ssf_scale[adapter_name] = nn.Parameter(scale)
        if config.shift:
            shift = config.init_std * torch.randn(features)
            self.ssf_shift[adapter_name] = nn.Parameter(shift)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=bool(config.inference_mode))

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The layer's output, scaled and shifted by each active adapter in turn."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        y = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return y
        dtype = y.dtype
        for name in self.active_adapters:
            if name in self.ssf_scale:
                y = y * self._along_features(self.ssf_scale[name])
            if name in self.ssf_shift:
                y = y + self._along_features(self.ssf_shift[name])
        return y.to(dtype)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Fold the adapters into the layer: W ← γ ⊙ W, b ← γ ⊙ b + β.

        The layer gets parameters of its own; the frozen ones, which other views may share, are
        kept unchanged for `unmerge`.

        Args:
            safe_merge: Refuse numbers that are not finite.
            adapter_names: Which; the active ones if None.

        Raises:
            AdapterError: `safe_merge`, and a number is not finite.
        """
        base = cast(Any, self.get_base_layer())
        for name in check_adapters_to_merge(self, adapter_names) or ():
            if name not in self._get_available_adapters():
                continue
            weight, bias = base.weight.detach(), base.bias
            bias = None if bias is None else bias.detach()
            if name in self.ssf_scale:
                scale = self.ssf_scale[name].detach()
                weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
                bias = None if bias is None else bias * scale
            if name in self.ssf_shift:
                shift = self.ssf_shift[name].detach()
                bias = shift.clone() if bias is None else bias + shift
            if safe_merge and not all(t.isfinite().all() for t in (weight, bias) if t is not None):
                raise AdapterError(
                    f"cannot merge the adapter {name!r}: it holds numbers that are not finite; "
                    "it was damaged in training, go back to an earlier state of it"
                )
            if self._unmerged is None:
                self._unmerged = (base.weight, base.bias)
            dtype = base.weight.dtype
            base.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
            if bias is not None:
                base.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """Give the layer its frozen parameters back, exactly."""
        if self._unmerged is not None:
            base = cast(Any, self.get_base_layer())
            base.weight, base.bias = self._unmerged
            self._unmerged = None
        self.merged_adapters.clear()

    def _along_features(self, vector: Tensor) -> Tensor:
        base = self.get_base_layer()
        if isinstance(base, nn.Conv2d | nn.Conv3d):  # (B, D, H, W)
            return vector.reshape(-1, *[1] * len(base.kernel_size))
        return vector

    def __repr__(self) -> str:
        return f"ssf.{super().__repr__()}"


def _features(layer: nn.Module) -> int:
    if isinstance(layer, nn.Linear):
        return layer.out_features
    if isinstance(layer, nn.Conv2d | nn.Conv3d):
        return layer.out_channels
    if isinstance(layer, nn.LayerNorm) and layer.elementwise_affine:
        return layer.normalized_shape[-1]
    raise AdapterError(
        f"ssf: expected a Linear, LayerNorm (with weights), Conv2d or Conv3d, got "
        f"{type(layer).__name__}; remove it from target_modules"
    )
