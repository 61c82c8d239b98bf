"""What `get_peft_model` builds from an `LvAdapterConfig`."""

from typing import Any, cast

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters.blocks import Block, known_blocks_of
from evlora.models.adapters.lv_adapter.config import LvAdapterConfig
from evlora.models.adapters.lv_adapter.layer import LvAdapterLayer, require_foldable
from evlora.models.adapters.tuners import DiscoveringTuner


class LvAdapterModel(DiscoveringTuner):
    """A model with Lv-Adapters on its linear layers (our reading of the abstract)."""

    prefix: str = "lv_adapter_"
    tuner_layer_cls: type[BaseTunerLayer] = LvAdapterLayer

    def find_targets(self, config: PeftConfig, model: nn.Module) -> list[str]:
        """The linear layers at the configuration's sites."""
        blocks = known_blocks_of(model)
        if not blocks:
            raise AdapterError(
                f"lv_adapter: found no transformer blocks in {type(model).__name__} under the "
                "names that timm and transformers use; name the linear layers to adapt, such as "
                "LvAdapterConfig(target_modules=['fc1', 'fc2'])"
            )
        sites = cast(LvAdapterConfig, config).site_names
        return [name for block in blocks for site in sites for name in _at(block, site)]

    def make_layer(
        self, target: nn.Module, adapter_name: str, config: Any, *, parent: nn.Module, path: str
    ) -> LvAdapterLayer:
        """The linear layer with vector and pair."""
        layer = _require_linear(target, parent, path)
        return LvAdapterLayer(layer, adapter_name, config, path=path)

    def merge_adapter(
        self, adapter_names: list[str] | None = None, safe_merge: bool = False
    ) -> None:
        """Folds adapters into their layers, in a way that `unmerge_adapter` undoes exactly.

        Args:
            adapter_names: Which ones; None means the active ones.
            safe_merge: Whether to check first that the folded numbers are finite.

        Raises:
            AdapterError: One of them has an activation; nothing was merged then.
        """
        self._require_foldable(adapter_names)
        super().merge_adapter(adapter_names, safe_merge=safe_merge)

    def _unload_and_optionally_merge(
        self,
        merge: bool = True,
        progressbar: bool = False,
        safe_merge: bool = False,
        adapter_names: list[str] | None = None,
    ) -> Any:
        if merge:
            self._require_foldable(adapter_names)
        return super()._unload_and_optionally_merge(merge, progressbar, safe_merge, adapter_names)

    def _require_foldable(self, adapter_names: list[str] | None) -> None:
        configs = cast(dict[str, LvAdapterConfig], self.peft_config)
        require_foldable(configs, adapter_names or self.active_adapters)


def _at(block: Block, site: str) -> tuple[str, ...]:
    attention = block.attention_input + block.attention_output
    return {
        "attention_input": block.attention_input,
        "attention_output": block.attention_output,
        "attention": attention,
        "ffn": block.ffn,
        "both": attention + block.ffn,
    }[site]


def _require_linear(target: nn.Module, parent: nn.Module, name: str) -> nn.Linear:
    if isinstance(parent, nn.MultiheadAttention | nn.TransformerEncoderLayer):
        raise AdapterError(
            f"lv_adapter: {name} belongs to torch's {type(parent).__name__}, which reads its "
            "weight without calling the layer, so an adapter there would have no effect; "
            "name other layers in target_modules"
        )
    has_own_bias = getattr(parent, "q_bias", None) is not None
    if name.endswith(("qkv", "query", "key", "value")) and has_own_bias:
        if not hasattr(parent, "qkv_bias_separate"):
            raise AdapterError(
                f"lv_adapter: {name}: {type(parent).__name__} adds a bias of its own and may read "
                "the layer's weight without calling it, so that an adapter would have no effect; "
                "name other layers in target_modules"
            )
        # timm's way to have the layer called, and the bias added afterwards, which is the same
        cast(Any, parent).qkv_bias_separate = True
    if not isinstance(target, nn.Linear):
        raise AdapterError(
            f"lv_adapter: {name}: expected a torch.nn.Linear, got {type(target).__name__}; "
            "name linear layers in target_modules"
        )
    return target
