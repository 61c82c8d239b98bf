"""Picture files: their pages, and the values of a page at the depth that the file keeps.

Pillow decodes them, but for colours of 16 bits, which it cuts to 8: those go through FFmpeg.
"""

import math
import re
import struct
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evlora.companions import is_apple_double
from evlora.errors import RecordingError
from evlora.limits import limits, raising
from evlora.untrusted import plain

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP", "PPM", "GIF")
"""Those that Pillow may open. It knows others by their content, whatever the suffix, and has
external programs open some of them."""
DEEP_CONTAINERS = "png_pipe,apng,tiff_pipe,pbm_pipe,pgm_pipe,ppm_pipe,pam_pipe"
"""FFmpeg's names of the formats that keep colours of 16 bits."""
STACKED_FORMATS = ("TIFF", "PNG", "WEBP", "GIF")
"""Formats whose pages are frames; the further pictures in a JPEG are previews of it."""
BITS_TAG, WHITE_IS_ZERO_TAG, TEXT_TAG, HIGHEST_TAG, KIND_TAG = 258, 262, 270, 281, 254
"""Tags of TIFF: bits of a value, meaning of 0, description, highest value, kind of page."""
ORIENTATION_TAG = 274
UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}
"""EXIF's orientation → what puts the pixels upright."""
WHOLE_RANGE = 0xFFFF
"""The highest value of 16 bits."""
SIZE_OF_STACK = re.compile(r'\bSize([CZT])="(\d{1,9})"')
"""Channels, slices and times of a stack, as OME describes them."""
SMALLER_COPY, MASK = 1, 4
"""Bits of a TIFF page's kind."""


@dataclass(frozen=True, slots=True)
class Values:
    """The pixels of a page."""

    pixels: NDArray[Any]
    """uint8 of shape (H, W, 3) RGB, or uint16 of shape (H, W) or (H, W, 3)."""
    bits: int | None
    """That the file states a value to have; None where it states nothing."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of a file that are frames."""

    numbers: tuple[int, ...]
    shown_us: tuple[int, ...] | None
    """When each is shown, in an animation; None for a stack."""


def read_values(path: Path, page: int = 0) -> Values:
    """The pixels of a page.

    Raises:
        RecordingError: The file is missing, is no picture, or keeps values beyond 16 bits.
    """
    with opened(path) as image:
        if page:
            image.seek(page)
            require_size(path, image.width, image.height)
        return _values(path, image, page)


def read_pages(path: Path) -> tuple[Pages, Values]:
    """Which pages of the file are frames, one for nearly every file, and the pixels of the first.

    Raises:
        RecordingError: The file is missing, is no picture, or holds frames that Pillow cannot find.
    """
    with opened(path) as image:
        count = int(getattr(image, "n_frames", 1)) if image.format in STACKED_FORMATS else 1
        if count > path.stat().st_size:
            raise RecordingError(
                f"{path}: states {count} pages, more than it has bytes; it is damaged: copy it "
                "again, or leave it out"
            )
        if image.format == "TIFF":
            _require_all_pages(path, image, count)
        numbers = [page for page in range(count) if count == 1 or _is_frame(path, image, page)] or [
            0
        ]
        shown_us = None
        if len(numbers) > 1 and image.format != "TIFF":
            shown_us = _shown_us(image, numbers)
        pages = Pages(tuple(numbers), shown_us)
        if count == 1:
            return pages, _values(path, image, 0)
    return pages, read_values(path, numbers[0])


@contextmanager
def opened(path: Path) -> Generator["Image"]:
    """The picture, opened by Pillow.

    Raises:
        RecordingError: The file is missing or is no picture that can be read.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        # Not by its path: Pillow 13.0 then maps uncompressed TIFFs into memory, and scrambles the
        # pixels of those that lie on their side.
        with (
            plain(path, RecordingError).open("rb") as stream,
            _let_through(Image).open(stream, formats=FORMATS) as image,
        ):
            require_size(path, image.width, image.height)
            yield image
    except UnidentifiedImageError as error:
        if is_apple_double(path):
            raise RecordingError(
                f"{path}: expected a picture, got what macOS keeps beside one; take it out of the "
                f"list of frames, and open {path.name.removeprefix('._')} instead"
            ) from error
        raise _unreadable(path, error) from error
    except FileNotFoundError:
        raise RecordingError(
            f"{path}: no such picture; put it back, or take it out of the list of frames"
        ) from None
    except (
        *(Image.DecompressionBombError, Image.DecompressionBombWarning),
        *(OSError, ValueError, SyntaxError, MemoryError, EOFError, KeyError, TypeError),
        *(IndexError, ArithmeticError, AttributeError, AssertionError, RuntimeError),
        *(struct.error, zlib.error),
    ) as error:
        raise _unreadable(path, error) from error


def _let_through(pillow: Any) -> Any:
    """Pillow's module, whose own limit is raised where the user's is higher."""
    if pillow.MAX_IMAGE_PIXELS is not None:
        pillow.MAX_IMAGE_PIXELS = max(pillow.MAX_IMAGE_PIXELS, limits().picture_px)
    return pillow


def require_size(where: object, width: int, height: int) -> None:
    """Refuse a picture, a page or a frame before its pixels take memory.

    Args:
        where: The file, for messages.
        width: In pixels, as its header states.
        height: In pixels.

    Raises:
        RecordingError: It has more pixels than the limit `picture_px`.
    """
    if width * height > limits().picture_px:
        raise RecordingError(
            f"{where}: expected pictures of at most {limits().picture_px:,} pixels, got "
            f"{width}×{height}; it is damaged, or make it smaller, or {raising('picture_px')}"
        )


def _unreadable(path: Path, error: Exception) -> RecordingError:
    return RecordingError(
        f"{path}: expected a picture, could not read it: {error}; the file is damaged or cut "
        "short: copy it again, or leave it out"
    )


def _values(path: Path, image: "Image", page: int) -> Values:
    from PIL import ImageOps

    depth = _depth(image)
    if depth <= 8:
        # A phone stores how to turn its pictures beside them (EXIF), as every viewer does.
        return Values(np.asarray(ImageOps.exif_transpose(image).convert("RGB")), None)
    if depth > 16 or image.mode == "F":
        raise RecordingError(
            f"{path}: expected a picture of up to 16 bits a value, got {depth}; "
            "scale it to 8 or 16 bits"
        )
    if not image.mode.startswith("I"):
        turned = UPRIGHT.get(int(image.getexif().get(ORIENTATION_TAG, 1)), np.asarray)
        return Values(turned(_deep_colours(path, page)), _stated_bits(image))
    bits = _stated_bits(image)
    is_inverted = _tag(image, WHITE_IS_ZERO_TAG) == 0
    pixels = np.asarray(ImageOps.exif_transpose(image))
    if int(pixels.min()) < 0 or int(pixels.max()) > 0xFFFF:
        raise RecordingError(
            f"{path}: expected values of 0 to 65535, got {pixels.min()} to {pixels.max()}; "
            "scale the picture to 8 or 16 bits"
        )
    pixels = pixels.astype(np.uint16)
    if is_inverted:
        pixels = np.uint16((1 << (bits or 16)) - 1) - pixels
    return Values(pixels, bits)


def _deep_colours(path: Path, page: int) -> NDArray[np.uint16]:
    """Colours of 16 bits, shape (H, W, 3)."""
    import av

    if page:
        raise RecordingError(
            f"{path}: expected colours of 8 bits in a file of several pages, got 16 bits in page "
            f"{page}; save each page as a file, or with 8 bits"
        )
    try:
        with (
            path.open("rb") as stream,
            av.open(stream, "r", options={"format_whitelist": DEEP_CONTAINERS}) as container,
        ):
            frame = next(container.decode(video=0))
            pixels = frame.to_ndarray(format="rgb48le")
    except (av.FFmpegError, StopIteration, ValueError, OSError) as error:
        raise RecordingError(
            f"{path}: expected a picture of 16 bits a value, could not read it: {error}; "
            "save it with 8 bits, or leave it out"
        ) from error
    return np.asarray(pixels, np.uint16)


def _depth(image: "Image") -> int:
    """Bits of a value in the file."""
    stated = _tag(image, BITS_TAG)
    if stated is not None:
        return max(map(int, stated)) if isinstance(stated, tuple) else int(stated)
    if image.mode == "F":
        return 32
    if image.mode.startswith("I") or _highest_of_netpbm(image) == WHOLE_RANGE:
        return 16
    # Pillow cuts deep colours as it loads them; only how it means to do it shows their depth.
    tiles: Any = getattr(image, "tile", ()) if image.format == "PNG" else ()
    return 16 if any("16" in str(tile[3]) for tile in tiles) else 8


def _stated_bits(image: "Image") -> int | None:
    if image.format == "PPM":
        # Pillow scales values to their whole range; most tools state that range for any values.
        return None if _highest_of_netpbm(image) == WHOLE_RANGE else 16
    highest = _tag(image, HIGHEST_TAG)
    if highest is not None:
        first = highest[0] if isinstance(highest, tuple) else highest
        if 0xFF < int(first) < WHOLE_RANGE:
            return int(first).bit_length()
    depth = _depth(image)
    return depth if 8 < depth < 16 else None


def _highest_of_netpbm(image: "Image") -> int | None:
    """The highest value that a PGM or PPM states; None in other formats."""
    tiles: Any = getattr(image, "tile", ())
    if image.format != "PPM" or not tiles:
        return None
    if tiles[0][0] == "raw":  # whose values are stored as Pillow keeps them
        return WHOLE_RANGE if image.mode == "I" else 0xFF
    return int(tiles[0][3][1])


def _tag(image: "Image", number: int) -> Any:
    """A tag of a TIFF page; None where it has none."""
    tags: Any = getattr(image, "tag_v2", None)
    return None if tags is None or image.format != "TIFF" else tags.get(number)


def _is_frame(path: Path, image: "Image", page: int) -> bool:
    """Whether a page is a frame of its own rather than a preview, a mask or a poster."""
    if image.format == "TIFF":
        image.seek(page)
        return not int(_tag(image, KIND_TAG) or 0) & (SMALLER_COPY | MASK)
    return not (page == 0 and bool(image.info.get("default_image")))


def _require_all_pages(path: Path, image: "Image", count: int) -> None:
    """Refuse stacks whose pages are no frames: blocks behind a single page, and channels.

    ImageJ writes long stacks as one block of pixels; it and OME give each channel a page.
    """
    text = str(_tag(image, TEXT_TAG) or "")
    channels = _channels(text, count)
    if 1 < channels < count:  # all pages: some tools call the frames of a plain stack channels
        raise RecordingError(
            f"{path}: expected a page for each frame, its {count} pages hold {channels} channels "
            "one after the other; save one channel, or colours"
        )
    found = re.search(r"^images=(\d{1,9})\s*$", text, re.MULTILINE)
    if text.startswith("ImageJ=") and found and int(found[1]) > count:
        raise RecordingError(
            f"{path}: expected {found[1]} pages as ImageJ's description states, got {count}: "
            "the others have no page of their own; save the stack as an image sequence"
        )


def _channels(text: str, pages: int) -> int:
    """The channels that have pages of their own, by the description of ImageJ or OME."""
    found = re.search(r"^channels=(\d{1,4})\s*$", text, re.MULTILINE)
    if text.startswith("ImageJ=") and found:
        return min(int(found[1]), pages)
    sizes = {axis: int(size) for axis, size in SIZE_OF_STACK.findall(text)}
    is_each_a_page = math.prod(sizes.values()) == pages
    return sizes.get("C", 1) if "OME" in text and is_each_a_page else 1


def _shown_us(image: "Image", numbers: list[int]) -> tuple[int, ...] | None:
    """When each page of an animation is shown; None where it has no durations."""
    starts: list[int] = []
    at_ms = 0.0
    for page in numbers:
        image.seek(page)
        image.load()  # some formats know the duration only then
        duration = image.info.get("duration")
        if not isinstance(duration, int | float) or duration < 0:
            return None
        starts.append(round(1000 * at_ms))
        at_ms += duration
    return tuple(starts) if at_ms else None
