"""GPS as a peft tuner."""

from typing import Any

from peft import PeftConfig
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters.blocks import known_blocks_of
from evlora.models.adapters.gps.layer import GpsLayer
from evlora.models.adapters.tuners import DiscoveringTuner


class GpsModel(DiscoveringTuner):
    """A network of whose weights single entries are trained (Zhang et al., CVPR 2024)."""

    prefix: str = "gps_"
    tuner_layer_cls = GpsLayer

    def find_targets(self, config: PeftConfig, model: nn.Module) -> list[str]:
        """The linear layers of attention and FFN of all transformer blocks."""
        blocks = known_blocks_of(model)
        if not blocks:
            raise AdapterError(
                f"gps: found no transformer blocks in {type(model).__name__} under the names that "
                "timm and transformers use; name the linear layers, such as "
                "GpsConfig(target_modules=['fc1', 'fc2'])"
            )
        return [
            name
            for block in blocks
            for name in (*block.attention_input, *block.attention_output, *block.ffn)
        ]

    def make_layer(
        self, target: nn.Module, adapter_name: str, config: Any, *, parent: nn.Module, path: str
    ) -> GpsLayer:
        """The linear layer with a sparse change of its weight."""
        if not isinstance(target, nn.Linear):
            raise AdapterError(
                f"gps: {path}: expected a torch.nn.Linear, got {type(target).__name__}; "
                "name linear layers in target_modules"
            )
        return GpsLayer(target, adapter_name, config, path=path)
