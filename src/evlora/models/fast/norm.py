"""A layer norm at the start of a residual branch, which keeps its normalised tokens once.

What the linear layer behind it would keep, x̂ ⊙ w + b, is made again from x̂, and so is what the norm
itself needs: of x there is nothing to keep.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Norm(NamedTuple):
    """A layer norm's numbers; w and b may be trained."""

    weight: Tensor
    bias: Tensor
    eps: float


class Normalised(NamedTuple):
    """What a norm keeps."""

    tokens: Tensor
    """x̂, shape (tokens, D)."""
    rate: Tensor
    """1 / σ, shape (tokens, 1)."""


def normalise(x: Tensor, eps: float) -> Normalised:
    """x̂ and 1/σ of tokens, shape (tokens, D), float32."""
    tokens, _, rate = torch.native_layer_norm(x, x.shape[-1:], None, None, eps)
    return Normalised(tokens, rate)


def scaled(norm: Norm, tokens: Tensor, dtype: torch.dtype) -> Tensor:
    """x̂ ⊙ w + b, taken in float32."""
    return torch.addcmul(norm.bias.float(), tokens.float(), norm.weight.float()).to(dtype)


def norm_gradients(
    norm: Norm, kept: Normalised, gradient: Tensor, *, needs: tuple[bool, bool]
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The gradients of x, w and b, float32.

    Args:
        norm: The norm.
        kept: From `normalise`.
        gradient: Of its output, shape (tokens, D).
        needs: Whether w and b need one.

    Returns:
        Of x, shape (tokens, D), and of w and b, or None.
    """
    tokens, gradient = kept.tokens.float(), gradient.float()
    zeros, ones = torch.zeros_like(kept.rate), torch.ones_like(kept.rate)
    of_x, of_weight, of_bias = torch.ops.aten.native_layer_norm_backward(
        gradient,
        tokens,
        list(tokens.shape[-1:]),
        zeros,
        ones,
        norm.weight.float(),
        norm.bias.float(),
        [True, *needs],
    )
    return of_x.mul_(kept.rate), of_weight, of_bias
