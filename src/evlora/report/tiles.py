"""Single pictures of clips in a size that one can look at."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Picture = NDArray[np.uint8]
"""Shape (H, W, 3)."""
LEAST_PX, MOST_PX = 96, 160
"""Of the smaller side: what is smaller is enlarged by a whole factor, so that pixels can be seen;
what is larger is reduced."""


def tiles(images: Tensor) -> list[Picture]:
    """Pictures of one modality in a size that one can look at.

    Args:
        images: uint8, shape (T, 3, H, W).
    """
    pictures = images.permute(0, 2, 3, 1).cpu().numpy()
    height, width = pictures.shape[1:3]
    side = min(height, width)
    if side <= MOST_PX:
        factor = max(1, -(-LEAST_PX // side))
        return list(pictures.repeat(factor, axis=1).repeat(factor, axis=2))
    size = (round(width * MOST_PX / side), round(height * MOST_PX / side))
    return [np.asarray(Image.fromarray(one).resize(size)) for one in pictures]


def in_a_row(pictures: list[Picture]) -> Picture:
    """Pictures beside each other, from left to right, with a thin frame each."""
    return np.concatenate([_framed(one) for one in pictures], axis=1)


def _framed(picture: Picture) -> Any:
    return np.pad(picture, ((1, 1), (1, 1), (0, 0)), constant_values=128)
