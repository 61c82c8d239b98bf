"""Softmax attention and its gradients from queries, keys and values alone.

torch's fused attention keeps its output and a logarithm for the way back. Here the way back begins
with queries, keys and values and makes the rest again: on a processor in float32 for as many images
at a time as have their matrices of weights in the cache, elsewhere by repeating the fused kernel.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

CACHED_WEIGHTS = 2**18
"""Attention weights that are computed at a time: 1 MB. The heads of a single image are read where
they lie; those of several are copied first."""


def attend(qkv: tuple[Tensor, Tensor, Tensor], *, scale: float) -> Tensor:
    """softmax(q·kᵀ·scale)·v.

    Args:
        qkv: Queries, keys and values, shape (B, heads, N, d) each.
        scale: Of the products.

    Returns:
        Shape (B, N, heads, d).
    """
    return scaled_dot_product_attention(*qkv, scale=scale).transpose(1, 2)


def attention_gradients(
    qkv: tuple[Tensor, Tensor, Tensor], gradient: Tensor, *, scale: float, needs_output: bool
) -> tuple[Tensor, Tensor | None]:
    """The gradients of queries, keys and values, and the output again if it is needed.

    Args:
        qkv: As for `attend`.
        gradient: Of the output, shape (B, N, heads, d).
        scale: Of the products.
        needs_output: Whether the output is wanted too.

    Returns:
        Of the three, shape (B, N, 3, heads, d); and the output, shape (B, N, heads, d), or None.
    """
    if not _is_written_out(qkv[0]):
        return _by_autograd(qkv, gradient, scale=scale)
    batch, heads, tokens, width = qkv[0].shape
    of_qkv = gradient.new_empty(batch, tokens, 3, heads, width)
    output = torch.empty_like(gradient) if needs_output else None
    for images in _parts(qkv[0]):
        q, k, v, of_output = (
            part[images].flatten(0, 1) for part in (*qkv, gradient.transpose(1, 2))
        )  # (images·heads, N, d)
        weights = _weights(q, k, scale)
        if output is not None:
            output[images] = _apart(torch.bmm(weights, v), heads)
        of_weights = torch.bmm(of_output, v.transpose(1, 2))
        of_scores = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_q = _scaled_product(of_scores, k, scale)
        of_k = _scaled_product(of_scores.transpose(1, 2), q, scale)
        of_v = torch.bmm(weights.transpose(1, 2), of_output)
        for place, of_part in enumerate((of_q, of_k, of_v)):
            of_qkv[images, :, place] = _apart(of_part, heads)
    return of_qkv, output


def _weights(q: Tensor, k: Tensor, scale: float) -> Tensor:
    return torch.softmax(_scaled_product(q, k.transpose(1, 2), scale), dim=-1)


def _scaled_product(left: Tensor, right: Tensor, scale: float) -> Tensor:
    """scale·left·right, without a pass over it for the scale."""
    return torch.baddbmm(left.new_empty(1, 1, 1), left, right, beta=0, alpha=scale)


def _apart(x: Tensor, heads: int) -> Tensor:
    """Images and heads apart: (images·heads, N, d) as (images, N, heads, d)."""
    return x.unflatten(0, (-1, heads)).transpose(1, 2)


def _by_autograd(
    qkv: tuple[Tensor, Tensor, Tensor], gradient: Tensor, *, scale: float
) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        q, k, v = (part.detach().requires_grad_() for part in qkv)
        output = scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2)
    of_each = torch.autograd.grad(output, (q, k, v), gradient)
    return torch.stack([part.transpose(1, 2) for part in of_each], dim=2), output.detach()


def _is_written_out(q: Tensor) -> bool:
    return q.device.type == "cpu" and q.dtype == torch.float32


def _parts(q: Tensor) -> list[slice]:
    batch, heads, tokens, _ = q.shape
    step = max(1, CACHED_WEIGHTS // (heads * tokens * tokens))
    return [slice(first, first + step) for first in range(0, batch, step)]
