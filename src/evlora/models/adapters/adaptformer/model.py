"""What `get_peft_model` builds from an `AdaptFormerConfig`."""

from typing import Any

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters.adaptformer.layer import AdaptFormerLayer, NormAndInput
from evlora.models.adapters.blocks import FFN_NORM_NAMES, adds_residual_itself, known_blocks_of
from evlora.models.adapters.tuners import UnfoldableTuner


class AdaptFormerModel(UnfoldableTuner):
    """A model with AdaptFormers beside its FFNs."""

    prefix: str = "adaptformer_"
    tuner_layer_cls: type[BaseTunerLayer] = AdaptFormerLayer
    unfoldable_because: str = "its bottleneck has a ReLU"

    def find_targets(self, config: PeftConfig, model: nn.Module) -> list[str]:
        """The FFNs of all blocks."""
        blocks = known_blocks_of(model)
        if not blocks:
            raise AdapterError(
                f"adaptformer: found no transformer blocks in {type(model).__name__} under the "
                "names that timm and transformers use; name the FFNs, such as "
                "AdaptFormerConfig(target_modules=['ffn'])"
            )
        return [block.ffn_module for block in blocks]

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
        siblings = dict(parent.named_children())
        if peft_config.reads == "residual" and not adds_residual_itself(target_name, siblings):
            norm = _norm_before(current_key, siblings, peft_config.norm)
            if not isinstance(siblings[norm], NormAndInput):
                setattr(parent, norm, NormAndInput(siblings[norm]))
        super()._create_and_replace(
            peft_config, adapter_name, target, target_name, parent, current_key, parameter_name
        )

    def make_layer(
        self, target: nn.Module, adapter_name: str, config: Any, *, parent: nn.Module, path: str
    ) -> AdaptFormerLayer:
        """The FFN with a bottleneck beside it."""
        name, siblings = path.rpartition(".")[2], dict(parent.named_children())
        return AdaptFormerLayer(
            target,
            adapter_name,
            config,
            path=path,
            takes_residual=adds_residual_itself(name, siblings),
        )

    def _replace_module(
        self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module
    ) -> None:
        # peft's own moves the weight of a single layer over, which an FFN does not have.
        setattr(parent, child_name, new_module)


def _norm_before(path: str, siblings: dict[str, nn.Module], norm: str | None) -> str:
    sought = (norm,) if norm else FFN_NORM_NAMES
    for name in sought:
        if name in siblings:
            return name
    raise AdapterError(
        f"adaptformer: {path}: expected a norm beside it ({', '.join(sought)}), whose input is the "
        f"residual stream, found {', '.join(siblings)}; give its name as norm=, or let the adapter "
        "read the FFN's own input with reads='ffn'"
    )
