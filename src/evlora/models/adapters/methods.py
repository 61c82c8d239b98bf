"""The table of methods: name → how it is made, with defaults that suit a ViT."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from peft import PeftConfig, PeftModel
from torch import nn

from evlora.config import Config
from evlora.models.adapters.configurations import (
    AdaLoraOptions,
    AdapterPlusOptions,
    AdaptFormerOptions,
    BoftOptions,
    LvAdapterOptions,
    NoOptions,
    OftOptions,
    Settings,
    SsfOptions,
    VeraOptions,
    VptOptions,
    adalora_config,
    adapter_plus_config,
    adaptformer_config,
    bitfit_config,
    boft_config,
    dora_config,
    freeze_the_divisor,
    freeze_the_first_factor,
    ia3_config,
    ln_tuning_config,
    lora_config,
    lv_adapter_config,
    oft_config,
    ssf_config,
    vera_config,
    vpt_config,
)
from evlora.models.adapters.discovery import is_block
from evlora.models.adapters.sites import Site


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
    adapts_convolutions: bool = False
    """Whether it has a place in a patch embedding too, which is a convolution or several."""


LORA = Method(lora_config, sites="ffn", rank=4, alpha=8, dropout=0.01, adapts_convolutions=True)

METHODS: dict[str, Method] = {
    "none": Method(),
    "full": Method(),
    "lora": LORA,
    "dora": replace(LORA, make=dora_config),
    "adalora": replace(
        LORA,
        make=adalora_config,
        options=AdaLoraOptions,
        afterwards=freeze_the_divisor,
        adapts_convolutions=False,
    ),
    "lora_fa": replace(LORA, afterwards=freeze_the_first_factor),
    "vera": Method(vera_config, sites="both", rank=256, dropout=0.0, options=VeraOptions),
    "ia3": Method(ia3_config, sites="both"),
    "oft": Method(oft_config, sites="attention", dropout=0.0, options=OftOptions),
    "boft": Method(boft_config, sites="attention", dropout=0.0, options=BoftOptions),
    "ln_tuning": Method(ln_tuning_config),
    "bitfit": Method(bitfit_config),
    "lv_adapter": Method(
        lv_adapter_config, sites="own", rank=23, dropout=0.0, options=LvAdapterOptions
    ),
    "adaptformer": Method(
        adaptformer_config, rank=64, dropout=0.1, options=AdaptFormerOptions, is_foldable=False
    ),
    "ssf": Method(ssf_config, options=SsfOptions),
    "adapter_plus": Method(
        adapter_plus_config,
        rank=8,
        dropout=0.0,
        options=AdapterPlusOptions,
        is_foldable=False,
        adapts_blocks=True,
    ),
    "vpt": Method(vpt_config, dropout=0.0, options=VptOptions, is_foldable=False),
}
"""Name → method: `none` trains the head alone (a linear probe), `full` the whole backbone."""


def in_something(module: nn.Module, method: Method) -> nn.Module:
    """The module, a block by itself in a container where the method must replace it."""
    return nn.Sequential(module) if method.adapts_blocks and is_block(module) else module
