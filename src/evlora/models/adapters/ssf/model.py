"""SSF as a peft tuner."""

from typing import Any, cast

from peft import PeftConfig
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters.blocks import names_where
from evlora.models.adapters.ssf.config import SsfConfig
from evlora.models.adapters.ssf.layer import ADAPTABLE, SsfLayer
from evlora.models.adapters.tuners import DiscoveringTuner


class SsfModel(DiscoveringTuner):
    """A network whose layers have scales and shifts (Lian et al., NeurIPS 2022)."""

    prefix: str = "ssf_"
    tuner_layer_cls = SsfLayer

    def find_targets(self, config: PeftConfig, model: nn.Module) -> list[str]:
        """All linear, norm and patch layers; those with a bias where only the shift is wanted."""
        has_scale = cast(SsfConfig, config).scale

        def is_target(module: nn.Module) -> bool:
            if not isinstance(module, ADAPTABLE) or getattr(module, "weight", None) is None:
                return False
            return has_scale or module.bias is not None

        names = names_where(model, is_target)
        if not names:
            kind = "linear, norm or convolution layer" + ("" if has_scale else " with a bias")
            raise AdapterError(f"{type(model).__name__}: has no {kind}")
        return names

    def make_layer(
        self, target: nn.Module, adapter_name: str, config: Any, *, parent: nn.Module, path: str
    ) -> SsfLayer:
        """The layer with scale and shift."""
        return SsfLayer(target, adapter_name, config)
