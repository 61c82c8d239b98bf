"""HRA (Yuan et al., NeurIPS 2024): W·H₁·…·H_r·x + b, each H a Householder reflection."""

from typing import Any

from peft import HRAConfig

from evlora.errors import AdapterError
from evlora.models.adapters.method import Method, Settings, options_of


def pairs_of_reflections(settings: Settings) -> dict[str, Any]:
    """Nothing further; reflections start as pairs that cancel, so their number must be even.

    Raises:
        AdapterError: It is odd.
    """
    if settings.rank % 2:
        raise AdapterError(
            f"rank: expected an even number, got {settings.rank}: reflections start in pairs that "
            "cancel, and an odd number would change the output before training"
        )
    return {}


METHOD = Method(
    HRAConfig,
    sites="attention",
    settings={"rank": "r"},
    options=options_of(HRAConfig, orthogonal="apply_GS"),
    computed=pairs_of_reflections,
)
