"""What a low-rank pair adds, without the frozen layer that it sits on."""

import torch
from peft.tuners.adalora import AdaLoraLayer
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from evlora.errors import AdapterError
from evlora.models.adapters.config import AdapterConfig
from evlora.models.adapters.lv_adapter import LvAdapterLayer

PAIR_METHODS = ("lora", "lv_adapter")


def require_low_rank_pair(config: AdapterConfig, *, where: str) -> None:
    """Check that this adapter has a low-rank pair that works without the frozen layer.

    Raises:
        AdapterError: It has none.
    """
    has_pair = config.method == "lora" or config.settings().options.model_dump().get("pair")
    if config.method not in PAIR_METHODS or not has_pair:
        raise AdapterError(
            f"{where}: expected a method with a low-rank pair, {' or '.join(PAIR_METHODS)} "
            f"(with its pair), got {config.method}; set shared_adapter.method"
        )
    options = config.settings().options.model_dump()
    if options.get("dora") or options.get("init") in ("pissa", "olora", "orthogonal"):
        raise AdapterError(
            f"{where}: expected a pair that adds nothing at the start and works without the frozen "
            f"weights, got options {config.options}; remove dora and init from them"
        )
    if config.target_modules is not None:
        raise AdapterError(
            f"{where}: expected the pairs of the FFN, got shared_adapter.target_modules: "
            f"{config.target_modules!r}; remove it"
        )


def added_by_lora(layer: nn.Module, x: Tensor) -> Tensor:
    """What the low-rank pairs of a layer's active adapters add to its output.

    Args:
        layer: A linear layer adapted by LoRA, (α/r)·B·A·x, or by Lv-Adapter, s·B·A·x.
        x: Input of the layer, shape (B, N, D).

    Returns:
        Shape (B, N, D of the layer's output).

    Raises:
        AdapterError: The layer has no low-rank pair.
    """
    parts: list[Tensor] = []
    if isinstance(layer, LvAdapterLayer):
        names = [name for name in layer.active_adapters if name in layer.lv_adapter_down]
        parts = [layer.pair(name, x) for name in names]
    elif isinstance(layer, LoraLayer) and not isinstance(layer, AdaLoraLayer):
        parts = [
            layer.lora_B[name](layer.lora_A[name](layer.lora_dropout[name](x)))
            * layer.scaling[name]
            for name in layer.active_adapters
        ]
    if not parts:
        raise AdapterError(
            "expected a layer adapted by lora or lv_adapter, with its low-rank pair, got "
            f"{type(layer).__name__}; give the shared adapter sites that hold the FFN"
        )
    return torch.stack(parts).sum(dim=0) if len(parts) > 1 else parts[0]
