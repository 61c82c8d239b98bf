"""ST-Adapter as a peft tuner."""

from typing import Any

from peft import PeftConfig
from torch import nn

from evlora.models.adapters.blocks import names_of_blocks
from evlora.models.adapters.st_adapter.layer import StAdapterLayer
from evlora.models.adapters.tuners import UnfoldableTuner


class StAdapterModel(UnfoldableTuner):
    """A network with an ST-Adapter before each block (Pan et al., NeurIPS 2022)."""

    prefix: str = "st_adapter_"
    tuner_layer_cls = StAdapterLayer
    unfoldable_because = "it mixes the moments of a clip before the first layer of a block"

    def find_targets(self, config: PeftConfig, model: nn.Module) -> list[str]:
        """All transformer blocks."""
        return names_of_blocks(model, "st_adapter sits before")

    def make_layer(
        self, target: nn.Module, adapter_name: str, config: Any, *, parent: nn.Module, path: str
    ) -> StAdapterLayer:
        """The block with a bottleneck over time before it."""
        return StAdapterLayer(target, adapter_name, config)
