"""The catalogue of adapter methods: name → peft configuration, with defaults that suit a ViT.

A new method is one row in `METHODS`, and its row in the contract test.
"""

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from evlora.config import Config
from evlora.errors import AdapterError

Site = Literal["ffn", "attention", "both"]

TARGETS: dict[Site, str] = {
    "ffn": r"(.*\.)?mlp\.(fc1|fc2)",
    "attention": r"(.*\.)?attn\.(qkv|proj)",
    "both": r"(.*\.)?(mlp\.(fc1|fc2)|attn\.(qkv|proj))",
}
"""The linear layers of a timm ViT by site, as regular expressions over module names."""


class AdapterConfig(Config):
    """Which adapter is put where."""

    method: str = "lora"
    """A name of the catalogue; `none` trains the head alone, `full` the whole backbone."""
    sites: Site = "ffn"
    """Which linear layers of each block carry one: ffn, attention or both."""
    rank: int = 4
    """Rank r of the low-rank pair."""
    alpha: float = 8.0
    """The pair's output is scaled by alpha / rank."""
    dropout: float = 0.01
    """Dropout on the pair's input in training."""


def _lora(config: AdapterConfig) -> PeftConfig:
    return LoraConfig(
        r=config.rank,
        lora_alpha=cast(int, config.alpha),  # peft divides by the rank, so any number will do
        lora_dropout=config.dropout,
        target_modules=TARGETS[config.sites],
    )


def _dora(config: AdapterConfig) -> PeftConfig:
    return LoraConfig(
        r=config.rank,
        lora_alpha=cast(int, config.alpha),
        lora_dropout=config.dropout,
        target_modules=TARGETS[config.sites],
        use_dora=True,
    )


METHODS: dict[str, Callable[[AdapterConfig], PeftConfig] | None] = {
    "none": None,
    "full": None,
    "lora": _lora,
    "dora": _dora,
}
"""Name → how its peft configuration is made; None where nothing is added to the model."""


def adapt(module: nn.Module, config: AdapterConfig, *, name: str) -> nn.Module:
    """The module with adapters: a `PeftModel` around it, or itself for `none` and `full`.

    Args:
        module: Frozen; its linear layers are replaced in place by adapted ones.
        config: Method, sites and size.
        name: What the module is called in a message.

    Raises:
        AdapterError: The method is unknown, its settings are wrong, or it matches no layer.
    """
    if config.method not in METHODS:
        raise AdapterError(
            f"adapter.method: no adapter is called {config.method!r}; "
            f"there are: {', '.join(METHODS)}"
        )
    make_peft_config = METHODS[config.method]
    if make_peft_config is None:
        return module.requires_grad_(config.method == "full")
    try:
        return get_peft_model(cast(Any, module), make_peft_config(config))
    except ValueError as error:
        raise AdapterError(f"{name}: cannot add {config.method}: {error}") from error


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside a `PeftModel`, with its adapted layers; any other module as it is."""
    return cast(nn.Module, module.base_model.model) if isinstance(module, PeftModel) else module


def added_by_lora(layer: nn.Module, x: Tensor) -> Tensor:
    """What the active LoRA adapters of a layer add to its output, (α/r)·B·A·x.

    Args:
        layer: A linear layer adapted by LoRA.
        x: Input of the layer, shape (B, N, D).

    Returns:
        Shape (B, N, D of the layer's output).

    Raises:
        AdapterError: The layer carries no LoRA.
    """
    if not isinstance(layer, LoraLayer):
        raise AdapterError(f"expected a layer adapted by LoRA, got {type(layer).__name__}")
    parts = [
        layer.lora_B[name](layer.lora_A[name](layer.lora_dropout[name](x))) * layer.scaling[name]
        for name in layer.active_adapters
    ]
    return torch.stack(parts).sum(dim=0) if len(parts) > 1 else parts[0]
