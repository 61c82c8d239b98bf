"""Adding an adapter to a network: every method in the same way, through peft."""

from typing import Any, cast

from peft import PeftModel, get_peft_model
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters.blocks import is_block
from evlora.models.adapters.config import AdapterConfig
from evlora.models.adapters.methods import METHODS


def adapt(module: nn.Module, config: AdapterConfig, *, name: str) -> nn.Module:
    """The module with adapters: a `PeftModel` around it, or itself for `none` and `full`.

    Args:
        module: Frozen; layers of it are replaced in place by adapted ones.
        config: Method, sites and size.
        name: What the module is called in a message.

    Raises:
        AdapterError: The method finds nothing to adapt in this module, or its settings do not suit
            it.
    """
    method = METHODS[config.method]
    if method.config is None:
        return module.requires_grad_(method.trains_backbone)
    # peft can replace parts of a network, but not the network itself.
    held = nn.Sequential(module) if method.adapts_blocks and is_block(module) else module
    try:
        peft_config = method.peft_config(config.settings(), module)
        with method.while_adapting():
            adapted = get_peft_model(cast(Any, held), peft_config)
    except (AdapterError, ValueError, TypeError) as error:
        raise AdapterError(f"{name}: cannot add {config.method}: {error}") from error
    if method.afterwards is not None:
        method.afterwards(cast(PeftModel, adapted))
    return cast(nn.Module, adapted)


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside a `PeftModel`, with its adapted layers; any other module as it is."""
    return cast(nn.Module, module.base_model.model) if isinstance(module, PeftModel) else module
