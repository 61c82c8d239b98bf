"""LoRA (Hu et al., ICLR 2022): y + (α/r)·B·A·x."""

from typing import Any, Literal, cast

from peft import LoraConfig
from pydantic import PositiveInt, field_validator

from evlora.config import Config
from evlora.errors import AdapterError
from evlora.models.adapters.from_peft.lora_starts import REFUSED, take_the_start_out, weights_kept
from evlora.models.adapters.method import Method, NoOptions, options_of


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
            "init": Literal[True, "gaussian", "orthogonal", "mica", "pissa", "olora"],
        },
        rslora="use_rslora",
        rank_pattern="rank_pattern",
        alpha_pattern="alpha_pattern",
        **cast(dict[str, Any], renamed),
    )


METHOD = Method(
    LoraConfig,
    sites="ffn",
    settings={"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"},
    defaults={"rank": 4, "dropout": 0.01},  # the released VELoRA's
    options=lora_options(KnownStart, init="init_lora_weights", dora="use_dora"),
    while_adapting=weights_kept,
    afterwards=take_the_start_out,
    adapts_convolutions=True,
)
