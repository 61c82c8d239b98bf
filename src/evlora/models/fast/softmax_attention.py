"""Softmax attention and its gradients from queries, keys and values alone.

torch's fused attention keeps its output and a logarithm for the way back. Here the way back begins
with queries, keys and values and makes the rest again. On a processor in float32 that is done a few
images at a time, whose matrices of weights stay in the cache; elsewhere the fused kernel is used,
and repeated.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

CACHED_WEIGHTS = 2**19
"""Attention weights of the images that are computed at a time: 2 MB."""


def attend(qkv: tuple[Tensor, Tensor, Tensor], *, scale: float) -> Tensor:
    """softmax(q·kᵀ·scale)·v.

    Args:
        qkv: Queries, keys and values, shape (B, heads, N, d) each.
        scale: Of the products.

    Returns:
        Shape (B, N, heads, d).
    """
    if not _is_written_out(qkv[0]):
        return scaled_dot_product_attention(*qkv, scale=scale).transpose(1, 2)
    batch, heads, tokens, width = qkv[0].shape
    output = qkv[0].new_empty(batch, tokens, heads, width)
    for images in _parts(qkv[0]):
        q, k, v = (part[images].flatten(0, 1) for part in qkv)  # (images·heads, N, d)
        attended = _weights(q, k, scale) @ v
        output[images] = attended.unflatten(0, (-1, heads)).transpose(1, 2)
    return output


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
        q, k, v = (part[images].flatten(0, 1) for part in qkv)  # (images·heads, N, d)
        of_output = gradient[images].transpose(1, 2).flatten(0, 1)
        weights = _weights(q, k, scale)
        of_v = weights.transpose(1, 2) @ of_output
        if output is not None:
            output[images] = (weights @ v).unflatten(0, (-1, heads)).transpose(1, 2)
        of_weights = of_output @ v.transpose(1, 2)
        of_scores = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_scores *= scale
        of_each = (of_scores @ k, of_scores.transpose(1, 2) @ q, of_v)
        for place, of_part in enumerate(of_each):
            of_qkv[images, :, place] = of_part.unflatten(0, (-1, heads)).transpose(1, 2)
    return of_qkv, output


def _weights(q: Tensor, k: Tensor, scale: float) -> Tensor:
    return torch.softmax((q * scale) @ k.transpose(1, 2), dim=-1)


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
