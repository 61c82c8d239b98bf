"""Videos, by PyAV: frames with their own times, read when asked for.

Opening goes through the packets without decoding them; a frame is decoded from the key frame
before it. A time is where the video shows the frame: start and end of its exposure are that.
"""

import bisect
import itertools
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.frames import FrameSequence, ImageArray
from evlora.recordings.recording import Recording

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"),
    *(".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".gif"),
)
LARGEST_FRAME_PX = 1 << 26
"""A damaged header may ask for more memory than there is."""
MOST_FRAMES = 10_000_000


def read(path: Path, *, width: int | None, height: int | None) -> Recording:
    """The frames of the video; width and height come from it.

    Raises:
        RecordingError: No video that can be decoded, or its size differs from the one given.
    """
    sequence, warnings = _opened(path)
    given = (width or sequence.width, height or sequence.height)
    if given != (sequence.width, sequence.height):
        raise RecordingError(
            f"{path}: the video is {sequence.width}×{sequence.height}, width and height say "
            f"{given[0]}×{given[1]}; leave them out"
        )
    return Recording(None, sequence, "video", path, warnings)


@dataclass(frozen=True, slots=True)
class VideoFrames:
    """Frames of a video, found by their place in time."""

    path: Path
    ticks: tuple[int, ...]
    """Time of each frame in the stream's own unit, rising."""
    key_ticks: tuple[int, ...]
    """Times of the frames that are coded without others."""
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.ticks)

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, shape (len(indices), H, W, 3).

        Raises:
            RecordingError: A frame cannot be decoded.
        """
        wanted = sorted({self.ticks[index] for index in indices})
        images: dict[int, ImageArray] = {}
        if wanted:
            with _container(self.path) as container:
                for key, ticks in itertools.groupby(wanted, self._key_before):
                    self._decode(container, key, list(ticks), images)
        stacked = np.empty((len(indices), self.height, self.width, 3), np.uint8)
        for row, index in enumerate(indices):
            stacked[row] = images[self.ticks[index]]
        return stacked

    def _key_before(self, tick: int) -> int:
        number = bisect.bisect_right(self.key_ticks, tick)
        return self.key_ticks[number - 1] if number else self.ticks[0]

    def _decode(
        self, container: Any, key: int, ticks: list[int], images: dict[int, ImageArray]
    ) -> None:
        """Decode these frames, all of which need the frames from this key frame on."""
        missing = set(ticks)
        stream = container.streams.video[0]
        with _ours(self.path, f"the frames at {ticks[0]} to {ticks[-1]}"):
            # Where a file has no index, seeking may end up behind: then from the beginning.
            for start in (key, self.ticks[0]):
                container.seek(start, stream=stream)
                for frame in container.decode(stream):
                    if frame.pts in missing:
                        images[frame.pts] = self._pixels(frame)
                        missing.remove(frame.pts)
                    if frame.pts is not None and frame.pts >= ticks[-1]:
                        break
                if not missing:
                    return
        raise RecordingError(
            f"{self.path}: {len(missing)} frames, the first number "
            f"{self.ticks.index(min(missing))} of {len(self.ticks)}, cannot be decoded; "
            "the video is damaged there: copy it again, cut it before, or leave it out"
        )

    def _pixels(self, frame: Any) -> ImageArray:
        image = frame.to_ndarray(format="rgb24")
        turned = np.rot90(image, frame.rotation // 90 % 4)
        if turned.shape != (self.height, self.width, 3):
            raise RecordingError(
                f"{self.path}: expected frames of {self.width}×{self.height}, "
                f"got {turned.shape[1]}×{turned.shape[0]}"
            )
        return turned


def _opened(path: Path) -> tuple[FrameSequence, tuple[str, ...]]:
    warnings: list[str] = []
    with _container(path) as container:
        stream = container.streams.video[0]
        ticks: list[int] = []
        keys: list[int] = []
        try:
            for tick, is_key in _timed_packets(container, stream):
                ticks.append(tick)
                if is_key:
                    keys.append(tick)
                if len(ticks) == MOST_FRAMES:
                    raise RecordingError(f"{path}: more than {MOST_FRAMES} frames; cut the video")
        except _av_errors() as error:
            warnings.append(f"{path}: damaged after {len(ticks)} frames ({error}); those were read")
        order = sorted(set(ticks))
        unit = stream.time_base
        if not order or unit is None:
            raise RecordingError(f"{path}: expected a video with timed frames, got none")
        height, width = _first_shape(path, container, stream)
    frames = VideoFrames(path, tuple(order), tuple(sorted(set(keys))), width, height)
    t_us = _microseconds(path, order, unit)
    return FrameSequence(frames, width, height, t_us, t_us), tuple(warnings)


def _timed_packets(container: Any, stream: Any) -> Iterator[tuple[int, bool]]:
    """Time and independence of every frame, from the packets or, where they do not say, decoded."""
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if packet.pts is None:
            break
        yield packet.pts, packet.is_keyframe
    else:
        return
    container.seek(0)
    for frame in container.decode(stream):
        if frame.pts is not None:
            yield frame.pts, frame.key_frame


def _microseconds(path: Path, ticks: list[int], unit: Fraction) -> NDArray[np.int64]:
    times = [round(tick * unit * 1_000_000) for tick in ticks]
    if max(abs(times[0]), abs(times[-1])) >= 1 << 62:
        raise RecordingError(
            f"{path}: its frames' times, {times[0]} to {times[-1]} µs, are damaged"
        )
    return np.array(times, np.int64)


def _first_shape(path: Path, container: Any, stream: Any) -> tuple[int, int]:
    with _ours(path, "its first frame"):
        container.seek(0)
        for frame in container.decode(stream):
            if frame.width * frame.height > LARGEST_FRAME_PX:
                raise RecordingError(
                    f"{path}: its frames, {frame.width}×{frame.height}, are damaged"
                )
            is_upright = frame.rotation // 90 % 2 == 0
            return (frame.height, frame.width) if is_upright else (frame.width, frame.height)
    raise RecordingError(f"{path}: expected a video, none of its frames can be decoded")


@contextmanager
def _container(path: Path) -> Generator[Any]:
    import av

    with _ours(path, "a video"):
        container = av.open(str(path))
    with container:
        if not container.streams.video:
            raise RecordingError(f"{path}: expected a video, it holds only other streams")
        container.streams.video[0].thread_type = "NONE"
        yield container


@contextmanager
def _ours(path: Path, expected: str) -> Generator[None]:
    try:
        yield
    except _av_errors() as error:
        raise RecordingError(
            f"{path}: expected {expected}, could not decode it: {error}; the video is damaged or "
            "coded in an unknown way: copy it again, or leave it out"
        ) from error


def _av_errors() -> tuple[type[Exception], ...]:
    import av.error

    return (av.error.FFmpegError, OSError, ValueError, MemoryError, OverflowError)
