"""Single pictures without loss: grey ones as differences, and which are smaller so."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from one_colour import prepared_pictures
from PIL import Image
from zstandard import ZstdCompressor, ZstdDecompressor

from evlora.clips import ClipConfig
from evlora.errors import DatasetError
from evlora.packing import pack
from evlora.packing.pictures import DIFFERENCES, PictureCompressor, decompress

HEIGHT, WIDTH = 60, 80


def grey(kind: str) -> NDArray[np.uint8]:
    """A grey picture of shape (H, W, 3)."""
    generator = np.random.default_rng(2)
    if kind == "noise":
        pixels = generator.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
    elif kind == "white":
        pixels = np.full((HEIGHT, WIDTH), 255, np.uint8)
    else:
        coarse = Image.fromarray(generator.integers(0, 256, (5, 6)).astype(np.uint8))
        smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
        grain = generator.normal(0, 2 if kind == "grain" else 0, smooth.shape)
        pixels = (smooth + grain).round().clip(0, 255).astype(np.uint8)
    if kind == "columns":
        pixels = np.repeat(pixels[:1], HEIGHT, axis=0)
    return np.repeat(pixels[..., np.newaxis], 3, axis=2)


@pytest.mark.parametrize("kind", ["noise", "white", "smooth", "grain", "columns"])
def test_every_pixel_of_a_grey_picture_comes_back(kind: str) -> None:
    image = grey(kind)
    found = decompress(memoryview(PictureCompressor(None)(image)), height=HEIGHT, width=WIDTH)
    np.testing.assert_array_equal(np.broadcast_to(found, image.shape), image)


def test_frames_of_a_camera_are_hardly_larger_than_png() -> None:
    image, png = grey("grain"), io.BytesIO()
    Image.fromarray(image[..., 0]).save(png, "PNG")
    assert len(PictureCompressor(None)(image)) < 1.06 * png.tell()


def test_a_picture_of_another_kind_of_differences_is_refused() -> None:
    written = PictureCompressor(None)(grey("grain"))
    content = ZstdDecompressor().decompress(written)
    assert content[0] in DIFFERENCES
    assert len(content) == 1 + HEIGHT * WIDTH
    later = ZstdCompressor().compress(b"\x09" + content[1:])
    with pytest.raises(ValueError, match="expected differences of kind 1, 2, 3, got 9"):
        decompress(memoryview(later), height=HEIGHT, width=WIDTH)


@pytest.mark.parametrize("place", [20, 200, -5, -1])
def test_damage_of_differences_is_seen(place: int) -> None:
    written = bytearray(PictureCompressor(None)(grey("grain")))
    written[place] ^= 0x10
    with pytest.raises(ValueError, match=r"\w"):
        decompress(memoryview(written), height=HEIGHT, width=WIDTH)


def test_what_an_earlier_version_packed_is_neither_packed_again_nor_mixed(tmp_path: Path) -> None:
    dataset, out = prepared_pictures(tmp_path, 4), tmp_path / "out"
    clip = ClipConfig(frames=1, modalities=("rgb",), size=16)
    pack(dataset, out, clip, workers=0)
    settings = json.loads((out / "packing.json").read_text()) | {"codec": 1}
    (out / "packing.json").write_text(json.dumps(settings))
    assert not pack(dataset, out, clip, workers=0).is_new
    out.rename(tmp_path / "finished")
    (work := tmp_path / "out.packing" / "plan").mkdir(parents=True)
    for path in (tmp_path / "finished").iterdir():
        if path.is_file():
            (work / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DatasetError, match="codec 1, now 3; resume with the same settings"):
        pack(dataset, out, clip, workers=0)
