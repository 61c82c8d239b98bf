"""The first half of a frozen block, x + γ ⊙ attention(norm(x)), as one step of autograd.

Autograd would keep the norm's input and output, queries, keys and values, and what the attention
gives: six times the width of the tokens. This keeps the normalised tokens alone, and repeats one
product.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from evlora.models.fast.linear import (
    AdaptedLinear,
    Hidden,
    completed,
    hidden_gradients,
    hidden_of,
    input_gradient,
    product,
    tensor_gradients,
)
from evlora.models.fast.norm import Norm, Normalised, norm_gradients, normalise, scaled
from evlora.models.fast.precision import Types, without_autocast
from evlora.models.fast.softmax_attention import attend, attention_gradients
from evlora.models.fast.structure import flattened


class AttentionBranch(NamedTuple):
    """The layers of the branch."""

    norm: Norm
    inputs: AdaptedLinear
    """To queries, keys and values in one."""
    heads: int
    attention_scale: float
    prepare: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None
    """What queries and keys, shape (B, heads, N, d), go through first: norms, rotary positions."""
    last: AdaptedLinear
    scale: Tensor | None
    """γ, frozen."""


class KeptOfAttention(NamedTuple):
    """What the way back needs."""

    normalised: Normalised
    input_hidden: tuple[Hidden, ...]
    last_outcome: Tensor
    """The last layer's `product` where it has a vector, and else its output."""
    last_hidden: tuple[Hidden, ...]


def attention_branch(branch: AttentionBranch, x: Tensor, types: Types) -> Tensor:
    """Tokens and what the branch adds, x + γ ⊙ attention(norm(x)), shape (B, N, D) like x."""
    tensors, rebuilt = flattened(branch)
    return cast(Tensor, _Attention.apply(rebuilt, types, x, *tensors))


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rebuilt: Any, types: Types, x: Tensor, *tensors: Tensor | None) -> Tensor:
        branch: AttentionBranch = rebuilt(tensors)
        with without_autocast(x):
            output, kept = attention_forward(branch, x, types)
        outcome = None if branch.last.vector is None else kept.last_outcome.to(types.kept)
        leaves, ctx.kept = flattened(kept._replace(last_outcome=cast(Any, outcome)))
        ctx.rebuilt, ctx.types, ctx.inputs = rebuilt, types, len(tensors)
        ctx.save_for_backward(*tensors, *leaves)
        return output.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        saved = ctx.saved_tensors
        branch: AttentionBranch = ctx.rebuilt(saved[: ctx.inputs])
        kept: KeptOfAttention = ctx.kept(saved[ctx.inputs :])
        needs: AttentionBranch = ctx.rebuilt(ctx.needs_input_grad[3:])
        with without_autocast(gradient):
            of_x, of_branch = attention_backward(
                branch, kept, gradient, needs, needs_x=ctx.needs_input_grad[2], types=ctx.types
            )
        of_tokens = None if of_x is None else of_x.view_as(gradient).to(gradient.dtype)
        return None, None, of_tokens, *flattened(of_branch)[0]


def attention_forward(
    branch: AttentionBranch, x: Tensor, types: Types
) -> tuple[Tensor, KeptOfAttention]:
    """The branch's output, shape (B, N, D) like x, and all that may be kept of it."""
    flat = x.flatten(0, -2).float()  # (B·N, D)
    normalised = normalise(flat, branch.norm.eps)
    tokens = scaled(branch.norm, normalised.tokens, types.computed)
    input_hidden = hidden_of(branch.inputs, tokens)
    qkv = completed(branch.inputs, product(branch.inputs, tokens), input_hidden)
    q, k, v = _heads(branch, qkv, x.shape)
    if branch.prepare is not None:
        q, k = branch.prepare(q, k)
    attended = attend((q, k, v), scale=branch.attention_scale).flatten(2).flatten(0, 1)
    last_hidden = hidden_of(branch.last, attended)
    outcome = product(branch.last, attended)
    added = completed(branch.last, outcome, last_hidden)
    output = torch.add(flat, added) if branch.scale is None else flat + added * branch.scale
    kept = KeptOfAttention(
        Normalised(normalised.tokens.to(types.kept), normalised.rate),
        input_hidden,
        outcome,
        last_hidden,
    )
    return output.view_as(x), kept


def attention_backward(
    branch: AttentionBranch,
    kept: KeptOfAttention,
    gradient: Tensor,
    needs: AttentionBranch,
    *,
    needs_x: bool,
    types: Types,
) -> tuple[Tensor | None, AttentionBranch]:
    """The gradients of x, shape (B·N, D), where it is needed, and of the branch's tensors."""
    tokens = scaled(branch.norm, kept.normalised.tokens, types.computed)
    outcome = product(branch.inputs, tokens)
    qkv = completed(branch.inputs, outcome, kept.input_hidden)
    flat = gradient.flatten(0, -2).float()
    of_added = (flat if branch.scale is None else flat * branch.scale).to(types.computed)
    of_hidden = hidden_gradients(branch.last, of_added)
    of_attended = input_gradient(branch.last, of_added, of_hidden, kept.last_hidden)
    of_qkv, attended = _attention_gradients(
        branch,
        qkv,
        of_attended,
        gradient.shape,
        needs_attended=any(pair.down is True for pair in needs.last.pairs),
    )
    of_last = tensor_gradients(
        branch.last,
        of_added,
        of_hidden,
        kept.last_hidden,
        x=attended,
        outcome=kept.last_outcome,
        needs=needs.last,
    )
    of_hidden = hidden_gradients(branch.inputs, of_qkv)
    of_inputs = tensor_gradients(
        branch.inputs,
        of_qkv,
        of_hidden,
        kept.input_hidden,
        x=tokens,
        outcome=outcome,
        needs=needs.inputs,
    )
    needs_norm = (needs.norm.weight is True, needs.norm.bias is True)
    of_x = of_weight = of_bias = None
    if needs_x or any(needs_norm):
        of_tokens = input_gradient(branch.inputs, of_qkv, of_hidden, kept.input_hidden)
        of_x, of_weight, of_bias = norm_gradients(
            branch.norm, kept.normalised, of_tokens, needs=needs_norm
        )
        of_x = of_x.add_(flat) if needs_x else None
    of_norm = Norm(cast(Any, of_weight), cast(Any, of_bias), branch.norm.eps)
    return of_x, branch._replace(norm=of_norm, inputs=of_inputs, last=of_last, scale=None)


def _heads(branch: AttentionBranch, qkv: Tensor, shape: torch.Size) -> tuple[Tensor, ...]:
    """Queries, keys and values, shape (B, heads, N, d) each, of the tokens' (B·N, 3·heads·d)."""
    apart = qkv.view(shape[0], shape[1], 3, branch.heads, -1)
    return apart.permute(2, 0, 3, 1, 4).unbind(0)


def _attention_gradients(
    branch: AttentionBranch,
    qkv: Tensor,
    of_attended: Tensor,
    shape: torch.Size,
    *,
    needs_attended: bool,
) -> tuple[Tensor, Tensor]:
    """The gradient of the first layer's output, and the last one's input if it is needed."""
    q, k, v = _heads(branch, qkv, shape)
    prepared: tuple[Tensor, ...] = ()
    given: tuple[Tensor, ...] = (q, k)
    if branch.prepare is not None:
        with torch.enable_grad():
            given = tuple(part.detach().requires_grad_() for part in (q, k))
            prepared = branch.prepare(*given)
        q, k = (part.detach() for part in prepared)
    of_output = of_attended.view(shape[0], shape[1], branch.heads, -1)
    of_qkv, attended = attention_gradients(
        (q, k, v), of_output, scale=branch.attention_scale, needs_output=needs_attended
    )
    if prepared:
        of_prepared = [of_qkv[:, :, place].transpose(1, 2) for place in (0, 1)]
        for place, of_part in enumerate(torch.autograd.grad(prepared, given, of_prepared)):
            of_qkv[:, :, place] = of_part.transpose(1, 2)
    attended = of_attended if attended is None else attended.flatten(2).flatten(0, 1)
    return of_qkv.view(qkv.shape), attended
