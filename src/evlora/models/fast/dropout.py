"""Dropout without a pass over the map: only the entries that are dropped are drawn and touched.

Dropping each entry by itself with probability p is the same as drawing the gaps between dropped
entries from a geometric distribution. At p = 0.01 that is a hundredth of the random numbers and of
the memory traffic, with the same distribution; the entries that a seed drops are others than those
that `torch.nn.Dropout` drops.
"""

import math
from collections.abc import Generator
from contextlib import contextmanager

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
        uniform = torch.rand(draws, dtype=torch.float64, device=device)
        gaps = uniform.neg_().log1p_().div_(math.log1p(-rate)).floor_().add_(1)  # geometric
        more = last + gaps.cumsum(0).long()
        found = torch.cat([found, more])
        last = int(more[-1])
    found = found[: int(torch.searchsorted(found, count))]
    return found.int() if count < 2**31 else found


@contextmanager
def entries_dropped(x: Tensor, dropped: Tensor | None) -> Generator[None]:
    """Inside, these entries of x are 0; afterwards they are what they were."""
    if dropped is None:
        yield
        return
    flat, places = x.view(-1), dropped.long()
    values = flat.index_select(0, places)
    flat.index_fill_(0, places, 0)
    yield
    flat.index_copy_(0, places, values)


@contextmanager
def entries_kept(x: Tensor, dropped: Tensor | None) -> Generator[None]:
    """What is done to x inside is undone for these entries."""
    if dropped is None:
        yield
        return
    flat, places = x.view(-1), dropped.long()
    values = flat.index_select(0, places)
    yield
    flat.index_copy_(0, places, values)
