"""In which type the fast layers compute, and in which they keep what the way back needs."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Types(NamedTuple):
    """Two types that differ where a processor has no products of 16 bits."""

    computed: torch.dtype
    kept: torch.dtype


def types_for(x: Tensor) -> Types:
    """The types for tokens like these, under the autocast that is on.

    A processor without instructions for bfloat16 emulates its products at a tenth of the speed of
    float32's. There products are taken in float32, which is only more exact, and 16 bits are kept.
    """
    device = x.device.type
    kept = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    if kept == torch.float32 or device != "cpu" or _has_fast_products(kept):
        return Types(kept, kept)
    return Types(torch.float32, kept)


@cache
def _has_fast_products(dtype: torch.dtype) -> bool:
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())


def without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Inside, operations take the types of what they are given."""
    return torch.autocast(x.device.type, enabled=False)
