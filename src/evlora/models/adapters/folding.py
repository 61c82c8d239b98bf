"""Adapters as part of the frozen weights, for networks that only answer."""

from typing import cast

from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from evlora.models.adapters.methods import METHODS
from evlora.models.adapters.tuners import UnfoldableTuner


def is_foldable(adapted: PeftModel) -> bool:
    """Whether what these adapters compute can become part of the weights below them."""
    configs = adapted.peft_config.values()
    refused = [row.config for row in METHODS.values() if not row.is_foldable]
    is_refused = isinstance(adapted.base_model, UnfoldableTuner)
    return not is_refused and all(
        getattr(config, "is_foldable", True) and type(config) not in refused for config in configs
    )


def fold(adapted: PeftModel, *, keeps_pairs: bool = False) -> nn.Module:
    """The module with its adapters folded into the layers that carried them.

    Those layers get weights of their own first: the ones below them may be shared with other
    views, which fold something else into theirs. All other tensors stay shared.

    Args:
        adapted: Changed in place; fold a copy (`share_weights`) to keep the adapters.
        keeps_pairs: Whether the adapters stay beside the folded weights, for networks that also
            use a low-rank pair alone.

    Returns:
        The module without adapters, or `adapted` itself where they stay.

    Raises:
        AdapterError: The method cannot be folded; see `is_foldable`.
    """
    for layer in adapted.modules():
        if isinstance(layer, BaseTunerLayer):
            base = layer.get_base_layer()
            for name, parameter in list(base.named_parameters(recurse=False)):
                own = nn.Parameter(parameter.detach().clone(), requires_grad=False)
                base.register_parameter(name, own)
    if keeps_pairs:
        adapted.merge_adapter()
        return adapted
    return cast(nn.Module, adapted.merge_and_unload())
