"""Dropout without a pass over the map: only the entries that are dropped are drawn and touched.

Dropping each entry by itself with probability p is the same as drawing the gaps between dropped
entries from a geometric distribution. At p = 0.01 that is a hundredth of the random numbers and of
the memory traffic, with the same distribution; the entries that a seed drops are others than those
that `torch.nn.Dropout` drops.
"""

import math

import torch
from torch import Tensor


def dropped_entries(count: int, *, rate: float, device: torch.device) -> Tensor:
    """The entries that dropout takes away, in ascending order.

    Args:
        count: Entries of the map.
        rate: p, more than 0 and less than 1.
        device: Where to draw.

    Returns:
        Numbers in 0…count−1, shape (dropped,).
    """
    expected = count * rate
    draws = math.ceil(expected + 8 * math.sqrt(expected) + 16)
    found = torch.empty(0, dtype=torch.int64, device=device)
    last = -1
    while last < count:  # once, but for one case in 10¹⁵
        gaps = torch.empty(draws, dtype=torch.float64, device=device).geometric_(rate)
        more = last + gaps.cumsum(0).long()
        found = torch.cat([found, more])
        last = int(more[-1])
    found = found[: int(torch.searchsorted(found, count))]
    return found.int() if count < 2**31 else found


def without_dropped(hidden: Tensor, x: Tensor, down: Tensor, dropped: Tensor) -> Tensor:
    """A·x without what the dropped entries of x gave.

    Args:
        hidden: A·x of the whole x, shape (tokens, r); changed in place.
        x: Shape (tokens, D).
        down: A, shape (r, D).
        dropped: From `dropped_entries`.

    Returns:
        Shape (tokens, r).
    """
    rows, columns = _places(dropped, x)
    lost = x.reshape(-1)[dropped].unsqueeze(1) * down.t()[columns]
    return hidden.index_add_(0, rows, lost, alpha=-1)


def down_gradient_without_dropped(
    gradient: Tensor, x: Tensor, hidden_gradient: Tensor, dropped: Tensor
) -> Tensor:
    """The gradient of A without what the dropped entries of x gave; changed in place, (r, D)."""
    rows, columns = _places(dropped, x)
    lost = x.reshape(-1)[dropped].unsqueeze(1) * hidden_gradient[rows]
    correction = torch.zeros_like(gradient.t(), memory_format=torch.contiguous_format)
    return gradient.sub_(correction.index_add_(0, columns, lost).t())


def input_gradient_without_dropped(
    gradient: Tensor, hidden_gradient: Tensor, down: Tensor, dropped: Tensor
) -> Tensor:
    """The gradient of x, (tokens, D), without that of dropped entries; changed in place."""
    rows, columns = _places(dropped, gradient)
    lost = (hidden_gradient[rows] * down.t()[columns]).sum(dim=1)
    gradient.view(-1).index_add_(0, dropped.long(), lost, alpha=-1)
    return gradient


def _places(dropped: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    width = x.shape[-1]
    return dropped // width, dropped % width
