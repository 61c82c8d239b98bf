"""Rotary positions, which the blocks of timm's `Eva` (EVA-02, DINOv3) need beside their tokens.

They turn queries and keys by angles that stand for the patch's place (RoFormer, arXiv 2104.09864).
Here every block finds them itself, so that whoever calls blocks one by one hands them tokens alone:
those of one image, or of several views joined, where a patch has the same angles in every view.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from timm.models.eva import Eva
from torch import Tensor, nn

from evlora.errors import BackboneError, ShapeError


def give_positions(vit: Eva, name: str) -> None:
    """Let each block add the rotary positions of its tokens, if this backbone has any.

    Args:
        vit: Built for the size of its images.
        name: What messages call it.

    Raises:
        BackboneError: Its positions are trained, with angles of their own in every block.
    """
    if vit.rope is None:
        return
    if vit.rope_mixed:
        raise BackboneError(
            f"backbone.name: expected rotary positions that are the same in all blocks, {name} has "
            "trained ones in each; choose a model without rope_mixed in its name"
        )
    rope = cast(Any, vit.rope)  # one of several classes, which this method alone has in common
    of_patches: Tensor = rope.get_embed(shape=vit.patch_embed.grid_size)  # sines, then cosines
    unturned = _unturned(of_patches).expand(vit.num_prefix_tokens, -1)
    rotations = torch.cat([unturned, of_patches]).detach()
    vit.register_buffer("rotations", rotations, persistent=False)
    for block in vit.blocks:
        block.register_buffer("rotations", rotations, persistent=False)
        cast(Any, block).prefix_tokens = vit.num_prefix_tokens
        block.register_forward_pre_hook(_with_rotations, with_kwargs=True)


def positions_at(vit: nn.Module, places: Tensor) -> dict[str, Tensor]:
    """What blocks need beside the tokens of some patches of an image and one without a place.

    Args:
        vit: A backbone or a view.
        places: Numbers of the patches, shape (B, K).

    Returns:
        Keywords for each block: the rotary positions of K + 1 tokens, the last of which is not
        turned; none where the tokens themselves know where they are.
    """
    rotations = dict(vit.named_buffers(recurse=False)).get("rotations")
    if rotations is None:
        return {}
    of_patches = rotations[cast(Any, vit).num_prefix_tokens :][places]  # (B, K, …)
    without_place = _unturned(rotations).expand(places.shape[0], 1, -1)
    # For every head of the attention the same.
    return {"rope": torch.cat([of_patches, without_place], dim=1).unsqueeze(1)}


def with_positions(block: nn.Module, tokens: Tensor, named: Mapping[str, Any]) -> dict[str, Any]:
    """What a block is called with beside the tokens: the positions that are given, or its own.

    Takes, and raises, what `positions_of` does.
    """
    if named.get("rope") is not None:
        return {**named}
    return {**named, **positions_of(block, tokens)}


def positions_of(block: nn.Module, tokens: Tensor) -> dict[str, Tensor]:
    """What a block needs beside the tokens of whole images, of one or several views.

    Args:
        block: Of a backbone or a view.
        tokens: Shape (B, N, D).

    Returns:
        Keywords for the block; none where the tokens themselves know where they are.

    Raises:
        ShapeError: N is not that of whole images.
    """
    rotations = dict(block.named_buffers(recurse=False)).get("rotations")
    if rotations is None:
        return {}
    views, rest = divmod(tokens.shape[1], len(rotations))
    if rest:
        raise ShapeError(
            f"tokens: expected N = {len(rotations)} for each view, as many as an image of the size "
            f"that the backbone was built for has, got N = {tokens.shape[1]}"
        )
    # The attention itself leaves the prefix alone, and wants angles for what follows it.
    prefix_tokens = cast(Any, block).prefix_tokens
    return {"rope": rotations.repeat(views, 1)[prefix_tokens:]}


def _unturned(rotations: Tensor) -> Tensor:
    """The row of a token that is not turned, sines 0 and cosines 1, like the rows of these."""
    row = torch.zeros_like(rotations[:1])
    row[:, rotations.shape[1] // 2 :] = 1
    return row


def _with_rotations(
    block: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return arguments, with_positions(block, arguments[0], named)  # timm's own forward hands them on
