"""Picture files of more than 8 bits, of several pages, and those that systems leave beside them."""

from fractions import Fraction

import av
import h5py
import numpy as np
import pytest
from PIL import Image

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import open_recording
from evlora.recordings.frames import read_image
from evlora.recordings.readers import open_frames

RAMP = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (64, 1))
LEVELS = np.arange(256)


def grey(path, values):
    if path.suffix == ".pgm":
        path.write_bytes(b"P5\n256 64\n65535\n" + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(path)
    return path


def colours(path, values):
    """A picture of 16 bits a colour; Pillow writes none."""
    codec = {".png": "png", ".tif": "tiff", ".ppm": "ppm"}[path.suffix]
    pixel_format = "rgb48le" if codec == "tiff" else "rgb48be"
    context = av.CodecContext.create(codec, "w")
    context.width, context.height = values.shape[1], values.shape[0]
    context.pix_fmt, context.time_base = pixel_format, Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(values, format=pixel_format)
    packets = [*context.encode(frame), *context.encode(None)]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_16_bits_keep_their_high_byte(tmp_path, suffix):
    path = grey(tmp_path / f"ramp{suffix}", RAMP)

    recording = open_recording(path)

    for channel in range(3):
        np.testing.assert_array_equal(recording.frames[0][7, :, channel], LEVELS)
    np.testing.assert_array_equal(read_image(path), recording.frames[0])
    assert recording.remarks == ()


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_fewer_bits_kept_in_16_are_found_by_their_values(tmp_path, bits, suffix):
    path = grey(tmp_path / f"ramp{suffix}", RAMP >> (16 - bits))

    recording = open_recording(path)

    np.testing.assert_array_equal(recording.frames[0][7, :, 0], LEVELS)
    assert recording.remarks == (
        () if bits == 8 else (f"{path}: values of 16 bits were read as {bits} bits",)
    )


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
@pytest.mark.parametrize("bits", [12, 16])
def test_colours_of_16_bits_are_read_whole(tmp_path, suffix, bits):
    values = np.stack([RAMP, RAMP[:, ::-1], RAMP // 2], axis=-1) >> (16 - bits)
    path = colours(tmp_path / f"ramp{suffix}", values)

    image = open_recording(path).frames[0]

    np.testing.assert_array_equal(image, (values >> (bits - 8)).astype(np.uint8))


def test_a_tiff_that_states_its_highest_value_is_read_by_it(tmp_path):
    from PIL import TiffImagePlugin

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[281] = 4095
    Image.fromarray(RAMP >> 8).save(tmp_path / "dark.tif", tiffinfo=tags)  # no value above 255

    np.testing.assert_array_equal(
        open_recording(tmp_path / "dark.tif").frames[0][0, :, 0], LEVELS >> 4
    )


def test_a_tiff_whose_white_is_zero_is_not_inverted(tmp_path):
    path = grey(tmp_path / "ramp.tif", RAMP)
    data = path.read_bytes()
    tag = data.index(b"\x06\x01\x03\x00\x01\x00\x00\x00\x01\x00")
    path.write_bytes(data[: tag + 8] + b"\x00\x00" + data[tag + 10 :])

    np.testing.assert_array_equal(open_recording(path).frames[0][0, :, 0], LEVELS[::-1])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["grey", "colours"])
def test_deep_pictures_are_upright_as_exif_states(tmp_path, orientation, kind):
    values = np.arange(12, dtype=np.uint16).reshape(3, 4) << 12
    if kind == "colours":
        values = np.stack([values, values // 2, values], axis=-1)
    path = (grey if kind == "grey" else colours)(tmp_path / "sample.png", values)
    shallow = Image.fromarray((values >> 8).astype(np.uint8))
    exif = shallow.getexif()
    exif[274] = orientation
    shallow.save(tmp_path / "shallow.png", exif=exif)
    data = (tmp_path / "shallow.png").read_bytes()
    start = data.index(b"eXIf") - 4
    chunk = data[start : start + 12 + int.from_bytes(data[start : start + 4], "big")]
    deep = path.read_bytes()
    at = deep.index(b"IDAT") - 4
    path.write_bytes(deep[:at] + chunk + deep[at:])

    np.testing.assert_array_equal(read_image(path), read_image(tmp_path / "shallow.png"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_without_compression_is_turned_as_a_png_is(tmp_path, orientation, dtype):
    image = Image.fromarray(np.arange(12, dtype=dtype).reshape(3, 4) * 20)
    exif = Image.Exif()
    exif[274] = orientation
    for suffix in (".tif", ".png"):
        image.save(tmp_path / f"a{suffix}", exif=exif)

    tiff, png = (open_recording(tmp_path / f"a{suffix}").frames[0] for suffix in (".tif", ".png"))
    assert np.array_equal(tiff, png)


def test_a_sequence_has_one_depth_however_dark_a_frame_is(tmp_path):
    bright = RAMP >> 4
    for number, picture in enumerate([bright // 16, bright, bright // 2]):
        grey(tmp_path / f"{number}.png", picture)

    frames = open_recording(tmp_path).frames

    for number, divisor in enumerate([16, 1, 2]):
        expected = (bright // divisor) >> 4
        np.testing.assert_array_equal(frames[number][..., 0], expected)


def test_a_frame_deeper_than_its_sequence_is_refused(tmp_path):
    Image.fromarray(np.zeros((64, 256), np.uint8)).save(tmp_path / "0.png")
    grey(tmp_path / "1.png", RAMP)

    frames = open_recording(tmp_path).frames

    with pytest.raises(RecordingError, match=r"1.png: expected values of 8 bits .*got 65535"):
        frames.take([1])


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_a_picture_of_more_than_16_bits_is_refused(tmp_path, dtype):
    path = tmp_path / "sample.tif"
    Image.fromarray(RAMP.astype(dtype)).save(path)

    with pytest.raises(RecordingError, match="up to 16 bits a value, got 32; scale it"):
        open_recording(path)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_frames_of_16_bits_beside_events_are_read(tmp_path, suffix):
    path = tmp_path / f"sample{suffix}"
    images = np.stack([RAMP >> 4, RAMP >> 6])
    if suffix == ".npz":
        np.savez(path, frames=images)
    else:
        with h5py.File(path, "w") as file:
            file["frames"] = images

    recording = open_recording(path)

    np.testing.assert_array_equal(recording.frames[0][7, :, 0], LEVELS)
    np.testing.assert_array_equal(recording.frames[1][7, :, 2], LEVELS >> 2)
    assert any("uint16 were read as 12 bits" in remark for remark in recording.remarks)


# Several pages


@pytest.mark.parametrize("is_in_folder", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_the_pages_of_a_tiff_are_frames_without_times(tmp_path, is_in_folder, depth):
    values = [np.full((48, 64), 25 * n, np.uint8) for n in range(10)]
    if depth == 16:
        values = [value.astype(np.uint16) << 8 for value in values]
    pages = [Image.fromarray(value) for value in values]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])

    frames = open_recording(tmp_path if is_in_folder else tmp_path / "stack.tif").frames

    assert len(frames) == 10
    assert not frames.is_timed
    assert frames.take([9, 0, 4])[:, 5, 5, 1].tolist() == [225, 0, 100]


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_an_animation_gives_its_frames_with_their_times(tmp_path, suffix):
    pages = [Image.new("RGB", (8, 6), (40 * n,) * 3) for n in range(5)]
    path = tmp_path / f"sample{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {}
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=40, **options)

    frames = open_recording(path).frames

    assert frames.end_us.tolist() == [0, 40_000, 80_000, 120_000, 160_000]
    assert frames.take([4, 1])[:, 0, 0, 0].tolist() == [160, 40]


def test_smaller_copies_in_a_tiff_are_no_frames(tmp_path):
    from PIL import TiffImagePlugin

    small = Image.new("L", (16, 12), 9)
    small.encoderinfo = {"tiffinfo": TiffImagePlugin.ImageFileDirectory_v2()}
    small.encoderinfo["tiffinfo"][254] = 1
    Image.new("L", (64, 48), 7).save(tmp_path / "sample.tif", save_all=True, append_images=[small])

    frames = open_recording(tmp_path / "sample.tif").frames

    assert len(frames) == 1
    assert frames[0][0, 0, 0] == 7


def test_a_thumbnail_before_the_page_of_a_tiff_is_not_the_frame(tmp_path):
    from PIL import TiffImagePlugin

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254] = 1
    page = Image.new("L", (64, 48), 7)
    page.encoderinfo = {"tiffinfo": TiffImagePlugin.ImageFileDirectory_v2()}
    Image.new("L", (16, 12), 9).save(
        tmp_path / "sample.tif", save_all=True, append_images=[page], tiffinfo=tags
    )

    frames = open_recording(tmp_path / "sample.tif").frames

    assert (len(frames), frames.width, frames.height) == (1, 64, 48)
    assert frames[0][0, 0, 0] == 7


def test_a_gif_without_times_gives_all_its_frames(tmp_path):
    pages = [Image.new("L", (8, 6), 40 * n) for n in range(5)]
    pages[0].save(tmp_path / "sample.gif", save_all=True, append_images=pages[1:])
    assert (tmp_path / "sample.gif").read_bytes().startswith(b"GIF87a")

    frames = open_recording(tmp_path / "sample.gif").frames

    assert frames.end_us is None
    assert frames.take(range(5))[:, 0, 0, 0].tolist() == [0, 40, 80, 120, 160]


@pytest.mark.parametrize(
    ("description", "is_refused"),
    [
        ("ImageJ=1.11a\nimages=4\nchannels=2\nframes=2\nhyperstack=true\n", True),
        ('<OME><Pixels SizeC="2" SizeT="2" SizeX="8" SizeY="8" SizeZ="1"/></OME>', True),
        ("ImageJ=1.11a\nimages=4\nchannels=4\nhyperstack=true\n", False),
        ('<OME><Pixels SizeC="3" SizeT="4" SizeX="8" SizeY="8" SizeZ="1"/></OME>', False),
    ],
)
def test_channels_that_have_pages_of_their_own_are_no_frames(tmp_path, description, is_refused):
    pages = [Image.fromarray(np.full((8, 8), 50 * n, np.uint8)) for n in range(4)]
    path = tmp_path / "stack.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:], description=description)

    if is_refused:
        with pytest.raises(RecordingError, match=r"4 pages hold 2 channels .*; save one channel"):
            open_recording(path)
    else:
        assert open_recording(path).frames.take(range(4))[:, 0, 0, 0].tolist() == [0, 50, 100, 150]


def test_a_stack_that_imagej_wrote_as_one_block_is_refused(tmp_path):
    from PIL import TiffImagePlugin

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270] = "ImageJ=1.53t\nimages=500\nslices=500\n"
    Image.new("L", (64, 48)).save(tmp_path / "sample.tif", tiffinfo=tags)

    with pytest.raises(RecordingError, match=r"expected 500 pages .*got 1: .*image sequence"):
        open_recording(tmp_path / "sample.tif")


def test_pages_of_different_sizes_are_named(tmp_path):
    pages = [Image.new("L", (64, 48)), Image.new("L", (32, 48))]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])

    with pytest.raises(RecordingError, match=r"page 1: expected a frame of 64×48 .*got 32×48"):
        open_recording(tmp_path / "stack.tif").frames.take([0, 1])


# What systems leave beside pictures


def companions(folder):
    for name in ("._0001.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(102))
    (folder / "__MACOSX").mkdir()
    (folder / "0001.png:Zone.Identifier").write_text("[ZoneTransfer]")
    (folder / "@eaDir" / "0001.png").mkdir(parents=True)
    (folder / "@eaDir" / "0001.png" / "SYNOPHOTO_THUMB_M.jpg").write_bytes(b"")


def test_companions_in_a_folder_of_pictures_are_passed_over(tmp_path):
    for number in range(8):
        Image.new("L", (4, 3), number).save(tmp_path / f"{number:04}.png")
    companions(tmp_path)

    assert len(open_recording(tmp_path).frames) == 8
    assert len(open_frames(tmp_path)) == 8


@pytest.mark.parametrize("name", ["._0001.png", "._0001.aedat4", "._0001.csv", "renamed.png"])
def test_a_companion_named_itself_is_called_what_it_is(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(102))

    with pytest.raises(RecordingError, match=rf"what macOS keeps beside .*{name.lstrip('._')}"):
        open_recording(path)


def test_a_companion_in_a_list_of_pictures_is_called_what_it_is(tmp_path):
    path = tmp_path / "._0001.png"
    path.write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(102))

    with pytest.raises(RecordingError, match=r"what macOS keeps beside one; take it out .* 0001"):
        open_frames([path])


def test_a_gap_is_still_reported_beside_companions(tmp_path):
    for number in (0, 1, 2, 3, 6, 7, 8, 9, 10, 11):
        Image.new("L", (4, 3), number).save(tmp_path / f"{number:04}.png")
    companions(tmp_path)

    with pytest.warns(RecordingWarning, match="steps of 1, with 2 missing"):
        open_recording(tmp_path)
