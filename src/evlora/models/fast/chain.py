"""Halves of frozen blocks, one behind the other, as one step of autograd.

It is for vectors on the last layer of a half (SSF, Lv-Adapter), whose gradient needs the product of
that layer. What the half adds to its input can be made from this product without another one, so
the input is the output minus what was added. Only the last tokens are kept; on the way back those
between the halves follow from them, from the last half to the first.
"""

from typing import Any, cast

import torch
from torch import Tensor

from evlora.models.fast.attention import (
    AttentionBranch,
    KeptOfAttention,
    attention_backward,
    attention_forward,
)
from evlora.models.fast.ffn import FfnBranch, KeptOfFfn, ffn_backward, ffn_forward
from evlora.models.fast.linear import completed
from evlora.models.fast.norm import normalise
from evlora.models.fast.precision import Types, without_autocast
from evlora.models.fast.structure import flattened

Half = AttentionBranch | FfnBranch
Kept = KeptOfAttention | KeptOfFfn


def chained(halves: tuple[Half, ...], x: Tensor, types: Types) -> Tensor:
    """What the halves make of tokens, one after the other, shape (B, N, D) like x."""
    tensors, rebuilt = flattened(halves)
    return cast(Tensor, _Chain.apply(rebuilt, types, x, *tensors))


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rebuilt: Any, types: Types, x: Tensor, *tensors: Tensor | None) -> Tensor:
        halves: tuple[Half, ...] = rebuilt(tensors)
        seen, all_kept = x.float(), list[Kept]()
        with without_autocast(x):
            for half in halves:
                output, kept = _ahead(half, seen, types)
                outcome = kept.last_outcome.to(types.kept)
                kept = kept._replace(normalised=cast(Any, None), last_outcome=outcome)
                # What was rounded is added as it will be taken away.
                is_rounded = types.kept != types.computed
                seen = seen + _added(half, kept, types).view_as(x) if is_rounded else output
                all_kept.append(kept)
        leaves, ctx.kept = flattened(tuple(all_kept))
        ctx.rebuilt, ctx.types, ctx.inputs = rebuilt, types, len(tensors)
        ctx.save_for_backward(seen, *tensors, *leaves)
        return seen.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        seen, *saved = ctx.saved_tensors
        halves: tuple[Half, ...] = ctx.rebuilt(saved[: ctx.inputs])
        all_kept: tuple[Kept, ...] = ctx.kept(saved[ctx.inputs :])
        all_needs: tuple[Half, ...] = ctx.rebuilt(ctx.needs_input_grad[3:])
        of_halves: list[Half] = []
        of_x: Tensor | None = gradient
        with without_autocast(gradient):
            for place in reversed(range(len(halves))):
                half, kept = halves[place], all_kept[place]
                assert of_x is not None  # only that of the first half's input may not be needed
                seen = seen - _added(half, kept, ctx.types).view_as(seen)
                normalised = normalise(seen.flatten(0, -2), half.norm.eps)
                of_x, of_half = _back(
                    half,
                    kept._replace(normalised=normalised),
                    of_x.view_as(seen),
                    all_needs[place],
                    needs_x=place > 0 or ctx.needs_input_grad[2],
                    types=ctx.types,
                )
                of_halves.insert(0, of_half)
        of_tokens = None if of_x is None else of_x.view_as(gradient).to(gradient.dtype)
        return None, None, of_tokens, *flattened(tuple(of_halves))[0]


def _added(half: Half, kept: Kept, types: Types) -> Tensor:
    """What a half adds to its input, shape (B·N, D)."""
    added = kept.last_outcome.to(types.computed)
    if half.last.vector is not None:
        added = completed(half.last, added, kept.last_hidden)
    return added if half.scale is None else added * half.scale


def _ahead(half: Half, x: Tensor, types: Types) -> tuple[Tensor, Kept]:
    if isinstance(half, AttentionBranch):
        return attention_forward(half, x, types)
    return ffn_forward(half, x, types)


def _back(
    half: Half, kept: Any, gradient: Tensor, needs: Any, *, needs_x: bool, types: Types
) -> tuple[Tensor | None, Half]:
    if isinstance(half, AttentionBranch):
        return attention_backward(half, kept, gradient, needs, needs_x=needs_x, types=types)
    return ffn_backward(half, kept, gradient, needs, needs_x=needs_x, types=types)
