"""Heads of the frozen attention that look at a neighbouring moment, which costs nothing.

ZeroI2V (Li et al., ECCV 2024) lets some heads of an image network attend to other frames of a
video: their keys and values are those of a moment before or after. There are no weights and no
further products, so that whatever linear adapters learn around it still folds into the weights.
"""

from collections.abc import Iterable
from typing import Any, cast

import torch
from timm.layers.attention import Attention
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from evlora.errors import AdapterError
from evlora.models.adapters.moments import SeesMoments, by_clip, neighbours


class MomentAttention(Attention, SeesMoments):
    """An attention of timm, of whose heads some have keys and values of a neighbouring moment.

    It holds the layers of the attention that it replaces, under their names.

    Args:
        attention: Frozen.
        moment_heads: How many heads: the first has the moment before, the second the one after,
            and so on in turn.
    """

    def __init__(self, attention: Attention, moment_heads: int) -> None:
        nn.Module.__init__(self)
        self.__dict__.update({**attention.__dict__, "_modules": dict(attention._modules)})
        self.moment_heads = moment_heads

    def forward(
        self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Shape (B·T, N, D) to the same shape."""
        layers = cast(Any, self)
        images, count, _ = x.shape
        qkv = self.qkv(x).reshape(images, count, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B·T, heads, N, D of a head)
        attended = scaled_dot_product_attention(
            self.q_norm(q),
            self._of_neighbours(self.k_norm(k)),
            self._of_neighbours(v),
            attn_mask=attn_mask,
            is_causal=is_causal,
            dropout_p=layers.attn_drop.p if self.training else 0.0,
        )
        joined = self.norm(attended.transpose(1, 2).reshape(images, count, self.attn_dim))
        return self.proj_drop(self.proj(joined))

    def _of_neighbours(self, x: Tensor) -> Tensor:
        """Keys or values, shape (B·T, heads, N, D of a head), with the first heads' from others."""
        if self.moments == 1:
            return x
        heads = list(by_clip(x, self.moments).unbind(2))  # (B, T, N, D of a head) each
        for place in range(self.moment_heads):
            heads[place] = neighbours(heads[place], 1 if place % 2 else -1)
        return torch.stack(heads, dim=2).flatten(0, 1)


def give_moment_heads(blocks: Iterable[nn.Module], moment_heads: int) -> None:
    """Let heads of these blocks look at neighbouring moments; changed in place.

    Args:
        blocks: Of a ViT of timm.
        moment_heads: How many heads of each.

    Raises:
        AdapterError: A block has fewer heads, or an attention that is not timm's plain one.
    """
    for block in blocks:
        attention = cast(Any, block).attn
        if type(attention) is not Attention or attention.gate is not None:
            raise AdapterError(
                f"moment_heads: expected the attention of timm's VisionTransformer, got "
                f"{type(attention).__name__}, whose keys have positions or gates of their own; "
                "set it to 0, or choose another backbone"
            )
        if moment_heads > attention.num_heads:
            raise AdapterError(
                f"moment_heads: expected at most the {attention.num_heads} heads of the backbone's "
                f"attention, got {moment_heads}"
            )
        cast(Any, block).attn = MomentAttention(attention, moment_heads)
