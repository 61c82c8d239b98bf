"""The methods: name → how its peft configuration is made, with defaults that suit a ViT.

Formulas, papers and counts are in docs/adapters.md.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from peft import (
    AdaLoraConfig,
    BOFTConfig,
    IA3Config,
    LNTuningConfig,
    LoraConfig,
    OFTConfig,
    PeftConfig,
    PeftModel,
    VeraConfig,
)
from peft.tuners.lora import LoraLayer
from pydantic import Field
from torch import nn

from evlora.config import Config
from evlora.errors import AdapterError
from evlora.models.adapters.adapter_plus import AdapterPlusConfig
from evlora.models.adapters.adaptformer import AdaptFormerConfig
from evlora.models.adapters.discovery import exactly, is_block, linear_layers, names_where, some
from evlora.models.adapters.lv_adapter import LvAdapterConfig
from evlora.models.adapters.sites import IA3_TARGETS, TARGETS, Site, targets
from evlora.models.adapters.ssf import SsfConfig
from evlora.models.adapters.vpt import VptConfig


@dataclass(frozen=True, slots=True)
class Settings:
    """What a method is made with, once its defaults are filled in."""

    sites: Site | Literal["own"] | None
    rank: int
    alpha: float
    dropout: float
    options: Any

    def targets(self, module: nn.Module, patterns: Mapping[Site, str] = TARGETS) -> str:
        """The linear layers at the sites, as a regular expression over their names."""
        return targets(module, cast(Site, self.sites), patterns)


class NoOptions(Config):
    """For methods that have nothing of their own to set."""


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the catalogue. A default of None says that the method has no such setting."""

    make: Callable[[Settings, nn.Module], PeftConfig] | None = None
    """From settings and the module that is adapted; None where nothing is added to it."""
    sites: Site | Literal["own"] | None = None
    """`own` where a method has a place of its own unless it is told one."""
    rank: int | None = None
    alpha: float | None = None
    dropout: float | None = None
    options: type[Config] = NoOptions
    is_foldable: bool = True
    """Whether what it adds can become part of the frozen weights."""
    afterwards: Callable[[PeftModel], None] | None = None
    """What remains to be done on the adapted module."""
    adapts_blocks: bool = False
    """Whether it adapts whole blocks, and so a block by itself must lie in something."""


def _lora(settings: Settings, module: nn.Module) -> LoraConfig:
    return LoraConfig(
        r=settings.rank,
        lora_alpha=cast(int, settings.alpha),  # peft divides by the rank, so any number will do
        lora_dropout=settings.dropout,
        target_modules=settings.targets(module),
    )


def _dora(settings: Settings, module: nn.Module) -> PeftConfig:
    config = _lora(settings, module)
    config.use_dora = True
    return config


def _freeze_the_first_factor(model: PeftModel) -> None:
    """A stays as it was drawn; peft keeps it so when adapters are switched."""
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            layer.frozen_peft_weight_names = dict.fromkeys(layer.active_adapters, ("lora_A",))
            layer.set_adapter(layer.active_adapters)


class AdaLoraOptions(Config):
    """Of AdaLoRA; its rank is what each layer has on average when the budget is spent."""

    initial_rank: int | None = None
    """The rank that each layer starts with; half as much again as the final one if not given."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """The share of the steps before the budget shrinks."""
    final: float = Field(default=0.3, ge=0, lt=1)
    """The share of the steps after it has shrunk."""
    every: int = Field(default=1, gt=0)
    """Steps from one allocation to the next."""


NOMINAL_STEPS = 1000
"""Stands for the length of a run, which AdaLoRA must know, until `begin_training` tells it."""


def _adalora(settings: Settings, module: nn.Module) -> PeftConfig:
    options: AdaLoraOptions = settings.options
    initial_rank = options.initial_rank or -(-3 * settings.rank // 2)
    if initial_rank <= settings.rank:
        raise AdapterError(
            f"adapter.options.initial_rank: expected more than the final rank {settings.rank}, "
            f"got {initial_rank}"
        )
    return AdaLoraConfig(
        init_r=initial_rank,
        target_r=settings.rank,
        lora_alpha=cast(int, settings.alpha),
        lora_dropout=settings.dropout,
        tinit=round(options.warmup * NOMINAL_STEPS),
        tfinal=round(options.final * NOMINAL_STEPS),
        total_step=NOMINAL_STEPS,
        deltaT=options.every,
        target_modules=settings.targets(module),
    )


class VeraOptions(Config):
    """Of VeRA."""

    initial_scale: float = 0.1
    """What the vector d starts with."""
    seed: int = 0
    """Of the two random matrices, which all layers share."""


def _vera(settings: Settings, module: nn.Module) -> PeftConfig:
    options: VeraOptions = settings.options
    return VeraConfig(
        r=settings.rank,
        vera_dropout=settings.dropout,
        d_initial=options.initial_scale,
        projection_prng_key=options.seed,
        target_modules=settings.targets(module),
    )


def _ia3(settings: Settings, module: nn.Module) -> PeftConfig:
    has_ffn = settings.sites in ("ffn", "both")
    return IA3Config(
        target_modules=settings.targets(module, IA3_TARGETS),
        feedforward_modules=IA3_TARGETS["ffn"] if has_ffn else [],
    )


class OftOptions(Config):
    """Of OFT."""

    block_size: int = Field(default=32, gt=1)
    """Width of the blocks that are rotated; it must divide the width of every layer's input."""
    is_exact: bool = False
    """Whether the rotation is Cayley's own, or the first terms of its series, which is faster."""


def _oft(settings: Settings, module: nn.Module) -> PeftConfig:
    options: OftOptions = settings.options
    target_modules = settings.targets(module)
    _require_divisible(module, target_modules, options.block_size)
    return OFTConfig(
        oft_block_size=options.block_size,
        use_cayley_neumann=not options.is_exact,
        module_dropout=settings.dropout,
        target_modules=target_modules,
    )


class BoftOptions(Config):
    """Of BOFT; its butterflies of more than one factor need a CUDA kernel, and are left out."""

    block_size: int = Field(default=4, gt=1)
    """Width of the blocks that are rotated; it must divide the width of every layer's input."""


def _boft(settings: Settings, module: nn.Module) -> PeftConfig:
    options: BoftOptions = settings.options
    target_modules = settings.targets(module)
    _require_divisible(module, target_modules, options.block_size)
    return BOFTConfig(
        boft_block_size=options.block_size,
        boft_dropout=settings.dropout,
        target_modules=target_modules,
    )


def _ln_tuning(settings: Settings, module: nn.Module) -> PeftConfig:
    norms = names_where(module, lambda layer: isinstance(layer, nn.LayerNorm))
    if not norms:
        raise AdapterError(f"{type(module).__name__} has no LayerNorm")
    return LNTuningConfig(target_modules=exactly(norms))


class LvAdapterOptions(Config):
    """Of Lv-Adapter."""

    vector: bool = True
    """Whether there is the vector v."""
    pair: bool = True
    """Whether there is the low-rank pair A, B."""
    activation: Literal["none", "relu", "gelu"] = "none"
    """Between A and B; with one, nothing can be folded in any more."""
    initialisation: Literal["kaiming", "normal", "orthogonal"] = "kaiming"
    """Of A."""
    scale: float = 1.0
    """s, on what the pair adds."""


def _lv_adapter(settings: Settings, module: nn.Module) -> PeftConfig:
    return LvAdapterConfig(
        target_modules=None if settings.sites == "own" else settings.targets(module),
        rank=settings.rank,
        dropout=settings.dropout,
        **settings.options.model_dump(),
    )


class AdaptFormerOptions(Config):
    """Of AdaptFormer."""

    scale: float = 0.1
    """s, on what the bottleneck adds."""
    reads: Literal["residual", "ffn"] = "residual"
    """What the bottleneck reads: the residual stream, as published, or the FFN's own input."""


def _adaptformer(settings: Settings, module: nn.Module) -> PeftConfig:
    return AdaptFormerConfig(
        bottleneck=settings.rank, dropout=settings.dropout, **settings.options.model_dump()
    )


class SsfOptions(Config):
    """Of SSF."""

    init_std: float = Field(default=0.0, ge=0)
    """Spread of γ around 1 and of β around 0 at the start; the paper has 0.02."""


def _ssf(settings: Settings, module: nn.Module) -> PeftConfig:
    return SsfConfig(init_std=settings.options.init_std)


def _bitfit(settings: Settings, module: nn.Module) -> PeftConfig:
    return SsfConfig(scale=False)


class AdapterPlusOptions(Config):
    """Of Adapter+."""

    drop_path: float = Field(default=0.1, ge=0, lt=1)
    """How often in training an image goes without the adapter."""
    init: Literal["zero", "houlsby"] = "zero"
    """zero: unchanged at the start; houlsby: as published, a small change."""


def _adapter_plus(settings: Settings, module: nn.Module) -> PeftConfig:
    return AdapterPlusConfig(
        rank=settings.rank, dropout=settings.dropout, **settings.options.model_dump()
    )


class VptOptions(Config):
    """Of VPT-deep."""

    tokens: int = Field(default=10, gt=0)
    """How many prompt tokens each block has."""


def _vpt(settings: Settings, module: nn.Module) -> PeftConfig:
    return VptConfig(tokens=settings.options.tokens, dropout=settings.dropout)


METHODS: dict[str, Method] = {
    "none": Method(),
    "full": Method(),
    "lora": Method(_lora, sites="ffn", rank=4, alpha=8, dropout=0.01),
    "dora": Method(_dora, sites="ffn", rank=4, alpha=8, dropout=0.01),
    "adalora": Method(_adalora, sites="ffn", rank=4, alpha=8, dropout=0.01, options=AdaLoraOptions),
    "lora_fa": Method(
        _lora, sites="ffn", rank=4, alpha=8, dropout=0.01, afterwards=_freeze_the_first_factor
    ),
    "vera": Method(_vera, sites="both", rank=256, dropout=0.0, options=VeraOptions),
    "ia3": Method(_ia3, sites="both"),
    "oft": Method(_oft, sites="attention", dropout=0.0, options=OftOptions),
    "boft": Method(_boft, sites="attention", dropout=0.0, options=BoftOptions),
    "ln_tuning": Method(_ln_tuning),
    "bitfit": Method(_bitfit),
    "lv_adapter": Method(_lv_adapter, sites="own", rank=23, dropout=0.0, options=LvAdapterOptions),
    "adaptformer": Method(
        _adaptformer, rank=64, dropout=0.1, options=AdaptFormerOptions, is_foldable=False
    ),
    "ssf": Method(_ssf, options=SsfOptions),
    "adapter_plus": Method(
        _adapter_plus,
        rank=8,
        dropout=0.0,
        options=AdapterPlusOptions,
        is_foldable=False,
        adapts_blocks=True,
    ),
    "vpt": Method(_vpt, dropout=0.0, options=VptOptions, is_foldable=False),
}
"""Name → method: `none` trains the head alone (a linear probe), `full` the whole backbone."""


def in_something(module: nn.Module, method: Method) -> nn.Module:
    """The module, a block by itself in a container where the method must replace it."""
    return nn.Sequential(module) if method.adapts_blocks and is_block(module) else module


def _require_divisible(module: nn.Module, pattern: str, block_size: int) -> None:
    widths = {
        name: layer.in_features
        for name, layer in linear_layers(module).items()
        if re.fullmatch(pattern, name) and layer.in_features % block_size
    }
    if widths:
        name, width = next(iter(widths.items()))
        fitting = [size for size in (64, 32, 16, 8, 4, 2) if width % size == 0]
        raise AdapterError(
            f"adapter.options.block_size: expected a divisor of the width of every layer's input, "
            f"got {block_size}, and {name} takes {width}; of use there: {some(map(str, fitting))}"
        )
