"""Packing with loss: what is smaller, what is kept exactly, and what is refused."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_colour import prepared_pictures
from PIL import Image

from evlora.clips import ClipConfig, make_clip
from evlora.datasets import Manifest, read_manifest
from evlora.datasets.rendering import PackedAbout, Rendering
from evlora.errors import DatasetError, RecordingError
from evlora.packing import pack
from evlora.packing.codec import decode, encode
from evlora.packing.packed_dataset import PackedDataset
from evlora.packing.pictures import PictureCompressor, decompress
from evlora.recordings import EventStream, FrameSequence, Recording

CLIP = ClipConfig(frames=4, size=16)


def photographs(count: int, *, side_px: int = 48) -> np.ndarray:
    """Smooth pictures with some grain, as a camera takes them."""
    generator = np.random.default_rng(3)
    coarse = generator.integers(0, 256, (count, 6, 6, 3)).astype(np.uint8)
    smooth = [
        Image.fromarray(one).resize((side_px, side_px), Image.Resampling.BICUBIC) for one in coarse
    ]
    grain = generator.normal(0, 3, (count, side_px, side_px, 3))
    return (np.stack([np.asarray(one) for one in smooth]) + grain).clip(0, 255).astype(np.uint8)


def recording_of(count: int) -> Recording:
    events = EventStream(
        t_us=np.arange(200) * 100,
        x=np.arange(200) % 48,
        y=np.arange(200) % 40,
        polarity=np.arange(200) % 3 > 0,
        width=48,
        height=48,
    )
    times = np.linspace(0, 20_000, count).astype(int)
    frames = FrameSequence.from_images(photographs(count), start_us=times)
    return Recording(events, frames, "made")


def packed(lossy: str | None, count: int = 6, **options: Any) -> dict[str, Any]:
    return encode(recording_of(count), CLIP, sample="a", label=0, lossy=lossy, **options)


@pytest.mark.parametrize(("lossy", "smaller"), [("jpeg:90", 3), ("webp:80", 6)])
def test_photographs_lose_little_and_event_images_nothing(lossy: str, smaller: float) -> None:
    exact, found = packed(None), packed(lossy)
    assert len(found["frames"]) * smaller < len(exact["frames"])
    before, after = decode(exact), decode(found)
    assert before.frames
    assert after.frames
    assert before.event_images
    assert after.event_images
    everything = range(6)
    np.testing.assert_array_equal(
        after.event_images.take(everything), before.event_images.take(everything)
    )
    lost = after.frames.take(everything).astype(int) - before.frames.take(everything)
    assert 0 < np.abs(lost).mean() < 5


@pytest.mark.parametrize("is_grey", [False, True], ids=["colour", "grey"])
def test_a_jpeg_has_the_pixels_that_other_libraries_decode(is_grey: bool) -> None:
    image = photographs(1)[0]
    image = image[..., :1].repeat(3, axis=2) if is_grey else image
    written = PictureCompressor("jpeg:85")(image)
    with Image.open(io.BytesIO(written)) as picture:
        expected = np.asarray(picture.convert("RGB"))
    found = decompress(memoryview(written), height=48, width=48)
    np.testing.assert_array_equal(np.broadcast_to(found, expected.shape), expected)


def test_frames_above_the_limit_are_those_that_an_even_clip_takes() -> None:
    whole, few = decode(packed(None, 12)), decode(packed(None, 12, max_frames=4))
    assert whole.frames
    assert few.frames
    assert len(few.frames) == 4
    clips = [make_clip(one, CLIP, sample="a", label=0, generator=None) for one in (whole, few)]
    for modality in ("rgb", "events"):
        first, second = (getattr(clip, modality) for clip in clips)
        assert (first == second).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lossy": "jpeg"}, r"expected jpeg:QUALITY or webp:QUALITY.*got 'jpeg'"),
        ({"lossy": "png:90"}, "such as jpeg:95, got 'png:90'"),
        ({"lossy": "webp:101"}, "a quality from 1 to 100"),
        ({"max_frames": 3}, "max_frames: expected 4 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        Rendering.of(CLIP, **options)


def test_a_stretch_of_frames_is_not_taken_from_some_of_them() -> None:
    with pytest.raises(DatasetError, match="sampling: dense needs those of a stretch"):
        Rendering.of(ClipConfig(frames=4, sampling="dense"), max_frames=8)


def test_keys_that_earlier_versions_do_not_know_are_written_where_they_are_set() -> None:
    exact, lossy = Rendering.of(CLIP), Rendering.of(CLIP, lossy="jpeg:95", max_frames=8)
    assert not {"lossy", "max_frames"} & exact.model_dump().keys()
    about = PackedAbout(
        codec=2, rendering=lossy, items={}, compression=lossy.compression, rejected=0, evlora="0"
    )
    assert PackedAbout.model_validate_json(about.model_dump_json()) == about


@pytest.mark.parametrize("change", ["cut", "resized", "no picture"])
def test_a_damaged_picture_is_an_error(change: str) -> None:
    item = packed("jpeg:90", 4)
    frames = item["frames"].copy()
    header = 16 + 4 * 4 + 8 * 5
    if change == "cut":
        frames[header + 200 :] = 0
    elif change == "no picture":
        frames[header : header + 8] = 7
    else:
        frames[8] -= 1  # the height in the header
    recording = decode({**item, "frames": frames})
    assert recording.frames
    with pytest.raises(RecordingError, match=r"damaged data .picture 0"):
        recording.frames.take([0])


def of_split(manifest: Manifest, **settings: Any) -> PackedDataset:
    config = ClipConfig(frames=1, modalities=("rgb",), size=16, **settings)
    return PackedDataset(manifest, "train", config)


def test_a_lossy_dataset_trains_as_any_other(tmp_path: Path) -> None:
    dataset, clip = (
        prepared_pictures(tmp_path, 8),
        ClipConfig(frames=1, modalities=("rgb",), size=16),
    )
    options: dict[str, Any] = {"lossy": "jpeg:95", "shorter_side_px": 32, "workers": 0}
    pack(dataset, tmp_path / "out", clip, **options)
    found = of_split(read_manifest(tmp_path / "out"))
    assert len(found) == 6
    assert found[0].rgb is not None
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())["packed"]
    assert (about["codec"], about["rendering"]["lossy"]) == (3, "jpeg:95")
    with pytest.raises(DatasetError, match=r"was packed with lossy=.?jpeg:95.?, now lossy="):
        pack(dataset, tmp_path / "out", clip, shorter_side_px=32, workers=0)
