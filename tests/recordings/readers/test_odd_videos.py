"""Videos that were joined, change their size, or keep few bits of many."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from video_samples import (
    CODINGS,
    COUNT,
    HEIGHT,
    WIDTH,
    decoded_in_order,
    moving_images,
    require_the_frames_decoded_in_order,
    write_video,
)

from evlora.errors import RecordingWarning
from evlora.recordings import open_recording
from evlora.recordings.frames import read_image


def test_the_clock_of_joined_streams_goes_on(tmp_path: Path):
    first = write_video(tmp_path / "first.ts", b_frames=2)
    second = write_video(tmp_path / "second.ts", b_frames=2, images=moving_images()[::-1])
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())

    require_the_frames_decoded_in_order(path)
    frames = open_recording(path).frames
    assert frames is not None
    assert frames.end_us is not None
    assert len(frames) == 2 * COUNT
    np.testing.assert_allclose(np.diff(frames.end_us), 40_000, atol=1)


def test_a_video_that_changes_its_size_is_read_up_to_there(tmp_path: Path):
    first = write_video(tmp_path / "first.ts", b_frames=2)
    larger = tmp_path / "larger.ts"
    with av.open(str(larger), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 2 * WIDTH, 2 * HEIGHT, "yuv420p"
        for image in moving_images(4):
            frame = av.VideoFrame.from_ndarray(image.repeat(2, 0).repeat(2, 1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + larger.read_bytes())

    with pytest.warns(RecordingWarning, match="the next is 128×96 instead of 64×48"):
        frames = open_recording(path).frames

    assert frames is not None
    np.testing.assert_array_equal(frames.take(range(COUNT)), decoded_in_order(first))
    assert len(frames) == COUNT


def test_damage_that_a_decoder_hides_is_hidden_as_in_a_row(tmp_path: Path):
    path = write_video(
        tmp_path / "video.avi", CODINGS["h264"], group_size=10, b_frames=2, images=moving_images(60)
    )
    sound = path.read_bytes()
    random = np.random.default_rng(0)
    for at in random.integers(len(sound) // 4, len(sound) * 3 // 4, 6):
        damaged = bytearray(sound)
        damaged[at : at + 64] = random.bytes(64)
        path.write_bytes(damaged)
        shown = decoded_in_order(path)

        frames = open_recording(path).frames

        assert frames is not None
        assert len(frames) == len(shown)
        for number in range(len(shown) - 1, -1, -5):
            np.testing.assert_array_equal(frames[number], shown[number])


@pytest.mark.parametrize(
    ("codec", "suffix", "pixel_format"),
    [
        ("ffv1", "mkv", "gray16le"),
        ("ffv1", "avi", "gray16le"),
        ("ffv1", "mkv", "gbrp16le"),
        ("png", "mov", "gray16be"),
        ("png", "mov", "rgb48be"),
    ],
)
@pytest.mark.parametrize("bits", [10, 12])
def test_fewer_bits_kept_in_16_are_found_by_their_values(
    codec: str, suffix: str, pixel_format: str, bits: int, tmp_path: Path
):
    ramp = np.linspace(0, (1 << bits) - 1, WIDTH).round().astype(np.uint16)
    is_grey = pixel_format.startswith("gray")
    image = np.broadcast_to(ramp if is_grey else ramp[:, None], (HEIGHT, WIDTH, 3)[: 3 - is_grey])
    path = tmp_path / f"deep.{suffix}"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        for darkness in (3, 0):  # one number for all: a dark frame stays dark
            written: Any = np.ascontiguousarray(image >> darkness)
            frame = av.VideoFrame.from_ndarray(written, "gray16le" if is_grey else "rgb48le")
            container.mux(stream.encode(frame.reformat(format=pixel_format)))
        container.mux(stream.encode())

    recording = open_recording(path)

    frames = recording.frames
    assert frames is not None
    for number, darkness in enumerate((3, 0)):
        expected = np.broadcast_to((ramp >> darkness >> bits - 8)[:, None], (HEIGHT, WIDTH, 3))
        np.testing.assert_array_equal(frames[number], expected)
    assert recording.remarks == (f"{path}: values of 16 bits were read as {bits} bits",)


@pytest.mark.parametrize("suffix", ["avi", "mov"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_motion_jpeg_is_upright_as_its_exif_states(
    orientation: int | None, suffix: str, tmp_path: Path
):
    image = Image.fromarray(moving_images()[0]).convert("L").convert("RGB")
    tags = Image.Exif()
    tags[271] = "a camera"
    if orientation is not None:
        tags[274] = orientation
    image.save(tmp_path / "frame.jpg", exif=tags)
    with av.open(str(tmp_path / f"video.{suffix}"), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = *image.size, "yuvj420p"
        for number in range(3):
            packet = av.Packet((tmp_path / "frame.jpg").read_bytes())
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            container.mux(packet)

    frames = open_recording(tmp_path / f"video.{suffix}").frames

    assert frames is not None
    assert len(frames) == 3
    as_picture = read_image(tmp_path / "frame.jpg")
    assert frames[2].shape == as_picture.shape
    assert np.abs(frames[2].astype(int) - as_picture).max() < 4  # two decoders round differently


def test_a_video_with_a_palette_is_read_whole(tmp_path: Path):
    path = tmp_path / "palette.mov"
    greys = [np.full((HEIGHT, WIDTH), shade, np.uint8) for shade in (0, 90, 180, 255)]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("qtrle", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray"
        for grey in greys:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
        container.mux(stream.encode())

    frames = open_recording(path).frames

    assert frames is not None
    assert [int(np.median(frames[n])) for n in range(len(frames))] == [0, 90, 180, 255]


def test_a_video_that_begins_late_is_not_called_cut(tmp_path: Path):
    path = tmp_path / "late.mkv"
    with (
        av.open(str(write_video(tmp_path / "sample.mkv"))) as sound,
        av.open(str(path), "w") as out,
    ):
        stream = out.add_stream_from_template(sound.streams.video[0])
        for packet in sound.demux(video=0):
            if packet.size:
                packet.pts, packet.dts = packet.pts + 1_000_000, packet.dts + 1_000_000
                packet.stream = stream
                out.mux(packet)

    frames = open_recording(path).frames  # a warning would be an error here

    assert frames is not None
    assert frames.end_us is not None
    assert len(frames) == COUNT
    assert frames.end_us[0] == 1_000_000_000


def test_a_packet_that_stands_for_a_dropped_frame_is_passed_over(project_root: Path):
    # Ten frames of two test pictures a time; FFmpeg 9.0.2 with libtheora wrote empty packets where
    # nothing changed.
    path = project_root / "tests" / "data" / "dropped_frames.ogv"

    frames = open_recording(path).frames

    assert frames is not None
    assert frames.end_us is not None
    assert frames.end_us.tolist() == [0, 100_000, 200_000, 400_000, 600_000, 800_000]
    with av.open(str(path)) as container:
        packets = [one for one in container.demux(video=0) if one.size or one.dts is None]
        shown = [one.to_ndarray(format="rgb24") for packet in packets for one in packet.decode()]
    np.testing.assert_array_equal(frames.take(range(6)), np.stack(shown))
    np.testing.assert_array_equal(frames[5], shown[5])
