"""What a network consists of, as adapters see it: its layers and its transformer blocks.

The tuners of this package find their targets by what modules are, not by what a library calls them.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import nn

from evlora.errors import AdapterError

ATTENTION_NAMES = ("attn", "self_attn", "attention")
"""What timm and transformers call the attention of a block."""
FFN_NAMES = ("mlp", "intermediate")
"""What they call its feed-forward network."""
FIRST_NORM_NAMES = ("norm1", "layer_norm1", "layernorm_before")
"""What they call the norm before the attention."""


class DiscoveringTuner(BaseTuner):
    """A peft tuner that finds its targets itself where its configuration names none."""

    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012 (as peft declares it)

    def _prepare_adapter_config(self, peft_config: Any, model_config: Any) -> Any:
        return peft_config  # the network itself is asked, in `_prepare_model`

    def _prepare_model(self, peft_config: Any, model: nn.Module) -> None:
        if peft_config.target_modules is None:
            peft_config.target_modules = exactly(self.find_targets(peft_config, model))

    def find_targets(self, config: PeftConfig, model: nn.Module) -> list[str]:
        """The names of the modules that this method adapts.

        Raises:
            AdapterError: There is none.
        """
        raise NotImplementedError

    def make_layer(
        self, target: nn.Module, adapter_name: str, config: Any, *, parent: nn.Module, path: str
    ) -> BaseTunerLayer:
        """The layer that takes the place of a target, with its first adapter.

        Args:
            target: The module to adapt.
            adapter_name: What the adapter is called.
            config: The configuration of this method.
            parent: The module that holds the target.
            path: Full name of the target in the network.

        Raises:
            AdapterError: This method has no place in such a module.
        """
        raise NotImplementedError

    def _create_and_replace(  # noqa: PLR0917 - peft's own signature
        self,
        peft_config: Any,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, self.tuner_layer_cls):
            cast(Any, target).update_layer(adapter_name, peft_config)
            return
        layer = self.make_layer(target, adapter_name, peft_config, parent=parent, path=current_key)
        if adapter_name not in self.active_adapters:
            cast(nn.Module, layer).requires_grad_(False)  # a further adapter waits until it is set
        self._replace_module(parent, target_name, layer, target)


class UnfoldableTuner(DiscoveringTuner):
    """A tuner whose adapters cannot become part of the frozen weights."""

    unfoldable_because: str
    """The reason, as the end of a sentence."""

    def _check_merge_allowed(self) -> None:
        raise AdapterError(
            f"cannot merge {type(self).__name__.removesuffix('Model')}: "
            f"{self.unfoldable_because}; keep the adapter beside the network"
        )

    def merge_adapter(
        self, adapter_names: list[str] | None = None, safe_merge: bool = False
    ) -> None:
        """Refuse.

        Raises:
            AdapterError: Always.
        """
        self._check_merge_allowed()


def modules_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module of the network by name, adapted ones as they were before; adapters left out."""
    adapted: list[str] = []
    for name, module in model.named_modules():
        if any(name.startswith(f"{outer}.") for outer in adapted):
            continue
        if isinstance(module, BaseTunerLayer):
            adapted.append(name)
            yield name, module.get_base_layer()
        else:
            yield name, module


def names_where(model: nn.Module, holds: Callable[[nn.Module], bool]) -> list[str]:
    """The names of the modules for which this holds, the network itself left out."""
    return [name for name, module in modules_of(model) if name and holds(module)]


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers of the network by name."""
    return {name: layer for name, layer in modules_of(model) if isinstance(layer, nn.Linear)}


def is_block(module: nn.Module) -> bool:
    """Whether a module is a transformer block: attention and a feed-forward network in it."""
    children = dict(module.named_children())
    return any(name in children for name in ATTENTION_NAMES) and any(
        name in children for name in FFN_NAMES
    )


def child_called(module: nn.Module, names: Iterable[str]) -> tuple[str, nn.Module] | None:
    """The first of the module's children with one of these names."""
    children = dict(module.named_children())
    return next(((name, children[name]) for name in names if name in children), None)


def width_of(block: nn.Module) -> int:
    """D of a transformer block's tokens, from its norms.

    Raises:
        AdapterError: It has no norm that tells.
    """
    # Its own norms first: one inside the attention may be as wide as a single head.
    for module in (*block.children(), *block.modules()):
        shape = getattr(module, "normalized_shape", None)
        if shape is not None:
            return shape[-1]
    raise AdapterError(
        f"{type(block).__name__}: expected a norm in the block, which tells the width of its "
        "tokens, found none"
    )


def exactly(names: Iterable[str]) -> str:
    """A regular expression for these names and no others, as peft's `target_modules` takes it."""
    return "|".join(re.escape(name) for name in names)


def some(names: Iterable[str], *, at_most: int = 8) -> str:
    """Names for a message, the rest counted."""
    listed = list(names)
    rest = f", and {len(listed) - at_most} more" if len(listed) > at_most else ""
    return ", ".join(listed[:at_most]) + rest if listed else "none"
