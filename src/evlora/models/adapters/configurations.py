"""How the peft configuration of each method is made, and what only this method lets one set.

Formulas, papers and counts are in docs/adapters.md.
"""

import re
from collections.abc import Mapping
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
from evlora.models.adapters.discovery import exactly, linear_layers, names_where, some
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
        """The layers at the sites, as a regular expression over their names."""
        return targets(module, cast(Site, self.sites), patterns)


class NoOptions(Config):
    """For methods that have nothing of their own to set."""


def lora_config(settings: Settings, module: nn.Module) -> LoraConfig:
    """LoRA: y + (α/r)·B·A·x."""
    return LoraConfig(
        r=settings.rank,
        lora_alpha=cast(int, settings.alpha),  # peft divides by the rank, so any number will do
        lora_dropout=settings.dropout,
        target_modules=settings.targets(module),
    )


def dora_config(settings: Settings, module: nn.Module) -> PeftConfig:
    """DoRA: LoRA's sum of weights, normed by output, times a magnitude that is trained."""
    config = lora_config(settings, module)
    config.use_dora = True
    return config


def freeze_the_first_factor(model: PeftModel) -> None:
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


def adalora_config(settings: Settings, module: nn.Module) -> PeftConfig:
    """AdaLoRA: y + (α/r)·B·diag(E)·A·x, of whose E more and more is set to zero."""
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


def freeze_the_divisor(model: PeftModel) -> None:
    """AdaLoRA's initial rank is a parameter, which peft thaws when it moves it to a device."""
    for name, parameter in model.named_parameters():
        if ".ranknum." in name:
            parameter.requires_grad_(False)


class VeraOptions(Config):
    """Of VeRA."""

    initial_scale: float = 0.1
    """What the vector d starts with."""
    seed: int = 0
    """Of the two random matrices, which all layers share."""


def vera_config(settings: Settings, module: nn.Module) -> PeftConfig:
    """VeRA: y + b′ ⊙ B·(d ⊙ A·x), A and B random and shared by all layers."""
    options: VeraOptions = settings.options
    return VeraConfig(
        r=settings.rank,
        vera_dropout=settings.dropout,
        d_initial=options.initial_scale,
        projection_prng_key=options.seed,
        target_modules=settings.targets(module),
    )


def ia3_config(settings: Settings, module: nn.Module) -> PeftConfig:
    """(IA)³: l ⊙ y in the attention, W·(l ⊙ x) + b behind the FFN's hidden layer."""
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


def oft_config(settings: Settings, module: nn.Module) -> PeftConfig:
    """OFT: W·R·x + b, R orthogonal and made of blocks."""
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


def boft_config(settings: Settings, module: nn.Module) -> PeftConfig:
    """BOFT of one factor: (s ⊙ W)·R·x + b, R orthogonal and made of blocks."""
    options: BoftOptions = settings.options
    target_modules = settings.targets(module)
    _require_divisible(module, target_modules, options.block_size)
    return BOFTConfig(
        boft_block_size=options.block_size,
        boft_dropout=settings.dropout,
        target_modules=target_modules,
    )


def ln_tuning_config(settings: Settings, module: nn.Module) -> PeftConfig:
    """Copies of all layer norms, trained."""
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


def lv_adapter_config(settings: Settings, module: nn.Module) -> PeftConfig:
    """Lv-Adapter, our reading: v ⊙ y + s·B·A·x."""
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


def adaptformer_config(settings: Settings, module: nn.Module) -> PeftConfig:
    """AdaptFormer: a bottleneck beside each FFN."""
    return AdaptFormerConfig(
        bottleneck=settings.rank, dropout=settings.dropout, **settings.options.model_dump()
    )


class SsfOptions(Config):
    """Of SSF."""

    init_std: float = Field(default=0.0, ge=0)
    """Spread of γ around 1 and of β around 0 at the start; the paper has 0.02."""


def ssf_config(settings: Settings, module: nn.Module) -> PeftConfig:
    """SSF: γ ⊙ y + β."""
    return SsfConfig(init_std=settings.options.init_std)


def bitfit_config(settings: Settings, module: nn.Module) -> PeftConfig:
    """BitFit: y + β where a layer has a bias."""
    return SsfConfig(scale=False)


class AdapterPlusOptions(Config):
    """Of Adapter+."""

    drop_path: float = Field(default=0.1, ge=0, lt=1)
    """How often in training an image goes without the adapter."""
    init: Literal["zero", "houlsby"] = "zero"
    """zero: unchanged at the start; houlsby: as published, a small change."""


def adapter_plus_config(settings: Settings, module: nn.Module) -> PeftConfig:
    """Adapter+: a bottleneck behind each block."""
    return AdapterPlusConfig(
        rank=settings.rank, dropout=settings.dropout, **settings.options.model_dump()
    )


class VptOptions(Config):
    """Of VPT-deep."""

    tokens: int = Field(default=10, gt=0)
    """How many prompt tokens each block has."""


def vpt_config(settings: Settings, module: nn.Module) -> PeftConfig:
    """VPT-deep: prompt tokens in each block."""
    return VptConfig(tokens=settings.options.tokens, dropout=settings.dropout)


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
