"""What the tuners of this package have in common, as peft sees them.

They find their targets by what modules are, not by what a library calls the network.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import torch
from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils.peft_types import PeftType
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters.blocks import exactly


@dataclass
class TunerConfig(PeftConfig):
    """What the configurations of these tuners have in common."""

    method_name: ClassVar[str]
    """As in the catalogue, which is also the name that peft knows, in lower case."""

    target_modules: list[str] | str | None = field(
        default=None,
        metadata={
            "help": "Names of modules (their ends suffice) or a regular expression over whole "
            "names. None: the method finds its own."
        },
    )
    exclude_modules: list[str] | str | None = field(
        default=None, metadata={"help": "Names or a regular expression of modules to skip."}
    )
    modules_to_save: list[str] | None = field(
        default=None,
        metadata={
            "help": "Names of modules to train whole and to save beside the adapter, such as a "
            "new classifier."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType(self.method_name.upper())

    def require(self, name: str, holds: bool, expected: str) -> None:
        """Check a setting.

        Args:
            name: Of the field.
            holds: Whether its value is one of those expected.
            expected: In words.

        Raises:
            AdapterError: It is not.
        """
        if not holds:
            raise AdapterError(
                f"{self.method_name}: {name}: expected {expected}, got {getattr(self, name)!r}"
            )


class DiscoveringTuner(BaseTuner):
    """A peft tuner that finds its targets itself where its configuration names none."""

    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012 (as peft declares it)

    def _prepare_adapter_config(self, peft_config: Any, model_config: Any) -> Any:
        return peft_config  # the targets are found in the network itself, in `_prepare_model`

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
            AdapterError: This method cannot adapt such a module.
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


class ModuleLayer(BaseTunerLayer):
    """A layer of peft around a module that has no weight of its own, such as an FFN or a block.

    Its adapters lie on the device, and unless they are kept in single precision in the number type,
    of the module's first weight of floating point.
    """

    def _get_base_layer_device_and_dtype(
        self, base_layer: nn.Module
    ) -> tuple[torch.device | None, torch.dtype | None]:
        weights = (weight for weight in base_layer.parameters() if weight.is_floating_point())
        first = next(weights, None)
        return (None, None) if first is None else (first.device, first.dtype)


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
