"""The pixels of ROS pictures: sensor_msgs/Image and CompressedImage."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.pictures import FORMATS, require_size
from evlora.recordings.readers.bayer import PATTERNS, colours_of
from evlora.recordings.readers.ros_messages import CompressedImage, Image

CHANNELS = {
    **{"mono8": 1, "8uc1": 1, "rgb8": 3, "bgr8": 3, "8uc3": 3, "rgba8": 4, "bgra8": 4, "8uc4": 4},
    **{f"bayer_{pattern}8": 1 for pattern in PATTERNS},
    **{"yuv422": 2, "uyvy": 2, "yuv422_yuy2": 2, "yuyv": 2},
}
"""Encodings of 8 bits that are read, with their values a pixel; OpenCV's nameless ones are BGR."""
DEEP_CHANNELS = {
    **{"mono16": 1, "16uc1": 1, "rgb16": 3, "bgr16": 3, "16uc3": 3},
    **{"rgba16": 4, "bgra16": 4, "16uc4": 4},
    **{f"bayer_{pattern}16": 1 for pattern in PATTERNS},
}
"""The same of 16 bits."""


def pixels_of(image: Image) -> NDArray[Any]:
    """The picture as uint8 or uint16 of shape (H, W) or (H, W, 3) RGB.

    Raises:
        RecordingError: The encoding is not known or bytes are missing.
    """
    name = image.encoding.lower()
    channels = CHANNELS.get(name, DEEP_CHANNELS.get(name))
    if channels is None:
        raise RecordingError(
            f"expected a picture of 8 or 16 bits a channel, got the encoding {image.encoding!r}"
        )
    value = np.dtype("u1")
    if name in DEEP_CHANNELS:
        value = np.dtype(">u2" if image.is_bigendian else "<u2")
    row_bytes = image.width * channels * value.itemsize
    if image.step < row_bytes or min(image.width, image.height) < 1:
        raise RecordingError(
            f"expected rows of at least {row_bytes} bytes, got {image.step} ({image.width}×"
            f"{image.height}, {image.encoding})"
        )
    if len(image.data) < image.step * image.height:
        raise RecordingError(
            f"expected {image.step * image.height} bytes of pixels, got {len(image.data)}"
        )
    rows = image.data[: image.step * image.height].reshape(image.height, image.step)[:, :row_bytes]
    values = np.ascontiguousarray(rows).view(value).astype(value.newbyteorder("="))
    if name.startswith("bayer"):
        return colours_of(values, name[6:10])
    if channels == 1:
        return values
    pixels = values.reshape(image.height, image.width, channels)
    if channels == 2:
        return _from_yuv422(pixels.astype(np.uint8), is_luma_first=name in ("yuv422_yuy2", "yuyv"))
    is_rgb = name.startswith("rgb")
    return np.ascontiguousarray(pixels[..., :3] if is_rgb else pixels[..., 2::-1])


def unpacked(image: CompressedImage) -> NDArray[Any]:
    """The picture within the message, as uint8 or uint16 of shape (H, W) or (H, W, 3) RGB.

    Raises:
        RecordingError: It is no picture that Pillow reads, or one of more than 16 bits.
    """
    from PIL import Image as PillowImage

    try:
        with PillowImage.open(io.BytesIO(image.data.tobytes()), formats=FORMATS) as opened:
            require_size("a picture", opened.width, opened.height)
            if opened.mode.startswith("I;16"):
                return np.asarray(opened).astype(np.uint16)
            if opened.mode not in ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr"):
                raise RecordingError(f"expected a picture of 8 or 16 bits, got {opened.mode}")
            return np.asarray(opened if opened.mode == "L" else opened.convert("RGB"))
    except RecordingError:
        raise
    except Exception as error:  # Pillow raises whatever its decoders do
        raise RecordingError(f"expected a picture ({image.format}): {error}") from error


def _from_yuv422(pixels: NDArray[np.uint8], *, is_luma_first: bool) -> NDArray[np.uint8]:
    import av

    if pixels.shape[1] % 2:
        raise RecordingError(f"expected an even width in YUV 4:2:2, got {pixels.shape[1]}")
    packed = pixels if is_luma_first else pixels[..., ::-1]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(packed), format="yuyv422")
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
