"""One picture of a packed recording: zstandard without loss, or JPEG or WebP where that is smaller.

What a picture is compressed with shows in its first bytes. A lossy packing keeps without loss what
is smaller so: event images, most of which are white, lose nothing. Grey pictures are stored as
differences from the pixels beside or above where that is smaller; the byte before them is which.
"""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image, UnidentifiedImageError

from evlora.messages import listed
from evlora.recordings.frames import ImageArray

ZSTD_LEVEL, ZSTD_STORED = 3, -1
LEAST_SAVED = 0.1
"""A picture of which compression saves less is stored as it is: reading it is eight times as
fast."""
DIFFERENCES: Mapping[int, tuple[int, ...]] = {1: (1,), 2: (0,), 3: (0, 1)}
"""Axes of a grey picture, rows and columns, along which differences are taken; by their number."""
DIFFERENCES_LEVEL = 1
"""Of zstandard; higher ones look for repetitions, and differences have none."""
ZSTD_BEGIN = b"\x28\xb5\x2f\xfd"
JPEG_BEGIN = b"\xff\xd8\xff"
WEBP_METHOD = 4
"""How long WebP searches, 0 to 6; its own default."""


class PictureCompressor:
    """Compresses pictures one by one.

    Args:
        lossy: FORMAT:QUALITY such as `jpeg:95`; None keeps every pixel.
    """

    def __init__(self, lossy: str | None) -> None:
        from zstandard import ZstdCompressor

        self._compressor = ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
        self._of_differences = ZstdCompressor(level=DIFFERENCES_LEVEL, write_checksum=True)
        self._storing = ZstdCompressor(level=ZSTD_STORED, write_checksum=True)
        name, _, quality = (lossy or "").partition(":")
        self._format, self._quality = name.upper(), int(quality or 0)

    def __call__(self, image: ImageArray) -> bytes:
        """The bytes of a picture of shape (H, W, 3); grey ones are stored in one channel."""
        is_grey = bool((image == image[..., :1]).all())
        pixels = np.ascontiguousarray(image[..., 0]) if is_grey else image
        content = pixels.tobytes()
        compressed = self._compressor.compress(content)
        if is_grey:
            smallest = min((self._as_differences(pixels, one) for one in DIFFERENCES), key=len)
            is_worth_it = len(smallest) <= (1 - LEAST_SAVED) * len(compressed)
            compressed = smallest if is_worth_it else compressed
        if self._format:
            lossy = self._lossy(pixels)
            if len(lossy) < len(compressed):
                return lossy
        is_worth_it = len(compressed) <= (1 - LEAST_SAVED) * len(content)
        return compressed if is_worth_it else self._storing.compress(content)

    def _as_differences(self, pixels: ImageArray, number: int) -> bytes:
        for axis in DIFFERENCES[number]:
            pixels = np.diff(pixels, axis=axis, prepend=np.uint8(0))  # modulo 256
        return self._of_differences.compress(bytes([number]) + pixels.tobytes())

    def _lossy(self, pixels: ImageArray) -> bytes:
        target = io.BytesIO()
        options = {"method": WEBP_METHOD} if self._format == "WEBP" else {}
        Image.fromarray(pixels).save(target, self._format, quality=self._quality, **options)
        return target.getvalue()


def decompress(compressed: memoryview, *, height: int, width: int) -> ImageArray:
    """The pixels of a picture, shape (H, W, 3), or (H, W, 1) where it is grey.

    Raises:
        ValueError: The data is damaged, or of a picture of another size.
    """
    if bytes(compressed[: len(ZSTD_BEGIN)]) != ZSTD_BEGIN:
        return _decompress_lossy(compressed, height=height, width=width)
    from zstandard import ZstdDecompressor, ZstdError, frame_content_size

    pixels = height * width
    try:
        # The size is looked at first: damage must not ask for any amount of memory.
        if (length := frame_content_size(compressed)) not in (pixels, 3 * pixels, 1 + pixels):
            raise ValueError(f"expected {width}×{height} pixels, got {length} bytes")
        content = ZstdDecompressor().decompress(compressed)
    except ZstdError as error:
        raise ValueError(str(error)) from error
    if length == 1 + pixels:
        return _from_differences(content, height=height, width=width)
    return np.frombuffer(content, np.uint8).reshape(height, width, -1)


def _from_differences(content: bytes, *, height: int, width: int) -> ImageArray:
    if content[0] not in DIFFERENCES:
        raise ValueError(f"expected differences of kind {listed(DIFFERENCES)}, got {content[0]}")
    pixels = np.frombuffer(content, np.uint8, offset=1).reshape(height, width)
    for axis in DIFFERENCES[content[0]]:
        pixels = np.add.accumulate(pixels, axis=axis, dtype=np.uint8)
    return pixels[..., np.newaxis]


def _decompress_lossy(compressed: memoryview, *, height: int, width: int) -> ImageArray:
    if bytes(compressed[: len(JPEG_BEGIN)]) == JPEG_BEGIN:
        return _decompress_jpeg(compressed, height=height, width=width)
    try:
        with Image.open(io.BytesIO(compressed), formats=["WEBP"]) as picture:
            _require_size(picture.size, height=height, width=width)
            grey_or_rgb = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
            return np.asarray(grey_or_rgb, np.uint8).reshape(height, width, -1)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"neither zstandard nor a picture: {error}") from error


def _decompress_jpeg(compressed: memoryview, *, height: int, width: int) -> ImageArray:
    """The pixels that Pillow gives, in half to two thirds of its time: Pillow copies them twice."""
    from simplejpeg import decode_jpeg, decode_jpeg_header

    rows, columns, colours, _ = decode_jpeg_header(compressed)
    _require_size((int(columns), int(rows)), height=height, width=width)
    return decode_jpeg(compressed, "GRAY" if colours == "Gray" else "RGB")


def _require_size(size: tuple[int, int], *, height: int, width: int) -> None:
    """Check the size of a picture before it is decoded: damage must not ask for much memory.

    Raises:
        ValueError: It is another one.
    """
    if size != (width, height):
        raise ValueError(f"expected {width}×{height} pixels, got {size[0]}×{size[1]}")
