"""A transformer block by the fast functions, half by half, wherever they cover it.

`through` is how the networks call a block, and `through_all` several in a row. It is the block
itself unless training has switched the fast functions on, and for each half that they do not cover.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import torch
from timm.layers import GluMlp, LayerScale, Mlp, SwiGLU
from timm.layers.attention import Attention, AttentionRope
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from timm.models.eva import EvaAttention, EvaBlock
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from evlora.models.adapters.moments import moments_of, set_moments
from evlora.models.fast.attention import AttentionBranch, attention_branch
from evlora.models.fast.chain import Half, chained
from evlora.models.fast.ffn import FfnBranch, ffn_branch
from evlora.models.fast.parts import has_hooks, is_idle, linear_of, norm_of
from evlora.models.fast.precision import types_for
from evlora.models.fast.settings import PLAIN, Settings, settings_of
from evlora.models.positions import with_positions

Halves = tuple[AttentionBranch | None, FfnBranch | None]


def through(block: nn.Module, tokens: Tensor, **named: Any) -> Tensor:
    """What a block makes of tokens.

    Args:
        block: Of a backbone or a view, with its adapters.
        tokens: Shape (B, N, D).
        named: What the block takes beside them.

    Returns:
        Shape (B, N, D).
    """
    settings = settings_of(block)
    if settings == PLAIN:
        return block(tokens, **named)
    if settings.checkpointing == "block":
        return checkpoint(
            _repeatable, block, tokens, settings, named, moments_of(block), use_reentrant=False
        )
    return _by_halves(block, tokens, settings, named)


def through_all(blocks: Sequence[nn.Module], tokens: Tensor, **named: Any) -> Tensor:
    """What blocks make of tokens, one after the other; see `through`."""
    chain: list[Half] = []
    rest = list(blocks)
    while rest:
        settings = settings_of(rest[-1])
        if settings == PLAIN or settings.checkpointing == "block":
            break
        named_here = with_positions(rest[-1], tokens, named)
        halves = _chain_of(_halves(rest[-1], settings, named_here))
        if not halves:
            break
        chain = [*halves, *chain]
        rest.pop()
    for block in rest:
        tokens = through(block, tokens, **named)
    return chained(tuple(chain), tokens, types_for(tokens)) if chain else tokens


def _repeatable(
    block: nn.Module, tokens: Tensor, settings: Settings, named: dict[str, Any], moments: int
) -> Tensor:
    """`_by_halves` of clips of T moments: on the way back the block may have seen others since."""
    set_moments(block, moments)
    return _by_halves(block, tokens, settings, named)


def _by_halves(
    block: nn.Module, tokens: Tensor, settings: Settings, named: dict[str, Any]
) -> Tensor:
    named = with_positions(block, tokens, named)
    types, parts = types_for(tokens), cast(Any, block)
    attention, ffn = halves = _halves(block, settings, named)
    if chain := _chain_of(halves):
        return chained(chain, tokens, types)
    if attention is None and ffn is None:
        return block(tokens, **named)
    if attention is None:
        tokens = tokens + _scaled(block, 1, parts.attn(parts.norm1(tokens), **named))
    else:
        tokens = attention_branch(attention, tokens, types)
    if ffn is None:
        return tokens + _scaled(block, 2, parts.mlp(parts.norm2(tokens)))
    return ffn_branch(ffn, tokens, types)


def _halves(block: nn.Module, settings: Settings, named: dict[str, Any]) -> Halves:
    """The halves of a block that are switched on and covered."""
    if not _is_covered(block, named):
        return None, None
    keeps_hidden = settings.checkpointing == "none"
    return (
        _attention_branch(block, named) if "attention" in settings.ideas else None,
        _ffn_branch(block, keeps_hidden=keeps_hidden) if "ffn" in settings.ideas else None,
    )


def _chain_of(halves: Halves) -> tuple[Half, ...]:
    """The halves where they need the products of last layers, which a chain keeps for less."""
    attention, ffn = halves
    if attention is None or ffn is None:
        return ()
    vectors = (attention.last.vector, ffn.last.vector)
    is_learned = any(vector is not None and vector.requires_grad for vector in vectors)
    return (attention, ffn) if is_learned else ()


def _is_covered(block: nn.Module, named: dict[str, Any]) -> bool:
    """Whether the halves of this block are known: a block as timm wrote it, called with no mask."""
    if named.keys() - {"rope"}:
        return False
    if type(block) is EvaBlock:
        # Its one hook of its own finds the rotary positions, as `positions_of` does.
        return not has_hooks(block, own=int("rotations" in dict(block.named_buffers())))
    return type(block) is Block and not has_hooks(block)


def _scaled(block: nn.Module, half: Literal[1, 2], added: Tensor) -> Tensor:
    """What a half adds to its input, as timm has it."""
    parts = cast(Any, block)
    if isinstance(block, EvaBlock):
        gamma = parts.gamma_1 if half == 1 else parts.gamma_2
        added = added if gamma is None else gamma * added
    else:
        added = (parts.ls1 if half == 1 else parts.ls2)(added)
    return (parts.drop_path1 if half == 1 else parts.drop_path2)(added)


def _scale(block: nn.Module, half: Literal[1, 2]) -> tuple[bool, Tensor | None]:
    """Whether the scale γ of a half is covered, and γ if there is one."""
    parts = cast(Any, block)
    if not is_idle(parts.drop_path1 if half == 1 else parts.drop_path2):
        return False, None
    if isinstance(block, EvaBlock):
        gamma = parts.gamma_1 if half == 1 else parts.gamma_2
    else:
        layer = parts.ls1 if half == 1 else parts.ls2
        if isinstance(layer, nn.Identity):
            return True, None
        if type(layer) is not LayerScale or has_hooks(layer):
            return False, None
        gamma = layer.gamma
    return gamma is None or not gamma.requires_grad, gamma


def _attention_branch(block: nn.Module, named: dict[str, Any]) -> AttentionBranch | None:
    parts = cast(Any, block)
    attention = parts.attn
    has_scale, scale = _scale(block, 1)
    if type(attention) not in (Attention, AttentionRope, EvaAttention) or has_hooks(attention):
        return None
    frozen = (attention.q_norm, attention.k_norm)
    is_simple = (
        has_scale
        and isinstance(attention.norm, nn.Identity)
        and attention.gate is None
        and is_idle(attention.attn_drop)
        and is_idle(attention.proj_drop)
        and not any(p.requires_grad for norm in frozen for p in norm.parameters())
    )
    norm, inputs, output = norm_of(parts.norm1), linear_of(attention.qkv), linear_of(attention.proj)
    if not is_simple or norm is None or inputs is None or output is None:
        return None
    if isinstance(attention, EvaAttention) and attention.q_bias is not None:
        parts = (attention.q_bias, attention.k_bias, attention.v_bias)
        bias = torch.cat(cast(list[Tensor], list(parts)))
        inputs = inputs._replace(bias=bias if inputs.bias is None else inputs.bias + bias)
    return AttentionBranch(
        norm,
        inputs,
        attention.num_heads,
        attention.head_dim**-0.5,
        _preparation(attention, named.get("rope")),
        output,
        scale,
    )


def _preparation(
    attention: Any, rope: Tensor | None
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """What queries and keys go through, as timm's attention has it."""
    if rope is None and isinstance(attention.q_norm, nn.Identity):
        return None

    def turned(x: Tensor) -> Tensor:
        if rope is None:
            return x
        prefix, patches = x.tensor_split([attention.num_prefix_tokens], dim=2)
        half = getattr(attention, "rotate_half", False)
        return torch.cat([prefix, apply_rot_embed_cat(patches, rope, half=half)], dim=2).type_as(x)

    return lambda q, k: (turned(attention.q_norm(q)), turned(attention.k_norm(k)))


def _ffn_branch(block: nn.Module, *, keeps_hidden: bool) -> FfnBranch | None:
    parts = cast(Any, block)
    has_scale, scale = _scale(block, 2)
    ffn, norm = parts.mlp, norm_of(parts.norm2)
    if not has_scale or norm is None or type(ffn) not in (Mlp, GluMlp, SwiGLU) or has_hooks(ffn):
        return None
    between = (ffn.act, ffn.norm)
    is_simple = (
        is_idle(ffn.drop1)
        and is_idle(ffn.drop2)
        and not any(p.requires_grad for part in between for p in part.parameters())
    )
    names = ("fc1_g", "fc1_x") if isinstance(ffn, SwiGLU) else ("fc1",)
    first = [linear_of(getattr(ffn, name)) for name in names]
    last = linear_of(ffn.fc2)
    if not is_simple or last is None or any(layer is None for layer in first):
        return None
    layers = tuple(layer for layer in first if layer is not None)
    return FfnBranch(norm, layers, _between(ffn), last, scale, keeps_hidden)


def _between(ffn: Mlp | GluMlp | SwiGLU) -> Callable[..., Tensor]:
    """From the first layers' outputs to the last one's input, as timm's FFNs have it."""
    if isinstance(ffn, SwiGLU):
        return lambda gate, values: ffn.norm(ffn.act(gate) * values)
    if isinstance(ffn, Mlp):
        return lambda hidden: ffn.norm(ffn.act(hidden))

    def gated(hidden: Tensor) -> Tensor:
        first, second = hidden.chunk(2, dim=-1)
        return ffn.norm(first * ffn.act(second) if ffn.gate_last else ffn.act(first) * second)

    return gated
