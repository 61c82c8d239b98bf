"""The catalogue of adapter methods: every one is added, named and refused in the same way.

A new method is one row in `METHODS`, one in docs/adapters.md, and one in the contract test.
"""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import torch
from peft import PeftModel, get_peft_model
from peft.tuners.adalora import AdaLoraLayer
from peft.tuners.boft import layer as boft_layer
from peft.tuners.lora import LoraLayer
from pydantic import Field, ValidationError, model_validator
from torch import Tensor, nn

from evlora.config import Config
from evlora.errors import AdapterError
from evlora.models.adapters.configurations import Settings
from evlora.models.adapters.lv_adapter import LvAdapterLayer
from evlora.models.adapters.methods import METHODS, Method, in_something
from evlora.models.adapters.sites import TARGETS, Site

__all__ = [
    "METHODS",
    "TARGETS",
    "AdapterConfig",
    "adapt",
    "added_by_lora",
    "require_low_rank_pair",
    "unwrapped",
]

SETTINGS = ("sites", "rank", "alpha", "dropout")
PAIR_METHODS = ("lora", "lv_adapter")


class AdapterConfig(Config):
    """Which adapter is put where. What is left out is the method's own default."""

    method: str = "lora"
    """A name of the catalogue; `none` trains the head alone, `full` the whole backbone."""
    sites: Site | None = None
    """Which layers carry one: ffn, attention or both of a block; all: the patch embedding as well;
    linear: every linear layer there is."""
    rank: int | None = Field(default=None, gt=0)
    """Rank r of the low-rank pair, or width of the bottleneck."""
    alpha: float | None = None
    """The pair's output is scaled by alpha / rank."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout in the adapter in training."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What only this method has, by name; docs/adapters.md lists it."""

    @model_validator(mode="after")
    def _require_what_the_method_has(self) -> "AdapterConfig":
        self.settings()
        return self

    def settings(self) -> Settings:
        """The settings with the method's defaults filled in.

        Raises:
            AdapterError: The method is unknown, or has no such setting or option.
        """
        method = self._row()
        for name in SETTINGS:
            # Recipes and bundles of old say a rank for `none` and `full` as well, which have
            # nothing it could be taken for.
            if getattr(method, name) is None and getattr(self, name) is not None and method.make:
                has = [other for other in SETTINGS if getattr(method, other) is not None]
                raise AdapterError(
                    f"adapter.{name}: {self.method} has no {name}; leave it out (it has "
                    f"{', '.join([*has, *_option_names(method)]) or 'nothing to set'}); over a "
                    f'recipe that sets it, write "model.adapter={{method: {self.method}}}"'
                )
        if self.sites == "all" and method.make and not method.adapts_convolutions:
            able = [name for name, row in METHODS.items() if row.adapts_convolutions]
            raise AdapterError(
                f"adapter.sites: {self.method} has no place in the patch embedding, which `all` "
                f"would adapt too; set sites to both, or method to one of {', '.join(able)}"
            )
        given = {name: getattr(self, name) for name in SETTINGS}
        chosen = {
            name: getattr(method, name) if value is None else value for name, value in given.items()
        }
        return Settings(**chosen, options=_options(self.method, method, self.options))

    def _row(self) -> Method:
        if self.method not in METHODS:
            raise AdapterError(
                f"adapter.method: no adapter is called {self.method!r}; "
                f"there are: {', '.join(METHODS)}"
            )
        return METHODS[self.method]


def adapt(module: nn.Module, config: AdapterConfig, *, name: str) -> nn.Module:
    """The module with adapters: a `PeftModel` around it, or itself for `none` and `full`.

    Args:
        module: Frozen; layers of it are replaced in place by adapted ones.
        config: Method, sites and size.
        name: What the module is called in a message.

    Raises:
        AdapterError: The method has no place in this module, or its settings do not suit it.
    """
    method = METHODS[config.method]
    if method.make is None:
        return module.requires_grad_(config.method == "full")
    try:
        peft_config = method.make(config.settings(), module)
        with _peft_kept_quiet():
            adapted = get_peft_model(cast(Any, in_something(module, method)), peft_config)
    except (AdapterError, ValueError, TypeError) as error:
        raise AdapterError(f"{name}: cannot add {config.method}: {error}") from error
    if method.afterwards is not None:
        method.afterwards(cast(PeftModel, adapted))
    return cast(nn.Module, adapted)


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside a `PeftModel`, with its adapted layers; any other module as it is."""
    return cast(nn.Module, module.base_model.model) if isinstance(module, PeftModel) else module


def require_low_rank_pair(config: AdapterConfig, *, where: str) -> None:
    """Check that this adapter has a low-rank pair that can be heard without the frozen layer.

    Raises:
        AdapterError: It has none.
    """
    has_pair = config.method == "lora" or config.settings().options.model_dump().get("pair")
    if config.method not in PAIR_METHODS or not has_pair:
        raise AdapterError(
            f"{where}: expected a method with a low-rank pair, {' or '.join(PAIR_METHODS)} "
            f"(with its pair), got {config.method}; set shared_adapter.method"
        )


def added_by_lora(layer: nn.Module, x: Tensor) -> Tensor:
    """What the low-rank pairs of a layer's active adapters add to its output.

    Args:
        layer: A linear layer adapted by LoRA, (α/r)·B·A·x, or by Lv-Adapter, s·B·A·x.
        x: Input of the layer, shape (B, N, D).

    Returns:
        Shape (B, N, D of the layer's output).

    Raises:
        AdapterError: The layer carries no low-rank pair.
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


def _option_names(method: Method) -> list[str]:
    return [f"options.{name}" for name in method.options.model_fields]


def _options(name: str, method: Method, given: dict[str, Any]) -> Config:
    try:
        return method.options.model_validate(given)
    except ValidationError as error:
        known = ", ".join(method.options.model_fields) or "none"
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: "
            + (
                "there is no such option"
                if fault["type"] == "extra_forbidden"
                else f"{fault['msg']}, got {fault['input']!r}"
            )
            for fault in error.errors()
        )
        raise AdapterError(f"adapter.options: {faults}; {name} has: {known}") from error


@contextmanager
def _peft_kept_quiet() -> Generator[None]:
    """Without two things that peft does for nothing.

    For BOFT it tries to compile a CUDA kernel, once per layer, unless this variable of its module
    is set; the kernel is for butterflies of several factors, which the catalogue leaves out. And
    its LN tuning warns that it does not support LayerNorm.
    """
    before = boft_layer._FBD_CUDA  # pyright: ignore[reportPrivateUsage]
    boft_layer._FBD_CUDA = before or False  # pyright: ignore[reportPrivateUsage]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Unsupported layer type.*LayerNorm", UserWarning)
            yield
    finally:
        boft_layer._FBD_CUDA = before  # pyright: ignore[reportPrivateUsage]
