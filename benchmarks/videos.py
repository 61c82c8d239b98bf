"""How fast frames of a video are read: all of them, and every k-th.

    python benchmarks/videos.py
    python benchmarks/videos.py --every 25 250 --video MINE.mp4

The videos are made for it: a cloud with the spectrum of natural pictures that drifts over 640×360
pixels, coded as people have them. *In order* is PyAV alone that decodes the file from its beginning
and makes every frame an RGB array; a ratio below 1 is faster than that. Opening is counted each
time. torchcodec is measured where it is installed, with one thread and its default, exact seeking;
its frames are right if they are nearer to the ones decoded in order than to their neighbours. The
clock is the processor time of this process.
"""

import argparse
import importlib.util
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from evlora.recordings import open_recording
from recordings import moving_texture

WIDTH, HEIGHT, RATE_HZ = 640, 360, 25
Frames = NDArray[np.uint8]


class Coding(NamedTuple):
    """How a video is made."""

    codec: str
    suffix: str
    group_size: int
    b_frames: int
    options: Mapping[str, str] = {}


CODINGS = (
    Coding("libx264", "mp4", 250, 3, {"preset": "veryfast"}),
    Coding("libx264", "mp4", 25, 3, {"preset": "veryfast"}),
    Coding("libx264", "avi", 25, 3, {"preset": "veryfast"}),
    Coding("libx264", "ts", 25, 3, {"preset": "veryfast"}),
    Coding("mpeg4", "avi", 250, 1),
    Coding("mpeg2video", "mpg", 15, 2),
    Coding("mjpeg", "avi", 1, 0),
)


def main() -> None:
    """Make the videos, read them, and print a table of ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--every", type=int, nargs="+", default=[25, 100])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--video", type=Path, nargs="*", default=[], help="measure these instead")
    options = parser.parse_args()
    has_torchcodec = importlib.util.find_spec("torchcodec") is not None
    print(f"{platform.machine()}, Python {platform.python_version()}, av {av.__version__}")
    heads = [
        "in order, s",
        "evlora opens, ×",
        "all, ×",
        *(f"every {k}th, ×" for k in options.every),
    ]
    if has_torchcodec:
        heads += ["torchcodec all, ×", *(f"every {k}th, ×" for k in options.every), "right"]
    print(f"| video | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    with tempfile.TemporaryDirectory() as folder:
        images = [] if options.video else moving_images(options.frames)
        named = [(path.name, path) for path in options.video] or [
            (described(coding), written(Path(folder), coding, images)) for coding in CODINGS
        ]
        for name, path in named:
            cells = measured(path, options.every, options.repeats, with_torchcodec=has_torchcodec)
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def moving_images(count: int) -> list[Frames]:
    """Colour frames, each of shape (HEIGHT, WIDTH, 3)."""
    grey = [np.pad(image, ((0, 100), (0, 294)), "symmetric") for image in moving_texture(count)]
    return [np.stack([image, image[::-1], image[:, ::-1]], axis=-1) for image in grey]


def described(coding: Coding) -> str:
    """What stands in the first column."""
    return (
        f"{coding.codec} in .{coding.suffix}, groups of {coding.group_size}, "
        f"{coding.b_frames} B-frames"
    )


def written(folder: Path, coding: Coding, images: Sequence[Frames]) -> Path:
    """A video of these images."""
    path = folder / f"{coding.codec}_{coding.group_size}.{coding.suffix}"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(coding.codec, rate=RATE_HZ, options=dict(coding.options))
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if coding.codec == "mjpeg" else "yuv420p"
        stream.gop_size, stream.codec_context.max_b_frames = coding.group_size, coding.b_frames
        stream.codec_context.time_base = Fraction(1, RATE_HZ)
        stream.bit_rate = 2_000_000
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def measured(path: Path, every: Sequence[int], repeats: int, *, with_torchcodec: bool) -> list[str]:
    """The cells of one video's row."""
    small, in_order_s = best(lambda: decoded_in_order(path), repeats)
    count = len(small)
    steps = [1, *every]
    cells = [
        f"{in_order_s:.2f}",
        f"{best(lambda: open_recording(path), repeats)[1] / in_order_s:.2f}",
    ]
    for step in steps:
        found, taken_s = best(lambda step=step: by_evlora(path, step), repeats)
        assert np.array_equal(found, small[::step]), f"{path}: evlora gave other frames"
        cells.append(f"{taken_s / in_order_s:.2f}")
    if not with_torchcodec:
        return cells
    right = []
    for step in steps:
        try:
            found, taken_s = best(lambda step=step: by_torchcodec(path, count, step), repeats)
        except Exception as error:
            cells.append(type(error).__name__)
            continue
        cells.append(f"{taken_s / in_order_s:.2f}")
        right.append(f"{nearest_right(found, small, step)} of {len(range(0, count, step))}")
    return [*cells, ", ".join(right)]


def best(task: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """What the task returns, and the least processor time that it took, in seconds."""
    times = []
    result = None
    for _ in range(repeats):
        start = time.process_time()
        result = task()
        times.append(time.process_time() - start)
    return result, min(times)


def decoded_in_order(path: Path) -> Frames:
    """Every fourth row and column of all frames, shape (T, h, w, 3)."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        return np.stack(
            [
                np.asarray(frame.to_ndarray(format="rgb24", threads=1)[::4, ::4], np.uint8)
                for frame in container.decode(stream)
            ]
        )


def by_evlora(path: Path, step: int) -> Frames:
    """The same rows and columns of every step-th frame."""
    frames = open_recording(path).frames
    assert frames is not None
    return frames.take(range(0, len(frames), step))[:, ::4, ::4].copy()


def by_torchcodec(path: Path, count: int, step: int) -> Frames:
    """The same by torchcodec."""
    from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportMissingImports]

    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
    numbers = list(range(0, min(count, len(decoder)), step))
    return decoder.get_frames_at(numbers).data.numpy()[:, ::4, ::4].copy()


def nearest_right(found: Frames, shown: Frames, step: int) -> int:
    """How many of the found frames are nearest to the one they should be."""
    right = 0
    for row, frame in enumerate(found):
        number = row * step
        around = [n for n in range(number - 3, number + 4) if 0 <= n < len(shown)]
        apart = [np.abs(shown[n].astype(np.int16) - frame).mean() for n in around]
        right += around[int(np.argmin(apart))] == number
    return right


if __name__ == "__main__":
    main()
