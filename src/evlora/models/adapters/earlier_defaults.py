"""Defaults of Lv-Adapter until 30 November 2026, for bundles whose recipe names the method alone.

What a bundle was built from stands in its config.json without the defaults; the configurations that
peft wrote beside the weights hold all of them, and show by their `vector` which ones held.
"""

from collections.abc import Iterable, Mapping
from typing import Any

METHOD = "lv_adapter"
RANK = 23
OPTIONS: Mapping[str, Any] = {
    "sites": ["attention_output", "ffn"],
    "vector": "output",
    "shift": False,
    "scale": 1.0,
    "vector_scale": 1.0,
}


def are_earlier(configs: Iterable[Any]) -> bool:
    """Whether one of these peft configurations, as read from JSON, is an earlier Lv-Adapter's."""
    return any(
        isinstance(config, dict)
        and config.get("peft_type") == METHOD.upper()
        and isinstance(config.get("vector"), bool)
        for config in configs
    )


def with_earlier_defaults(network: Mapping[str, Any]) -> dict[str, Any]:
    """The keys `model` of a recipe, with the earlier defaults written out.

    Args:
        network: As read from JSON; unchanged.
    """
    return {
        key: _written_out(value) if isinstance(value, dict) else value
        for key, value in network.items()
    }


def _written_out(part: dict[str, Any]) -> dict[str, Any]:
    if part.get("method") != METHOD:
        return part
    rank = RANK if part.get("rank") is None else part["rank"]
    return {**part, "rank": rank, "options": {**OPTIONS, **(part.get("options") or {})}}
