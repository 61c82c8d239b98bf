"""What adapters that see time have in common: which images of a batch are the moments of one clip.

Networks send all B·T images of a batch through the backbone in one call, so a layer does not see
where a clip ends. The network sets T before each such call. Without one it is 1: each image alone.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from evlora.errors import AdapterError


class SeesMoments:
    """A module whose output for one moment also depends on the other moments of its clip."""

    moments: int = 1
    """T: this number of images in a row are one clip."""


def set_moments(module: nn.Module, moments: int) -> None:
    """Set T in all layers that see time.

    Args:
        module: The backbone, or a part of it.
        moments: T of the images that it gets next.
    """
    for layer in _seeing(module):
        layer.moments = moments


def moments_of(module: nn.Module) -> int:
    """T that was set in the layers that see time; 1 where none does."""
    layer = next(_seeing(module), None)
    return 1 if layer is None else layer.moments


def sees_moments(module: nn.Module) -> bool:
    """Whether what this module makes of an image depends on the moments around it."""
    return next(_seeing(module), None) is not None


def by_clip(x: Tensor, moments: int) -> Tensor:
    """The images of each clip together: shape (B·T, …) to (B, T, …).

    Raises:
        AdapterError: T does not divide the number of images.
    """
    images = x.shape[0]  # a symbol while a graph is recorded, which len() would make a number
    if images % moments:
        raise AdapterError(
            f"expected clips of {moments} moments, got {images} images, which is no multiple; call "
            "evlora.models.adapters.moments.set_moments with the length of your clips"
        )
    return x.unflatten(0, (-1, moments))


def neighbours(x: Tensor, step: int) -> Tensor:
    """What stands `step` moments later (earlier, if negative); at a border, the last that there is.

    Args:
        x: Shape (B, T, …).
        step: How far.

    Returns:
        The same shape.
    """
    places = torch.arange(x.shape[1], device=x.device) + step
    return x[:, places.clamp(0, x.shape[1] - 1)]


def _seeing(module: nn.Module) -> Iterator[SeesMoments]:
    return (part for part in module.modules() if isinstance(part, SeesMoments))
