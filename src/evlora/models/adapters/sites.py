"""Which layers of a network a method adapts, by site.

The names are those of timm's and transformers' vision transformers (see `blocks`).
"""

import re
from collections.abc import Mapping, Sequence

from torch import nn

from evlora.errors import AdapterError
from evlora.messages import listed, suggestion
from evlora.models.adapters.blocks import (
    ATTENTION_INPUT,
    ATTENTION_OUTPUT,
    FFN,
    PATCH_EMBEDDING,
    exactly,
    is_block,
    linear_layers,
    names_where,
)
from evlora.models.adapters.site_names import Site

LAYERS_SHOWN = 8


def named(*names: str) -> str:
    """A regular expression over module names that end like this, at a border between two parts."""
    # `output.dense` closes the FFN of some blocks, and `attention.output.dense` their attention.
    ends = [
        (r"(?<!attention\.)" if name == "output.dense" else "") + re.escape(name) for name in names
    ]
    return rf"(.*\.)?({'|'.join(ends)})"


TARGETS: dict[Site, str] = {
    "ffn": named(*FFN),
    "attention": named(*ATTENTION_INPUT, *ATTENTION_OUTPUT),
    "both": named(*FFN, *ATTENTION_INPUT, *ATTENTION_OUTPUT),
}
"""The linear layers of a vision transformer by site, as regular expressions over module names.
`all` adds the patch embedding to both; `linear`, every linear layer of any network, is no pattern
of names."""


def targets(module: nn.Module, site: Site, patterns: Mapping[Site, str] = TARGETS) -> str:
    """The layers at a site, as a regular expression that peft takes.

    Args:
        module: What will be adapted.
        site: Where.
        patterns: By site.

    Raises:
        AdapterError: There is no such layer.
    """
    layers = linear_layers(module)
    in_blocks = "both" if site == "all" else site
    pattern = exactly(layers) if site == "linear" else patterns[in_blocks]
    if not any(re.fullmatch(pattern, name) for name in layers):
        raise AdapterError(
            f"{site} was not found in {type(module).__name__}: no linear layer has such a name; "
            f"its linear layers are: {listed(layers, at_most=LAYERS_SHOWN)}; "
            "sites=linear takes all of them"
        )
    if site == "all" and not is_block(module):  # a single block has no patch embedding
        pattern = f"{pattern}|{exactly(_patch_embedding(module))}"
    return pattern


def named_layers(module: nn.Module, names: Sequence[str]) -> list[str]:
    """The linear layers that have one of these names, end with one, or match one as a pattern.

    Convolutions, such as those of a patch embedding, are found by their whole names alone: `proj`
    means what closes an attention.

    Args:
        module: What will be adapted.
        names: Names, ends of names at a dot, or regular expressions over whole names.

    Raises:
        AdapterError: A name matches no linear layer, or is no regular expression.
    """
    layers = linear_layers(module)
    convolutions = names_where(module, lambda layer: isinstance(layer, nn.Conv2d))
    found: set[str] = set()
    for name in names:
        matching = {layer for layer in layers if is_named(layer, name)}
        matching |= {layer for layer in convolutions if is_whole_name(layer, name)}
        if not matching:
            ends = {layer.rpartition(".")[2] for layer in layers}
            raise AdapterError(
                f"target_modules: expected names of linear layers, {name!r} matches 0 of "
                f"{len(layers)} in {type(module).__name__}; "
                f"{suggestion(name, [*sorted(ends), *layers])}"
            )
        found |= matching
    return [layer for layer in (*convolutions, *layers) if layer in found]


def is_named(layer: str, name: str) -> bool:
    """Whether a layer has this name, ends with it at a dot, or matches it as a pattern.

    Raises:
        AdapterError: The name is no pattern.
    """
    return f".{layer}".endswith(f".{name}") or is_whole_name(layer, name)


def is_whole_name(layer: str, name: str) -> bool:
    """Whether a layer has this name, or matches it as a pattern.

    Raises:
        AdapterError: The name is no pattern.
    """
    try:
        return re.fullmatch(name, layer) is not None
    except re.error as error:
        raise AdapterError(
            f"target_modules: expected names or regular expressions, got {name!r}: {error}"
        ) from error


def _patch_embedding(module: nn.Module) -> list[str]:
    """The layers that make tokens of patches: a convolution, a linear layer, or a whole stem."""
    convolutions_too = (nn.Linear, nn.Conv2d, nn.Conv3d)
    named_so = re.compile(PATCH_EMBEDDING)
    layers = names_where(module, lambda layer: isinstance(layer, convolutions_too))
    found = [name for name in layers if named_so.fullmatch(name)]
    if not found:
        raise AdapterError(
            f"all: expected a patch embedding in {type(module).__name__}, "
            "under a name such as patch_embed, found none; sites=both does not need one"
        )
    return found
