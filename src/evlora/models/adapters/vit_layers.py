"""Where the layers of a vision transformer are, under the names that timm and transformers use.

A block is a module that has an attention and an FFN under one of these names, which covers timm's
ViT, EVA and Swin, and transformers' ViT, DINOv2, CLIP, SigLIP, Swin and VideoMAE, and what is built
like them. Text towers are left alone. The table is for transformers 5, where some names changed.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass

from torch import nn

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
FFN_NORM = ("norm2", "layernorm_after", "layer_norm2")
"""The norm before the FFN; its input is the residual stream."""
PATCH_EMBEDDING = r"(.*\.)?patch_embed\w*(\..+)?"
"""What makes tokens of patches, and all that is in it: a regular expression over module names."""


@dataclass(frozen=True)
class BlockLayers:
    """The names of one block's linear layers in the model, by what they are for."""

    attention_input: tuple[str, ...]
    attention_output: tuple[str, ...]
    ffn: tuple[str, ...]
    ffn_module: str
    """The module that holds the FFN, or its last part."""


def vit_blocks(model: nn.Module) -> list[BlockLayers]:
    """The blocks of a vision transformer, in the model's order; empty if it has none."""
    return list(_blocks(model))


def adds_residual_itself(ffn_module: str, siblings: Container[str]) -> bool:
    """Whether an FFN's last part is also handed the residual stream, to add it (VideoMAE).

    Args:
        ffn_module: Its own name in the block.
        siblings: The names beside it.
    """
    return ffn_module == "output" and "intermediate" in siblings


def _blocks(model: nn.Module) -> Iterator[BlockLayers]:
    # The names as they were before any of the layers was wrapped by an adapter.
    names = dict.fromkeys(name.replace(".base_layer", "") for name, _ in model.named_modules())

    def there(block: str, candidates: tuple[str, ...]) -> tuple[str, ...]:
        paths = (f"{block}.{name}" if block else name for name in candidates)
        return tuple(path for path in paths if path in names)

    for name in names:
        output, ffn = there(name, ATTENTION_OUTPUT), there(name, FFN)
        if not output or not ffn or "text_model" in name.split("."):
            continue
        ffn_module = ffn[-1].rpartition(".")[0]
        yield BlockLayers(there(name, ATTENTION_INPUT), output, ffn, ffn_module)
