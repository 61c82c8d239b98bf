"""AIM as a peft tuner."""

from typing import Any

from peft import PeftConfig
from timm.models.vision_transformer import ResPostBlock
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters.aim.layer import AimLayer
from evlora.models.adapters.blocks import (
    ATTENTION_NAMES,
    FIRST_NORM_NAMES,
    blocks_of,
    child_called,
    is_local,
    names_of_blocks,
)
from evlora.models.adapters.moments import SeesMoments
from evlora.models.adapters.tuners import UnfoldableTuner


class AimModel(UnfoldableTuner):
    """A network with three adapters in each block, one over time (Yang et al., ICLR 2023)."""

    prefix: str = "aim_"
    tuner_layer_cls = AimLayer
    unfoldable_because = "its bottlenecks have a non-linearity, and one of them mixes moments"

    def _prepare_model(self, peft_config: Any, model: nn.Module) -> None:
        super()._prepare_model(peft_config, model)
        names = [block.name for block in blocks_of(model)]
        adapted = [name for name in names if self._check_target_module_exists(peft_config, name)]
        self._first = adapted[0] if adapted else None

    def find_targets(self, config: PeftConfig, model: nn.Module) -> list[str]:
        """All transformer blocks."""
        return names_of_blocks(model, "aim adapts")

    def make_layer(
        self, target: nn.Module, adapter_name: str, config: Any, *, parent: nn.Module, path: str
    ) -> AimLayer:
        """The block with its three adapters."""
        _require_plain(target)
        return AimLayer(target, adapter_name, config, is_first=path == self._first)


def _require_plain(block: nn.Module) -> None:
    """Check that a block's attention can be used over time, and that its FFN is one module."""
    attention = child_called(block, ATTENTION_NAMES)
    if attention is None or is_local(block, attention[1]):
        raise AdapterError(
            f"{type(block).__name__}: aim uses the attention over moments as well, which is not "
            "possible where it runs within windows or by relative position; use another method"
        )
    if isinstance(attention[1], SeesMoments):
        raise AdapterError(
            "aim: expected an attention that sees one moment, its heads see others "
            "(moment_heads); set model.adapter.moment_heads=0, or choose another method"
        )
    norm, ffn = child_called(block, FIRST_NORM_NAMES), child_called(block, ["mlp"])
    if norm is None or ffn is None or isinstance(block, ResPostBlock):
        raise AdapterError(
            f"{type(block).__name__}: aim expects a norm before the attention, called "
            f"{', '.join(FIRST_NORM_NAMES[:-1])} or {FIRST_NORM_NAMES[-1]}, and an FFN called mlp; "
            "use another method"
        )
