"""Pictures of more than 8 bits a value, brought to 8.

A file of 16 bits a value may keep 10 or 12 of them, as many cameras' do, and few say so. Where
nothing states the number, it is the fewest of 8, 10, 12, 14 and 16 that hold the values of all
frames looked at, one number for a whole sequence; the highest 8 of these bits are kept.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError

DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras give a value."""
FRAMES_LOOKED_AT = 64
"""Of a sequence, evenly spread, to see how many bits its values use."""


def places_looked_at(count: int) -> range:
    """Which frames of a sequence to look at for the bits that its values use."""
    return range(0, count, max(1, -(-count // FRAMES_LOOKED_AT)))


def bits_of(images: Iterable[NDArray[Any]], *, where: str) -> int:
    """The bits that the values of these images use: 8, 10, 12, 14 or 16.

    Raises:
        RecordingError: They are no whole numbers of up to 16 bits.
    """
    highest = 0
    for image in images:
        _require_depth(image, where)
        if image.dtype == np.uint16 and image.size:
            highest = max(highest, int(image.max()))
    return next(bits for bits in DEPTHS if highest < 1 << bits)


def as_8_bits(image: NDArray[Any], bits: int, *, where: str) -> NDArray[np.uint8]:
    """The image, of any shape, with the highest 8 of its bits a value.

    Args:
        image: uint8, which is returned as it is, or uint16.
        bits: That the values of its sequence use.
        where: The file, for messages.

    Raises:
        RecordingError: A value uses more bits, or the image has another type.
    """
    _require_depth(image, where)
    if image.dtype == np.uint8:
        return image
    if image.size and int(image.max()) >> bits:
        raise RecordingError(
            f"{where}: expected values of {bits} bits as in the other frames, got {image.max()}; "
            "give all frames the same depth, such as 8 bits"
        )
    return (image >> np.uint16(bits - 8)).astype(np.uint8)


def _require_depth(image: NDArray[Any], where: str) -> None:
    if image.dtype.str[1:] not in ("u1", "u2"):
        raise RecordingError(
            f"{where}: expected frames as uint8 or uint16, got {image.dtype}; scale them to "
            "8 or 16 bits"
        )
