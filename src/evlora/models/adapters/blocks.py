"""What a network consists of, as adapters see it: its layers, and its transformer blocks.

A block is a module that holds an attention and a feed-forward network (FFN) under the names that
timm and transformers use, which covers timm's ViT, EVA and Swin, and transformers' ViT, DINOv2,
CLIP, SigLIP, Swin and VideoMAE, and what is built like them. The names are those of transformers 5.
A method finds its places here or through `sites`, which uses the same names.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass

from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from evlora.errors import AdapterError

ATTENTION_NAMES = ("attn", "self_attn", "attention")
"""Names of the attention of a block."""
FFN_NAMES = ("mlp", "intermediate")
"""Names of its feed-forward network, or of the first part of it."""
FIRST_NORM_NAMES = ("norm1", "layer_norm1", "layernorm_before")
"""Names of the norm before the attention."""
FFN_NORM_NAMES = ("norm2", "layernorm_after", "layer_norm2")
"""Names of the norm before the FFN; its input is the residual stream."""

ATTENTION_INPUT = (
    "attn.qkv",
    "attn.q_proj",
    "attn.k_proj",
    "attn.v_proj",
    "attention.q_proj",
    "attention.k_proj",
    "attention.v_proj",
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.attention.query",
    "attention.attention.key",
    "attention.attention.value",
)
ATTENTION_OUTPUT = (
    "attn.proj",
    "attention.proj",
    "attention.o_proj",
    "self_attn.out_proj",
    "attention.output.dense",
)
FFN = (
    "mlp.fc1",
    "mlp.fc1_g",
    "mlp.fc1_x",
    "mlp.fc2",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
    "intermediate.dense",
    "output.dense",
)
WINDOW_MARKS = (
    "window_size",
    "rel_pos",
    "relative_position_bias",
    "relative_position_bias_table",
)
"""What a block or its attention has where attention runs within windows or by relative position."""
PATCH_EMBEDDING = r"(.*\.)?patch_embed\w*(\..+)?"
"""The patch embedding and all that is in it: a regular expression over module names."""


@dataclass(frozen=True, slots=True)
class Block:
    """A transformer block: where it is in the network, and where its linear layers are."""

    name: str
    """Its name in the network; empty where the network is a block itself."""
    module: nn.Module
    attention_input: tuple[str, ...]
    """Names in the network of the layers of query, key and value."""
    attention_output: tuple[str, ...]
    ffn: tuple[str, ...]

    @property
    def ffn_module(self) -> str:
        """Name in the network of the module that holds the FFN, or its last part."""
        return self.ffn[-1].rpartition(".")[0]

    @property
    def attention(self) -> tuple[str, nn.Module]:
        """The attention, and its name in the network."""
        name, module = child_called(self.module, ATTENTION_NAMES) or ("", self.module)
        return f"{self.name}.{name}".lstrip("."), module


def blocks_of(model: nn.Module) -> list[Block]:
    """The transformer blocks of a network, in its order; those of a text tower are skipped."""
    return [
        _block(name, module)
        for name, module in modules_of(model)
        if is_block(module) and "text_model" not in name.split(".")
    ]


def names_of_blocks(model: nn.Module, what: str) -> list[str]:
    """The names of a network's transformer blocks.

    Args:
        model: The network.
        what: What a method does to them, such as "aim adapts".

    Raises:
        AdapterError: There is none.
    """
    names = [block.name for block in blocks_of(model) if block.name]
    if not names:
        raise AdapterError(
            f"{type(model).__name__}: {what} transformer blocks (modules with an attention and a "
            "feed-forward network), and there is none"
        )
    return names


def known_blocks_of(model: nn.Module) -> list[Block]:
    """Those of the network's blocks whose attention and FFN have layers under known names."""
    return [block for block in blocks_of(model) if block.attention_output and block.ffn]


def is_block(module: nn.Module) -> bool:
    """Whether a module is a transformer block: it holds an attention and an FFN."""
    return bool(child_called(module, ATTENTION_NAMES) and child_called(module, FFN_NAMES))


def is_local(block: nn.Module, attention: nn.Module) -> bool:
    """Whether a block's attention runs within windows or by relative position."""
    marks = (getattr(module, mark, None) for module in (block, attention) for mark in WINDOW_MARKS)
    return any(mark is not None for mark in marks)


def adds_residual_itself(ffn_module: str, siblings: Container[str]) -> bool:
    """Whether an FFN's last part also takes the residual stream, to add it (VideoMAE).

    Args:
        ffn_module: Its own name in the block.
        siblings: The names beside it.
    """
    return ffn_module == "output" and "intermediate" in siblings


def modules_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module of the network by name, without adapters: an adapted one as it was before."""
    adapted: list[str] = []
    for name, module in model.named_modules():
        if any(name.startswith(f"{outer}.") for outer in adapted):
            continue
        if isinstance(module, BaseTunerLayer):
            adapted.append(name)
            yield name, module.get_base_layer()
        else:
            yield name, module


def names_where(model: nn.Module, holds: Callable[[nn.Module], bool]) -> list[str]:
    """The names of the modules for which this holds, without the network itself."""
    return [name for name, module in modules_of(model) if name and holds(module)]


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers of the network by name."""
    return {name: layer for name, layer in modules_of(model) if isinstance(layer, nn.Linear)}


def child_called(module: nn.Module, names: Iterable[str]) -> tuple[str, nn.Module] | None:
    """The first of the module's children with one of these names."""
    children = dict(module.named_children())
    return next(((name, children[name]) for name in names if name in children), None)


def width_of(block: nn.Module) -> int:
    """D of a transformer block's tokens, from its norms.

    Raises:
        AdapterError: It has no norm from which the width is known.
    """
    # Its own norms first: one inside the attention may be as wide as a single head.
    for module in (*block.children(), *block.modules()):
        shape = getattr(module, "normalized_shape", None)
        if shape is not None:
            return shape[-1]
    raise AdapterError(
        f"{type(block).__name__}: expected a norm in the block, from which the width of its "
        "tokens is known, found none"
    )


def exactly(names: Iterable[str]) -> str:
    """A regular expression for these names and no others, as peft's `target_modules` takes it."""
    return "|".join(re.escape(name) for name in names)


def _block(name: str, module: nn.Module) -> Block:
    # The names as they were before any of the layers was wrapped by an adapter.
    inside = {path.replace(".base_layer", "") for path, _ in module.named_modules()}

    def there(candidates: tuple[str, ...]) -> tuple[str, ...]:
        found = (path for path in candidates if path in inside)
        return tuple(f"{name}.{path}" if name else path for path in found)

    return Block(name, module, there(ATTENTION_INPUT), there(ATTENTION_OUTPUT), there(FFN))
