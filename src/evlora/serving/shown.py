"""Images as PNG in the text of an answer."""

import base64
import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from evlora.serving.documents import Shown
from evlora.serving.wire import Bytes

NAMES = {"rgb": "rgb", "event": "events", "difference": "difference"}
"""A view of the network → how an answer names it."""


def png(image: Bytes) -> str:
    """An image of shape (H, W, 3) or (H, W, 4) as an address that holds it."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def png_of_moment(image: Bytes) -> str:
    """The same of an image of shape (3, H, W), as networks take it."""
    return png(np.ascontiguousarray(image.transpose(1, 2, 0)))


def shown(name: str, images: Iterable[str], times_us: Sequence[int | None]) -> list[Shown]:
    """The images of a view with their times; a difference has one image less than moments."""
    pictures = list(images)
    times_us = times_us[len(times_us) - len(pictures) :]
    return [
        Shown(modality=NAMES[name], t_us=t_us, png=picture)  # pyright: ignore[reportArgumentType]
        for t_us, picture in zip(times_us, pictures, strict=True)
    ]
