"""AdaLoRA: y + (α/r)·B·diag(E)·A·x, of whose E more and more is set to zero."""

from dataclasses import replace
from typing import Any

from peft import AdaLoraConfig, PeftModel
from pydantic import Field

from evlora.config import Config
from evlora.errors import AdapterError
from evlora.models.adapters.from_peft import lora
from evlora.models.adapters.method import Settings, options_of

NOMINAL_STEPS = 1000
"""The length of a run, which AdaLoRA must know, until `begin_training` sets it."""


class AdaLoraSchedule(Config):
    """Ranks and shares of the steps, where peft has numbers of steps."""

    initial_rank: int | None = None
    """The rank that each layer starts with; half as much again as the final one if not given."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """The share of the steps before the budget shrinks."""
    final: float = Field(default=0.3, ge=0, lt=1)
    """The share of the steps after it has shrunk."""


def ranks_and_steps(settings: Settings) -> dict[str, Any]:
    """The ranks at the start and at the end, and the steps between.

    Raises:
        AdapterError: No rank is left to save.
    """
    options: AdaLoraSchedule = settings.options
    initial_rank = options.initial_rank or -(-3 * settings.rank // 2)
    if initial_rank <= settings.rank:
        raise AdapterError(
            f"options.initial_rank: expected more than the final rank {settings.rank}, "
            f"got {initial_rank}"
        )
    return {
        "init_r": initial_rank,
        "tinit": round(options.warmup * NOMINAL_STEPS),
        "tfinal": round(options.final * NOMINAL_STEPS),
        "total_step": NOMINAL_STEPS,
    }


def freeze_the_divisor(model: PeftModel) -> None:
    """AdaLoRA's initial rank is a parameter, which peft unfreezes when it moves it to a device."""
    for name, parameter in model.named_parameters():
        if ".ranknum." in name:
            parameter.requires_grad_(False)


METHOD = replace(
    lora.METHOD,
    config=AdaLoraConfig,
    settings={**lora.METHOD.settings, "rank": "target_r"},
    options=options_of(AdaLoraConfig, more=AdaLoraSchedule, every="deltaT", at_least={"every": 1}),
    computed=ranks_and_steps,
    afterwards=freeze_the_divisor,
    adapts_convolutions=False,
)
