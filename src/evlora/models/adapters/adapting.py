"""Adding an adapter to a network: every method in the same way, through peft."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from peft import PeftModel, get_peft_model
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters.blocks import is_block, linear_layers
from evlora.models.adapters.config import AdapterConfig
from evlora.models.adapters.methods import METHODS
from evlora.models.adapters.moment_heads import give_moment_heads
from evlora.models.adapters.sites import is_named


def adapt(
    module: nn.Module,
    config: AdapterConfig,
    *,
    name: str,
    depth: int | None = None,
    stops: Sequence[int] = (),
) -> nn.Module:
    """The module with adapters: a `PeftModel` around it, or itself for `none` and `full`.

    Args:
        module: Frozen; layers of it are replaced in place by adapted ones.
        config: Method, sites and size.
        name: What the module is called in a message.
        depth: Blocks of the backbone that `config.blocks` counts from, where the module is a view
            of it that may lack the last ones; None is as many as the module has.
        stops: Numbers of the blocks, beside the last, from which the network takes tokens to do
            something else with them before the next block.

    Raises:
        AdapterError: The method finds nothing to adapt in this module, or its settings do not suit
            it.
    """
    method = METHODS[config.method]
    if config.moment_heads and not is_block(module):
        _give_moment_heads(module, config, name=name, depth=depth)
    if method.trains_backbone:
        return train_backbone(module, config, name=name, depth=depth)
    if method.config is None:
        return module.requires_grad_(False)
    skipped = _skipped(module, config, name=name, depth=depth)
    if skipped is not None and not skipped.has_any_left:
        return module.requires_grad_(False)
    if _holds_no_target(module, config, depth=depth):
        return module.requires_grad_(False)
    # peft can replace parts of a network, but not the network itself.
    held = nn.Sequential(module) if method.adapts_blocks and is_block(module) else module
    try:
        peft_config = method.peft_config(config.settings(), module)
        if skipped is not None:
            cast(Any, peft_config).exclude_modules = skipped.pattern
        if method.stops is not None:
            setattr(peft_config, method.stops, [*stops])
        with method.while_adapting(held, peft_config):
            adapted = get_peft_model(cast(Any, held), peft_config)
    except (AdapterError, ValueError, TypeError) as error:
        raise AdapterError(f"{name}: cannot add {config.method}: {error}") from error
    if method.afterwards is not None:
        method.afterwards(cast(PeftModel, adapted))
    return cast(nn.Module, adapted)


def train_backbone(
    module: nn.Module, config: AdapterConfig, *, name: str, depth: int | None = None
) -> nn.Module:
    """The module itself, of which all learns, or its last `config.blocks` and what follows them.

    Takes and raises what `adapt` does.
    """
    skipped = _skipped(module, config, name=name, depth=depth)
    for path, parameter in module.named_parameters():
        is_embedding = "." not in path  # class token, registers and positions
        is_frozen = skipped and (is_embedding or re.fullmatch(skipped.pattern, path))
        parameter.requires_grad_(not is_frozen)
    return module


def _give_moment_heads(
    module: nn.Module, config: AdapterConfig, *, name: str, depth: int | None
) -> None:
    blocks = list(cast(Any, module).blocks)
    first = 0 if config.blocks is None else max(0, (depth or len(blocks)) - config.blocks)
    try:
        give_moment_heads(blocks[first:], config.moment_heads)
    except AdapterError as error:
        raise AdapterError(f"{name}: adapter.{error}") from error


def _holds_no_target(module: nn.Module, config: AdapterConfig, *, depth: int | None) -> bool:
    """Whether this is a part of the backbone without any of the layers that a recipe names."""
    names = config.settings().target_modules
    if names is None:
        return False
    if not is_block(module) and (depth is None or depth <= len(cast(Any, module).blocks)):
        return False
    layers = linear_layers(module)
    return not any(is_named(layer, name) for layer in layers for name in names)


class _Skipped(NamedTuple):
    """What `AdapterConfig.blocks` excludes."""

    pattern: str
    """A regular expression over names of modules: blocks, and what comes before all of them."""
    has_any_left: bool
    """Whether the module has a block that is adapted."""


def _skipped(
    module: nn.Module, config: AdapterConfig, *, name: str, depth: int | None
) -> _Skipped | None:
    """What is not adapted of this module; None where all of it is."""
    if config.blocks is None or is_block(module):
        return None
    present = len(cast(Any, module).blocks)
    first = (depth or present) - config.blocks
    if first < 0:
        raise AdapterError(
            f"{name}: adapter.blocks: expected at most the backbone's {depth or present} blocks, "
            f"got {config.blocks}"
        )
    numbers = "|".join(map(str, range(first)))
    blocks = rf"|blocks\.({numbers})(\..+)?" if numbers else ""
    pattern = rf"patch_embed(\..+)?|norm_pre{blocks}"
    return _Skipped(pattern, present > first)


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside a `PeftModel`, with its adapted layers; any other module as it is."""
    return cast(nn.Module, module.base_model.model) if isinstance(module, PeftModel) else module
