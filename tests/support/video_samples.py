"""Videos of a moving pattern in many codecs and containers, and what decoding in order gives."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evlora.recordings import open_recording

WIDTH, HEIGHT, COUNT, RATE_HZ = 64, 48, 30, 25
Images = NDArray[np.uint8]


class Coding(NamedTuple):
    codec: str
    containers: tuple[str, ...]
    options: Mapping[str, str] = {}
    has_b_frames: bool = False
    pixel_format: str = "yuv420p"


CODINGS = {
    "mpeg4": Coding("mpeg4", ("avi", "mp4", "mkv", "mov", "ts", "mpg"), has_b_frames=True),
    "mpeg4-closed": Coding(
        "mpeg4", ("avi", "mp4"), {"flags": "+cgop", "sc_threshold": "1000000000"}, has_b_frames=True
    ),
    "mpeg2": Coding("mpeg2video", ("mpg", "ts", "mkv", "mp4", "avi"), has_b_frames=True),
    "mpeg1": Coding("mpeg1video", ("mpg", "avi"), has_b_frames=True),
    "h264": Coding(
        "libx264",
        ("avi", "mp4", "mkv", "ts", "mpg", "flv"),
        {"preset": "veryfast"},
        has_b_frames=True,
    ),
    "h264-open": Coding(
        "libx264", ("avi", "mp4", "ts"), {"x264-params": "open-gop=1"}, has_b_frames=True
    ),
    "h264-refreshed": Coding(
        "libx264", ("avi", "mkv", "ts"), {"x264-params": "intra-refresh=1"}, has_b_frames=True
    ),
    "hevc": Coding(
        "libx265",
        ("mp4", "ts"),
        {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:open-gop=0"},
        has_b_frames=True,
    ),
    "hevc-open": Coding(
        "libx265",
        ("mp4", "mkv"),
        {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:open-gop=1"},
        has_b_frames=True,
    ),
    "vp8": Coding(
        "libvpx",
        ("webm", "avi"),
        {"auto-alt-ref": "1", "lag-in-frames": "10", "deadline": "realtime"},
    ),
    "vp9": Coding(
        "libvpx-vp9",
        ("webm", "mp4", "avi"),
        {"auto-alt-ref": "1", "lag-in-frames": "12", "cpu-used": "8"},
    ),
    "av1": Coding("libsvtav1", ("mp4", "webm"), {"preset": "12", "svtav1-params": "log=0"}),
    "mjpeg": Coding("mjpeg", ("avi", "mp4", "mkv"), pixel_format="yuvj420p"),
    "msmpeg4": Coding("msmpeg4", ("avi",)),
    "wmv2": Coding("wmv2", ("wmv", "avi")),
    "flv1": Coding("flv", ("flv",)),
    "ffv1": Coding("ffv1", ("avi", "mkv")),
    "gif": Coding("gif", ("gif",), pixel_format="rgb8"),
}
CASES = [(name, suffix) for name, coding in CODINGS.items() for suffix in coding.containers]


def moving_images(count: int = COUNT) -> Images:
    """A pattern that moves and grows lighter, shape (count, HEIGHT, WIDTH, 3)."""
    coarse = np.random.default_rng(0).integers(0, 128, (12, 16, 3), np.uint8)
    pattern = np.asarray(Image.fromarray(coarse).resize((2 * WIDTH, 2 * HEIGHT)))
    moved = [np.roll(pattern, (n, 2 * n), (0, 1))[:HEIGHT, :WIDTH] + 4 * n for n in range(count)]
    return np.stack(moved).astype(np.uint8)


def write_video(
    path: Path,
    coding: Coding = CODINGS["h264"],
    *,
    group_size: int = 12,
    b_frames: int = 0,
    images: Sequence[Any] | Images | None = None,
    title: str = "",
    gap_before: int | None = None,
) -> Path:
    """A video of these images at 25 frames/s; a frame may come 4 frames later than it should."""
    with av.open(str(path), "w") as container:
        if title:
            container.metadata["title"] = title
        stream: Any = container.add_stream(coding.codec, rate=RATE_HZ, options=dict(coding.options))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, coding.pixel_format
        stream.gop_size = group_size
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.thread_count = 1
        for number, image in enumerate(moving_images() if images is None else images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number + 4 * (gap_before is not None and number >= gap_before)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def decoded_in_order(path: Path) -> Images:
    """What a player shows, shape (T, H, W, 3)."""
    with av.open(str(path), metadata_errors="replace") as container:
        stream: Any = container.streams.video[0]
        stream.thread_type = "NONE"  # with threads, FFmpeg hides damage in another way
        frames = container.decode(stream)
        return np.stack(
            [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames]
        )


def require_the_frames_decoded_in_order(path: Path) -> None:
    shown = decoded_in_order(path)
    frames = open_recording(path).frames
    assert frames is not None
    assert len(frames) == len(shown)
    for number in range(len(shown)):
        np.testing.assert_array_equal(frames[number], shown[number], str(number))
    np.testing.assert_array_equal(frames.take(range(len(shown))), shown)
    np.testing.assert_array_equal(frames.take(range(1, len(shown), 7)), shown[1::7])
    mixed = np.random.default_rng(0).integers(0, len(shown), 12).tolist()
    np.testing.assert_array_equal(frames.take(mixed), shown[mixed])
