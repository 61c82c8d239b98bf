"""A frozen linear layer with what adapters add to it, forwards and backwards, without autograd.

y = v ⊙ (W·x) + b + Σ s·B·A·dropout(x). The vector v, the bias b and the pairs A, B may be trained,
and only they get gradients: nothing is kept for W. All of LoRA, Lv-Adapter, SSF and BitFit are of
this form (`parts` reads it from their layers).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from evlora.models.fast.dropout import dropped_entries, entries_dropped, entries_kept


class Pair(NamedTuple):
    """A low-rank pair: s·B·A·dropout(x)."""

    down: Tensor
    """A, shape (r, D of the input)."""
    up: Tensor
    """B, shape (D of the output, r)."""
    dropout: float
    scale: float = 1.0
    """Of what the pair adds."""

    @property
    def factor(self) -> float:
        """The scale, and what dropout multiplies the entries by that it keeps."""
        return self.scale / (1 - self.dropout)


class AdaptedLinear(NamedTuple):
    """A frozen weight and what is trained around it."""

    weight: Tensor
    bias: Tensor | None
    vector: Tensor | None
    pairs: tuple[Pair, ...]


class Hidden(NamedTuple):
    """What a pair keeps for the way back: s·A·dropout(x), and which entries were dropped."""

    values: Tensor
    dropped: Tensor | None


def product(layer: AdaptedLinear, x: Tensor) -> Tensor:
    """W·x, with the bias where there is no vector; shape (tokens, D of the output)."""
    weight = layer.weight.to(x.dtype)
    if layer.bias is None or layer.vector is not None:
        return x @ weight.t()
    return torch.addmm(layer.bias.to(x.dtype), x, weight.t())


def hidden_of(layer: AdaptedLinear, x: Tensor) -> tuple[Hidden, ...]:
    """s·A·dropout(x) of each pair; x is changed on the way, and is as it was afterwards."""
    found: list[Hidden] = []
    for pair in layer.pairs:
        down = pair.down.to(x.dtype)
        dropped = None
        if pair.dropout:
            dropped = dropped_entries(x.numel(), rate=pair.dropout, device=x.device)
        with entries_dropped(x, dropped):
            values = _narrow(down, x)
        found.append(Hidden(_times(pair.factor, values), dropped))
    return tuple(found)


def completed(layer: AdaptedLinear, outcome: Tensor, hidden: Sequence[Hidden]) -> Tensor:
    """The layer's output from its `product`, which is changed in place where there is no vector."""
    if layer.vector is not None:
        # v stays near 1, where half precision is coarse: the product is taken in v's type.
        scaled = outcome * layer.vector
        outcome = (scaled if layer.bias is None else scaled.add_(layer.bias)).to(outcome.dtype)
    for pair, kept in zip(layer.pairs, hidden, strict=True):
        outcome.addmm_(kept.values, pair.up.to(outcome.dtype).t())
    return outcome


def hidden_gradients(layer: AdaptedLinear, gradient: Tensor) -> tuple[Tensor, ...]:
    """The gradient of each pair's `Hidden.values` before its scaling, shape (tokens, r)."""
    return tuple(
        _times(pair.factor, _narrow(pair.up.to(gradient.dtype).t(), gradient))
        for pair in layer.pairs
    )


def input_gradient(
    layer: AdaptedLinear, gradient: Tensor, of_hidden: Sequence[Tensor], hidden: Sequence[Hidden]
) -> Tensor:
    """The gradient of the layer's input, shape (tokens, D of the input).

    Args:
        layer: The layer.
        gradient: Of its output, shape (tokens, D of the output).
        of_hidden: From `hidden_gradients`.
        hidden: From `hidden_of`.
    """
    before = gradient if layer.vector is None else (gradient * layer.vector).to(gradient.dtype)
    of_x = before @ layer.weight.to(gradient.dtype)
    for pair, of_values, kept in zip(layer.pairs, of_hidden, hidden, strict=True):
        down = pair.down.to(gradient.dtype)
        with entries_kept(of_x, kept.dropped):
            of_x.addmm_(of_values, down)
    return of_x


def tensor_gradients(
    layer: AdaptedLinear,
    gradient: Tensor,
    of_hidden: Sequence[Tensor],
    hidden: Sequence[Hidden],
    *,
    x: Tensor,
    outcome: Tensor | None,
    needs: AdaptedLinear,
) -> AdaptedLinear:
    """The gradients of the layer's tensors, each in its place; None where none is needed.

    Args:
        layer: The layer.
        gradient: Of its output, shape (tokens, D of the output).
        of_hidden: From `hidden_gradients`.
        hidden: From `hidden_of`.
        x: The layer's input, shape (tokens, D of the input).
        outcome: Its `product`, where it has a vector that is trained.
        needs: Whether each tensor needs one, in its place; the weight never does.
    """
    of_bias = gradient.sum(dim=0, dtype=torch.float32) if needs.bias is True else None
    of_vector = None
    if needs.vector is True:
        assert outcome is not None
        of_vector = (gradient.float() * outcome.float()).sum(dim=0)
    of_pairs: list[Any] = []
    for pair, of_values, kept, needed in zip(
        layer.pairs, of_hidden, hidden, needs.pairs, strict=True
    ):
        of_down = _down_gradient(of_values, x, kept) if needed.down is True else None
        # The transpose of the small product is five times as fast as the product of transposes.
        of_up = (kept.values.t() @ gradient).t() if needed.up is True else None
        of_pairs.append(pair._replace(down=cast(Any, of_down), up=cast(Any, of_up)))
    return AdaptedLinear(cast(Any, None), of_bias, of_vector, tuple(of_pairs))


def _narrow(down: Tensor, x: Tensor) -> Tensor:
    """x·Aᵀ for few rows of A; as A·xᵀ, rows in one piece, it takes down to a fifth of the time."""
    return (down.contiguous() @ x.t()).t()


def _times(factor: float, values: Tensor) -> Tensor:
    return values if factor == 1 else values.mul_(factor)


def _down_gradient(of_values: Tensor, x: Tensor, kept: Hidden) -> Tensor:
    with entries_dropped(x, kept.dropped):
        return of_values.t() @ x
