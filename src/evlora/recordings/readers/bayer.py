"""Colour from the raw pixels of a sensor with a Bayer filter, by FFmpeg's interpolation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

PATTERNS = ("rggb", "bggr", "gbrg", "grbg")
"""The colours of the upper left 2×2 pixels, row by row."""


def colours_of(raw: NDArray[Any], pattern: str) -> NDArray[Any]:
    """The RGB image, shape (H, W, 3) and of the same type, of raw pixels of shape (H, W).

    Args:
        raw: One value a pixel, uint8 or uint16; H and W even.
        pattern: One of `PATTERNS`.
    """
    import av

    is_deep = raw.dtype == np.uint16
    name = f"bayer_{pattern}16le" if is_deep else f"bayer_{pattern}8"
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(raw), format=name)
    return np.asarray(frame.to_ndarray(format="rgb48le" if is_deep else "rgb24"), raw.dtype)
