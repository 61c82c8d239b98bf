"""The second half of a frozen block, x + γ ⊙ FFN(norm(x)), as one step of autograd.

Autograd would keep the norm's input and output, and the input and output of the activation: ten
times the width of the tokens. This keeps five: the normalised tokens, and the input of the
activation, from which its output is made again; or the tokens alone, if the first layer is
repeated.
"""

from collections.abc import Callable, Sequence
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
from evlora.models.fast.structure import flattened


class FfnBranch(NamedTuple):
    """The layers of the branch."""

    norm: Norm
    first: tuple[AdaptedLinear, ...]
    """One layer, or those of the gate and of what it lets through."""
    between: Callable[..., Tensor]
    """From the outputs of the first layers to the last one's input: activation, gate, norm."""
    last: AdaptedLinear
    scale: Tensor | None
    """γ, frozen."""
    keeps_hidden: bool
    """Whether the outputs of the first layers are kept, or made again."""


class KeptOfFfn(NamedTuple):
    """What the way back needs."""

    normalised: Normalised
    first_outcomes: tuple[Tensor, ...]
    first_hidden: tuple[tuple[Hidden, ...], ...]
    last_outcome: Tensor
    """The last layer's `product` where it has a vector, and else its output."""
    last_hidden: tuple[Hidden, ...]


def ffn_branch(branch: FfnBranch, x: Tensor, types: Types) -> Tensor:
    """Tokens and what the branch adds, x + γ ⊙ FFN(norm(x)), shape (B, N, D) like x."""
    tensors, rebuilt = flattened(branch)
    return cast(Tensor, _Ffn.apply(rebuilt, types, x, *tensors))


class _Ffn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rebuilt: Any, types: Types, x: Tensor, *tensors: Tensor | None) -> Tensor:
        branch: FfnBranch = rebuilt(tensors)
        with without_autocast(x):
            output, kept = ffn_forward(branch, x, types)
        outcome = None if branch.last.vector is None else kept.last_outcome.to(types.kept)
        leaves, ctx.kept = flattened(kept._replace(last_outcome=cast(Any, outcome)))
        ctx.rebuilt, ctx.types, ctx.inputs = rebuilt, types, len(tensors)
        ctx.save_for_backward(*tensors, *leaves)
        return output.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        saved = ctx.saved_tensors
        branch: FfnBranch = ctx.rebuilt(saved[: ctx.inputs])
        kept: KeptOfFfn = ctx.kept(saved[ctx.inputs :])
        needs: FfnBranch = ctx.rebuilt(ctx.needs_input_grad[3:])
        with without_autocast(gradient):
            of_x, of_branch = ffn_backward(
                branch, kept, gradient, needs, needs_x=ctx.needs_input_grad[2], types=ctx.types
            )
        of_tokens = None if of_x is None else of_x.view_as(gradient).to(gradient.dtype)
        return None, None, of_tokens, *flattened(of_branch)[0]


def ffn_forward(branch: FfnBranch, x: Tensor, types: Types) -> tuple[Tensor, KeptOfFfn]:
    """The branch's output, shape (B, N, D) like x, and all that may be kept of it."""
    flat = x.flatten(0, -2).float()  # (B·N, D)
    normalised = normalise(flat, branch.norm.eps)
    tokens = scaled(branch.norm, normalised.tokens, types.computed)
    first_hidden = tuple(hidden_of(layer, tokens) for layer in branch.first)
    outcomes = tuple(product(layer, tokens) for layer in branch.first)
    outputs = _completed(branch.first, outcomes, first_hidden)
    middle = branch.between(*outputs)
    last_hidden = hidden_of(branch.last, middle)
    last_outcome = product(branch.last, middle)
    added = completed(branch.last, last_outcome, last_hidden)
    output = (
        torch.add(flat, added) if branch.scale is None else torch.addcmul(flat, added, branch.scale)
    )
    kept = KeptOfFfn(
        Normalised(normalised.tokens.to(types.kept), normalised.rate),
        tuple(outcome.to(types.kept) for outcome in outcomes) if branch.keeps_hidden else (),
        first_hidden,
        last_outcome,
        last_hidden,
    )
    return output.view_as(x), kept


def ffn_backward(
    branch: FfnBranch,
    kept: KeptOfFfn,
    gradient: Tensor,
    needs: FfnBranch,
    *,
    needs_x: bool,
    types: Types,
) -> tuple[Tensor | None, FfnBranch]:
    """The gradients of x, shape (B·N, D), where it is needed, and of the branch's tensors."""
    tokens = scaled(branch.norm, kept.normalised.tokens, types.computed)
    outcomes, outputs = _first_again(branch, kept, tokens, types.computed)
    flat = gradient.flatten(0, -2).float()
    of_added = flat if branch.scale is None else flat * branch.scale
    with torch.enable_grad():
        leaves = [output.detach().requires_grad_() for output in outputs]
        middle = branch.between(*leaves)
    of_added = of_added.to(types.computed)
    of_hidden = hidden_gradients(branch.last, of_added)
    of_last = tensor_gradients(
        branch.last,
        of_added,
        of_hidden,
        kept.last_hidden,
        x=middle.detach(),
        outcome=kept.last_outcome,
        needs=needs.last,
    )
    of_middle = input_gradient(branch.last, of_added, of_hidden, kept.last_hidden)
    of_outputs = torch.autograd.grad(middle, leaves, of_middle)
    del middle, of_middle
    needs_norm = (needs.norm.weight is True, needs.norm.bias is True)
    needs_tokens = needs_x or any(needs_norm)
    of_tokens: Tensor | None = None
    of_first: list[AdaptedLinear] = []
    for layer, of_output, outcome, hidden, needed in zip(
        branch.first, of_outputs, outcomes, kept.first_hidden, needs.first, strict=True
    ):
        of_hidden = hidden_gradients(layer, of_output)
        of_first.append(
            tensor_gradients(
                layer, of_output, of_hidden, hidden, x=tokens, outcome=outcome, needs=needed
            )
        )
        if needs_tokens:
            of_input = input_gradient(layer, of_output, of_hidden, hidden)
            of_tokens = of_input if of_tokens is None else of_tokens.add_(of_input)
    of_x = of_weight = of_bias = None
    if of_tokens is not None:
        of_x, of_weight, of_bias = norm_gradients(
            branch.norm, kept.normalised, of_tokens, needs=needs_norm
        )
        of_x = of_x.add_(flat) if needs_x else None
    of_norm = Norm(cast(Any, of_weight), cast(Any, of_bias), branch.norm.eps)
    return of_x, branch._replace(norm=of_norm, first=tuple(of_first), last=of_last, scale=None)


def _completed(
    layers: Sequence[AdaptedLinear],
    outcomes: Sequence[Tensor],
    hidden: Sequence[Sequence[Hidden]],
) -> list[Tensor]:
    return [completed(*each) for each in zip(layers, outcomes, hidden, strict=True)]


def _first_again(
    branch: FfnBranch, kept: KeptOfFfn, tokens: Tensor, dtype: torch.dtype
) -> tuple[tuple[Tensor, ...], list[Tensor]]:
    """The first layers' products and outputs, from what was kept of them or from the tokens."""
    if not kept.first_outcomes:
        outcomes = tuple(product(layer, tokens) for layer in branch.first)
        return outcomes, _completed(branch.first, outcomes, kept.first_hidden)
    outcomes = tuple(outcome.to(dtype) for outcome in kept.first_outcomes)
    outputs = [
        outcome if layer.vector is None else completed(layer, outcome, hidden)
        for layer, outcome, hidden in zip(branch.first, outcomes, kept.first_hidden, strict=True)
    ]
    return outcomes, outputs
