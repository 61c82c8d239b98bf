"""Every frame of a video is the one that decoding in order gives, at the time it is shown."""

import contextlib
import itertools
import math
import pickle
import struct
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from PIL import Image
from slow import slow_but
from video_samples import (
    CASES,
    CODINGS,
    COUNT,
    HEIGHT,
    RATE_HZ,
    WIDTH,
    Coding,
    decoded_in_order,
    moving_images,
    require_the_frames_decoded_in_order,
    write_video,
)

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import open_recording
from evlora.recordings.frames import read_image
from evlora.recordings.readers import video as video_reader
from evlora.recordings.readers.video_decoding import packets_of
from evlora.recordings.video_events import simulate_video

GROUP_SIZES = (1, 5, 12, 250)


def b_frame_counts(coding: Coding) -> tuple[int, ...]:
    return (0, 1, 2, 3) if coding.has_b_frames else (0,)


@pytest.mark.parametrize(
    ("name", "suffix"),
    slow_but(CASES, quick=lambda case: case[1] == CODINGS[case[0]].containers[0]),
)
def test_every_frame_is_the_one_decoded_in_order(name: str, suffix: str, tmp_path: Path):
    coding = CODINGS[name]
    path = tmp_path / f"video.{suffix}"
    write_video(path, coding, group_size=12, b_frames=2 if coding.has_b_frames else 0)

    require_the_frames_decoded_in_order(path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_every_frame_is_the_one_decoded_in_order_for_all_groups(
    name: str, suffix: str, tmp_path: Path
):
    coding = CODINGS[name]
    for b_frames, group_size in itertools.product(b_frame_counts(coding), GROUP_SIZES):
        path = tmp_path / f"{b_frames}_{group_size}.{suffix}"
        write_video(path, coding, group_size=group_size, b_frames=b_frames)
        require_the_frames_decoded_in_order(path)


def test_frames_that_are_packed_two_into_one_packet_are_read(tmp_path: Path):
    # As DivX and XviD do in AVI: a P-frame and the B-frame before it, then a packet that is none.
    plain = write_video(tmp_path / "plain.avi", CODINGS["mpeg4"], group_size=11, b_frames=1)
    path = tmp_path / "packed.avi"
    marker, start = b"\x00\x00\x01\xb2DivX503b1393p", b"\x00\x00\x01\xb6"
    nothing = start + bytes([0b01010000, 0b01001111])  # a P-frame that is not coded
    with av.open(str(plain)) as source, av.open(str(path), "w") as packed:
        stream = packed.add_stream_from_template(source.streams.video[0])
        stored = [bytes(packet) for packet in source.demux(video=0) if packet.size]
        pieces: list[bytes] = []
        for piece, after in itertools.pairwise([*stored, b""]):
            is_b = piece[piece.index(start) + 4] >> 6 == 2
            is_b_next = start in after and after[after.index(start) + 4] >> 6 == 2
            pieces.append(nothing if is_b else piece + after if is_b_next else piece)
        for number, piece in enumerate(pieces):
            packet = av.Packet(piece.replace(start, marker + start, 1) if not number else piece)
            packet.stream, packet.time_base = stream, Fraction(1, RATE_HZ)
            packet.pts = packet.dts = number
            packet.is_keyframe = piece[piece.index(start) + 4] >> 6 == 0
            packed.mux(packet)
    shown, plain_shown = decoded_in_order(path), decoded_in_order(plain)
    assert nothing in pieces
    np.testing.assert_array_equal(shown, plain_shown[: len(shown)])

    require_the_frames_decoded_in_order(path)


@pytest.mark.parametrize(
    ("name", "suffix", "b_frames"),
    [
        *(("h264", "mp4", 2), ("h264", "avi", 2), ("h264", "ts", 2), ("h264-open", "mp4", 2)),
        *(("mpeg4", "avi", 1), ("mpeg2", "mpg", 2), ("hevc-open", "mp4", 2), ("mjpeg", "avi", 0)),
        *(("vp9", "webm", 0), ("av1", "mp4", 0)),
    ],
)
def test_a_late_frame_is_found_without_decoding_all_before(
    name: str, suffix: str, b_frames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / f"long.{suffix}"
    images = np.concatenate([moving_images()] * 4)
    write_video(path, CODINGS[name], group_size=10, b_frames=b_frames, images=images)
    frames = open_recording(path).frames
    assert frames is not None

    given = 0

    def counted(packets: Any) -> Any:
        nonlocal given
        for frame in decoded(packets):
            given += 1
            yield frame

    decoded = video_reader.decoded
    monkeypatch.setattr(video_reader, "decoded", counted)
    frames.take([117])

    assert 0 < given <= 30


def test_frames_that_are_marked_as_keys_and_are_none_are_not_begun_with(tmp_path: Path):
    # Without its table of keys (stss), every frame of an mp4 file counts as one.
    path = write_video(tmp_path / "video.mp4", group_size=10, b_frames=2)
    data = path.read_bytes()
    assert data.count(b"stss") == 1
    path.write_bytes(data.replace(b"stss", b"free"))

    require_the_frames_decoded_in_order(path)


def test_an_edit_list_hides_the_frames_before_its_start(tmp_path: Path):
    whole = write_video(tmp_path / "whole.mp4", group_size=15, b_frames=2)
    path = tmp_path / "trimmed.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w") as cut:
        stream = cut.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size and packet.pts is not None and packet.dts is not None:
                shift = int(0.3 / packet.time_base)  # to the middle of the first group
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - shift,
                    packet.dts - shift,
                    stream,
                )
                cut.mux(packet)

    require_the_frames_decoded_in_order(path)
    frames = open_recording(path).frames
    assert frames is not None
    assert frames.end_us is not None
    assert 0 < len(frames) < COUNT
    assert frames.end_us[0] < 40_000
    np.testing.assert_allclose(np.diff(frames.end_us), 40_000, atol=1_000)


@pytest.mark.parametrize("name", ["h264", "mpeg2", "hevc"])
def test_a_stream_that_was_joined_midway_begins_where_a_player_does(name: str, tmp_path: Path):
    path = write_video(tmp_path / "whole.ts", CODINGS[name], group_size=10, b_frames=2)
    data = path.read_bytes()
    path.write_bytes(data[: 188 * 2] + data[188 * 6 :])

    require_the_frames_decoded_in_order(path)


def test_a_title_that_is_not_utf8_is_no_obstacle(tmp_path: Path):
    path = write_video(tmp_path / "wave.avi", CODINGS["mpeg4"], b_frames=2, title="QQQQ")
    data = path.read_bytes()
    assert b"QQQQ" in data
    path.write_bytes(data.replace(b"QQQQ", b"\x8cuvr"))

    require_the_frames_decoded_in_order(path)


@pytest.mark.parametrize(
    ("name", "suffix", "b_frames"),
    [
        *(("mpeg4", "avi", 0), ("mpeg4", "avi", 2), ("h264", "avi", 3), ("mpeg2", "mpg", 2)),
        *(("h264", "mp4", 2), ("h264", "mkv", 2), ("h264", "ts", 2), ("h264", "mpg", 2)),
        *(("vp9", "webm", 0), ("mjpeg", "avi", 0), ("gif", "gif", 0)),
    ],
)
def test_frames_are_shown_at_even_times(name: str, suffix: str, b_frames: int, tmp_path: Path):
    path = write_video(tmp_path / f"video.{suffix}", CODINGS[name], b_frames=b_frames)
    frames = open_recording(path).frames
    assert frames is not None
    assert frames.end_us is not None

    # Matroska counts in milliseconds, and GIF in hundredths of a second.
    np.testing.assert_allclose(np.diff(frames.end_us), 40_000, atol=1_000)
    if suffix not in ("ts", "mpg"):  # whose clocks begin anywhere
        assert frames.end_us[0] == 0
    np.testing.assert_array_equal(frames.start_us, frames.end_us)


@pytest.mark.parametrize("suffix", ["avi", "mp4", "mkv"])
def test_a_gap_in_time_stays_one(suffix: str, tmp_path: Path):
    path = write_video(tmp_path / f"video.{suffix}", CODINGS["mpeg4"], gap_before=10)
    frames = open_recording(path).frames
    assert frames is not None
    assert frames.end_us is not None

    assert len(frames) == COUNT
    assert np.diff(frames.end_us).round(-4).tolist() == [40_000] * 9 + [200_000] + [40_000] * 19


def test_simulated_events_use_every_frame_at_the_times_that_the_reader_gives(tmp_path: Path):
    path = write_video(tmp_path / "video.avi", b_frames=2)
    frames = open_recording(path).frames
    assert frames is not None
    assert frames.end_us is not None

    streams = list(simulate_video(path))

    assert len(streams) == COUNT - 1
    for events, start_us, end_us in zip(
        streams, frames.end_us[:-1], frames.end_us[1:], strict=True
    ):
        assert start_us < events.first_us <= events.last_us <= end_us


def test_a_cut_video_gives_the_frames_before_the_cut_and_a_warning(tmp_path: Path):
    images = np.concatenate([moving_images()] * 4)
    for suffix in ("avi", "mkv"):
        path = tmp_path / f"cut.{suffix}"
        write_video(path, CODINGS["mpeg4"], b_frames=2, images=images)
        shown = decoded_in_order(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

        with pytest.warns(RecordingWarning, match=r"damaged after \d+ frames"):
            frames = open_recording(path).frames

        assert frames is not None
        assert 10 < len(frames) < len(images)
        whole = len(frames) - 3  # the last packet may be a piece of one, and others refer to it
        np.testing.assert_array_equal(frames.take(range(whole)), shown[:whole])


def test_a_frame_that_is_not_there_any_more_is_named(tmp_path: Path):
    path = write_video(tmp_path / "video.mkv", group_size=10)
    frames = open_recording(path).frames
    assert frames is not None
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(RecordingError, match=r"video\.mkv: frame 25 of 30 cannot be decoded"):
        frames.take([25])


@pytest.mark.parametrize("suffix", ["avi", "flv", "ts"])
def test_damage_in_the_middle_leaves_frames_or_a_recording_error(suffix: str, tmp_path: Path):
    whole = write_video(tmp_path / f"whole.{suffix}", group_size=5, b_frames=2).read_bytes()
    generator = np.random.default_rng(0)
    path = tmp_path / f"damaged.{suffix}"
    for _ in range(40):
        damaged = bytearray(whole)
        for at in generator.integers(0, len(whole), 4):
            damaged[at] = generator.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(RecordingError), warnings.catch_warnings():
            warnings.simplefilter("ignore", RecordingWarning)
            frames = open_recording(path).frames
            assert frames is not None
            assert frames[len(frames) - 1].shape == (frames.height, frames.width, 3)


def test_frames_reach_another_process(tmp_path: Path):
    path = write_video(tmp_path / "video.avi", b_frames=2)
    frames = open_recording(path).frames
    assert frames is not None

    again = pickle.loads(pickle.dumps(frames))

    np.testing.assert_array_equal(again.take([17]), frames.take([17]))


QUARTERS = {
    "as it is": ((1, 0, 0, 1), lambda image: image),
    "a quarter clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "half": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "a quarter counterclockwise": ((0, -1, 1, 0), np.rot90),
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda image: image[::-1]),
    "transposed": ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
    "transposed about the other diagonal": (
        (0, -1, -1, 0),
        lambda image: np.rot90(image, 2).swapaxes(0, 1),
    ),
}


def with_display_matrix(path: Path, a: float, b: float, c: float, d: float) -> Path:
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix lies 40 bytes into the box
    fixed = [round(value * (1 << 16)) for value in (a, b, c, d)]
    data[at : at + 36] = struct.pack(">9i", *fixed[:2], 0, *fixed[2:], 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("turn", QUARTERS)
def test_a_display_matrix_turns_and_mirrors_every_frame(turn: str, tmp_path: Path):
    (a, b, c, d), turned = QUARTERS[turn]
    path = write_video(tmp_path / "video.mp4", CODINGS["mpeg4"], group_size=5)
    shown = decoded_in_order(path)

    recording = open_recording(with_display_matrix(path, a, b, c, d))

    frames = recording.frames
    assert frames is not None
    assert (frames.height, frames.width) == turned(shown[0]).shape[:2]
    for number in (0, 17):
        np.testing.assert_array_equal(frames[number], turned(shown[number]))
    assert recording.remarks == ()


@pytest.mark.parametrize("degrees", [45, 5, 100])
def test_a_turn_that_is_no_quarter_is_remarked_on(degrees: int, tmp_path: Path):
    path = write_video(tmp_path / "video.mp4", CODINGS["mpeg4"], group_size=5)
    along, aslant = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    recording = open_recording(with_display_matrix(path, along, aslant, -aslant, along))

    assert [f"turns frames by {degrees}°" in remark for remark in recording.remarks] == [True]


def test_pixels_that_are_not_square_are_remarked_on(tmp_path: Path):
    path = tmp_path / "video.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.sample_aspect_ratio = Fraction(16, 15)
        for image in moving_images(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())

    recording = open_recording(path)

    assert [("16:15" in remark) for remark in recording.remarks] == [True]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_a_picture_is_upright_as_its_exif_states(orientation: int, suffix: str, tmp_path: Path):
    stored = {  # how EXIF 2.32 names them: where row 0 and column 0 of the file are shown
        1: lambda image: image,
        2: lambda image: image[:, ::-1],
        3: lambda image: image[::-1, ::-1],
        4: lambda image: image[::-1],
        5: lambda image: image.swapaxes(0, 1),
        6: np.rot90,
        7: lambda image: image.swapaxes(0, 1)[::-1, ::-1],
        8: lambda image: np.rot90(image, -1),
    }[orientation]
    shown = np.zeros((64, 48, 3), np.uint8)
    shown[:16], shown[16:, :8] = (255, 0, 0), (0, 0, 255)
    tags = Image.Exif()
    tags[0x0112] = orientation
    path = tmp_path / f"phone.{suffix}"
    image = Image.fromarray(np.ascontiguousarray(stored(shown)))
    image.save(path, exif=tags, quality=98)

    frames = open_recording(path).frames

    assert frames is not None
    assert (frames.width, frames.height) == (48, 64)
    difference = np.abs(read_image(path).astype(int) - shown)
    assert difference.mean() < 4  # JPEG and WebP smear the borders


DEEP_FORMATS = (
    *("gray10le", "gray12le", "gray16le", "yuv420p10le", "yuv422p10le", "yuv444p12le"),
    *("gbrp10le", "gbrp12le", "gbrp16le", "rgb48le", "yuv420p9le", "yuv444p16le"),
)


@pytest.mark.parametrize("pixel_format", DEEP_FORMATS)
def test_frames_of_more_than_8_bits_are_scaled_to_8(pixel_format: str, tmp_path: Path):
    ramp = np.linspace(0, 255, WIDTH).round().astype(np.uint8)
    grey = np.broadcast_to(ramp[None, :, None], (HEIGHT, WIDTH, 3)).copy()
    coding = Coding("ffv1", ("mkv",), {"level": "3", "strict": "-2"}, False, pixel_format)
    path = write_video(tmp_path / "deep.mkv", coding, images=[grey] * 3)

    frames = open_recording(path).frames

    assert frames is not None
    np.testing.assert_allclose(frames[2].astype(int), grey, atol=2)


@pytest.mark.parametrize(("folder", "suffix"), [("ucf101_six", "avi"), ("dark_actions", "mp4")])
def test_real_videos_are_read_as_decoded_in_order(folder: str, suffix: str, data_root: Path):
    for path in real_videos(data_root / folder, suffix)[:1]:
        require_the_frames_of_a_row(path)


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "suffix"), [("ucf101_six", "avi"), ("dark_actions", "mp4")])
def test_many_real_videos_are_read_as_decoded_in_order(folder: str, suffix: str, data_root: Path):
    for path in real_videos(data_root / folder, suffix)[1::30]:
        require_the_frames_of_a_row(path)


def real_videos(folder: Path, suffix: str) -> list[Path]:
    paths = sorted(folder.rglob(f"*.{suffix}"), key=lambda path: (path.stat().st_size, path))
    assert paths
    return paths


def require_the_frames_of_a_row(path: Path) -> None:
    shown = decoded_in_order(path)
    frames = open_recording(path).frames
    assert frames is not None
    assert len(frames) == len(shown)
    np.testing.assert_array_equal(frames.take(range(len(shown))), shown)
    for number in (0, 1, len(shown) // 3, len(shown) // 2, len(shown) - 1):
        np.testing.assert_array_equal(frames[number], shown[number])


class Packet(NamedTuple):
    """Of PyAV, as far as it is looked at."""

    size: int
    dts: int | None


def test_nothing_is_asked_of_a_demuxer_behind_its_last_packet() -> None:
    # where a stream begins on the way, PyAV raises there: it empties the decoder of that one too
    class Container:
        def demux(self, stream: object) -> Iterator[Packet]:
            yield from [Packet(5, 0), Packet(0, 1), Packet(7, 2), Packet(0, None)]
            raise IndexError("list index out of range")

    assert list(packets_of(Container(), object())) == [(5, 0), (7, 2), (0, None)]
