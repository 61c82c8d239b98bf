"""(IA)³ (Liu et al., NeurIPS 2022): l ⊙ y in the attention, W·(l ⊙ x) + b in the FFN."""

from functools import partial
from typing import Any

from peft import IA3Config

from evlora.models.adapters.blocks import ATTENTION_INPUT, FFN
from evlora.models.adapters.method import Method, Settings, at_the_sites
from evlora.models.adapters.site_names import Site
from evlora.models.adapters.sites import named

LAYERS: dict[Site, str] = {
    "ffn": named(*(name for name in FFN if name.endswith(("fc2", "down_proj", "output.dense")))),
    "attention": named(
        *(name for name in ATTENTION_INPUT if not name.endswith(("q_proj", "query")))
    ),
}
"""The layers with a vector, by site: keys and values (and, where timm computes the three in one
layer, queries), and the hidden features of the FFN."""
LAYERS["both"] = f"{LAYERS['ffn']}|{LAYERS['attention']}"


def scaled_at_the_input(settings: Settings) -> dict[str, Any]:
    """The layers whose vector multiplies their input."""
    return {"feedforward_modules": LAYERS["ffn"] if settings.sites in ("ffn", "both") else []}


METHOD = Method(
    IA3Config,
    sites="both",
    computed=scaled_at_the_input,
    find_targets=partial(at_the_sites, patterns=LAYERS),
)
