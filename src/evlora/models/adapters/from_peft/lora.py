"""LoRA (Hu et al., ICLR 2022): y + (α/r)·B·A·x."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from peft import EvaConfig, LoraConfig
from pydantic import PositiveInt, field_validator

from evlora.config import Config
from evlora.errors import AdapterError
from evlora.models.adapters.from_peft.inputs_seen import EVA
from evlora.models.adapters.from_peft.lora_starts import REFUSED, take_the_start_out, weights_kept
from evlora.models.adapters.method import Method, NoOptions, Settings, options_of


class KnownStart(Config):
    """The reason, where peft has a way to start a pair that is not offered."""

    @field_validator("init", mode="before", check_fields=False)
    @classmethod
    def _refuse_what_needs_more(cls, value: Any) -> Any:
        if isinstance(value, str) and value in REFUSED:
            raise AdapterError(f"adapter.options.init: {value}: {REFUSED[value]}")
        return value


def lora_options(more: type[Config] = NoOptions, **renamed: str) -> type[Config]:
    """Ranks and scales by layer and the scale α/√r, which all that is made of LoRA has."""
    return options_of(
        LoraConfig,
        more=more,
        types={
            "rank_pattern": dict[str, PositiveInt],
            "alpha_pattern": dict[str, float],
            "init": Literal[True, "gaussian", "orthogonal", "mica", "pissa", "olora", "eva"],
        },
        rslora="use_rslora",
        rank_pattern="rank_pattern",
        alpha_pattern="alpha_pattern",
        **cast(dict[str, Any], renamed),
    )


def _start_from_inputs(settings: Settings) -> Mapping[str, Any]:
    """What peft must be given with EVA: every layer keeps the rank that it was given (ρ = 1)."""
    start = getattr(settings.options, "init", None)  # methods made of this one have no choice
    return {"eva_config": EvaConfig(rho=1.0)} if start == EVA else {}


METHOD = Method(
    LoraConfig,
    sites="ffn",
    settings={"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"},
    defaults={"rank": 4, "dropout": 0.01},  # the released VELoRA's
    options=lora_options(KnownStart, init="init_lora_weights", dora="use_dora"),
    computed=_start_from_inputs,
    while_adapting=weights_kept,
    afterwards=take_the_start_out,
    adapts_convolutions=True,
)
