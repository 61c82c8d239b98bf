"""Adapter+ as a peft tuner."""

from typing import Any

from peft import PeftConfig
from torch import nn

from evlora.models.adapters.adapter_plus.layer import AdapterPlusLayer
from evlora.models.adapters.blocks import names_of_blocks
from evlora.models.adapters.tuners import UnfoldableTuner


class AdapterPlusModel(UnfoldableTuner):
    """A network with an Adapter+ behind each block (Steitz and Roth, CVPR 2024)."""

    prefix: str = "adapter_plus_"
    tuner_layer_cls = AdapterPlusLayer
    unfoldable_because = "its bottleneck has a non-linearity"

    def find_targets(self, config: PeftConfig, model: nn.Module) -> list[str]:
        """All transformer blocks."""
        return names_of_blocks(model, "adapter_plus sits behind")

    def make_layer(
        self, target: nn.Module, adapter_name: str, config: Any, *, parent: nn.Module, path: str
    ) -> AdapterPlusLayer:
        """The block with an adapter behind it."""
        return AdapterPlusLayer(target, adapter_name, config)
