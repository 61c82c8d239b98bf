"""VPT-deep as a peft tuner."""

from typing import Any

from peft import PeftConfig
from timm.models.vision_transformer import ResPostBlock
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters.blocks import (
    FIRST_NORM_NAMES,
    blocks_of,
    child_called,
    is_local,
    width_of,
)
from evlora.models.adapters.tuners import UnfoldableTuner
from evlora.models.adapters.vpt.layer import VptLayer


class VptModel(UnfoldableTuner):
    """A network with prompt tokens in every block (Jia et al., ECCV 2022)."""

    prefix: str = "vpt_"
    tuner_layer_cls = VptLayer
    unfoldable_because = "prompt tokens are inputs, not a change of weights"

    def find_targets(self, config: PeftConfig, model: nn.Module) -> list[str]:
        """The attention of every transformer block."""
        names: list[str] = []
        for block in blocks_of(model):
            name, attention = block.attention
            _require_plain(block.module, attention)
            names.append(name)
        if not names:
            raise AdapterError(
                f"{type(model).__name__}: vpt adds tokens to the attention of transformer blocks, "
                "and there is none"
            )
        return names

    def make_layer(
        self, target: nn.Module, adapter_name: str, config: Any, *, parent: nn.Module, path: str
    ) -> VptLayer:
        """The attention with prompt tokens."""
        norm = _require_plain(parent, target)
        return VptLayer(target, adapter_name, config, norm=norm, width=width_of(parent))


def _require_plain(block: nn.Module, attention: nn.Module) -> nn.Module:
    if is_local(block, attention):
        raise AdapterError(
            f"{type(block).__name__}: vpt needs attention over all tokens; this one runs within "
            "windows or by relative position, where a prompt token has no place; use another method"
        )
    norm = child_called(block, FIRST_NORM_NAMES)
    if norm is None or isinstance(block, ResPostBlock):
        raise AdapterError(
            f"{type(block).__name__}: vpt expects a norm before the attention, called "
            f"{', '.join(FIRST_NORM_NAMES[:-1])} or {FIRST_NORM_NAMES[-1]}; use another method"
        )
    return norm[1]
