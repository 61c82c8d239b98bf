"""Colour from the raw pixels of a sensor with a Bayer filter, by FFmpeg's interpolation."""

import numpy as np
from numpy.typing import NDArray

PATTERNS = ("rggb", "bggr", "gbrg", "grbg")
"""The colours of the upper left 2×2 pixels, row by row."""


def colours_of(raw: NDArray[np.uint8], pattern: str) -> NDArray[np.uint8]:
    """The RGB image, shape (H, W, 3), of raw pixels of shape (H, W).

    Args:
        raw: One value a pixel; H and W even.
        pattern: One of `PATTERNS`.
    """
    import av

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(raw), format=f"bayer_{pattern}8")
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
