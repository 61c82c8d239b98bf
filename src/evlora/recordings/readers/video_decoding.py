"""What PyAV is asked for: opening a video, decoding its packets, turning frames upright."""

import math
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.pictures import require_size
from evlora.untrusted import plain

CONTAINERS = (
    *("mov", "avi", "matroska", "mpeg", "mpegvideo", "mpegts", "m4v", "asf", "flv", "ogg"),
    *("gif", "yuv4mpegpipe"),
)
"""FFmpeg's names of the formats that videos may have; playlists, lists of files and the like, by
which FFmpeg would open what they name, are none of them."""
THIS_FILE_ALONE = {"protocol_whitelist": "file", "format_whitelist": ",".join(CONTAINERS)}
DEEP_FORMATS = ("gray16", "rgb48", "bgr48", "gbrp16")
"""Starts of FFmpeg's names for pixels whose values may use fewer bits than they have."""
SLANT_BORNE = 0.01
"""Of a display matrix, which some tools write with rounded numbers."""
CHECKED_ROWS = 4
"""One row of a frame in this many enters its checksum."""


@contextmanager
def opened_video(path: Path) -> Generator[tuple[Any, Any]]:
    """The container and its video stream; `av` errors of any kind become a `RecordingError`.

    Raises:
        RecordingError: No video, or none that this build of FFmpeg decodes.
    """
    import av
    import av.error

    plain(path, RecordingError)
    with as_recording_error(path, "a video"):
        # Titles are not used, and old tools wrote them in any encoding. The name of a file may look
        # like the address of something else.
        try:
            container: Any = av.open(
                f"file:{path}", metadata_errors="replace", options=dict(THIS_FILE_ALONE)
            )
        except av.error.ArgumentError as error:
            raise RecordingError(
                f"{path}: expected a video, got a file of another format, such as a picture or a "
                "playlist; save it as a video, for example as MP4"
            ) from error
    with container:
        stream = container.streams.best("video")
        if stream is None:
            raise RecordingError(f"{path}: expected a video, it holds only other streams")
        if stream.codec_context is None:
            raise RecordingError(
                f"{path}: its video is coded in a way that is not known here; code it anew, for "
                "example as H.264"
            )
        require_size(path, stream.codec_context.width, stream.codec_context.height)
        stream.thread_type = "NONE"
        yield container, stream


def videos_beside(container: Any, stream: Any) -> list[str]:
    """A remark where the file holds further videos than this one; a title picture is none."""
    from av.stream import Disposition

    others = [
        f"0:{other.index}"
        for other in container.streams.video
        if other.index != stream.index and not other.disposition & Disposition.attached_pic
    ]
    if not others:
        return []
    return [
        f"not read: the videos in streams {', '.join(others)}; save one as a file of its own, for "
        f"example with `ffmpeg -i FILE -map {others[0]} -c copy OUT`"
    ]


def packets_of(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of a video, and an empty one at the end, which empties the decoder.

    Other empty packets stand in the place of frames that were dropped, whose time the frame before
    fills; decoders refuse them.
    """
    for packet in container.demux(stream):
        if packet.size:
            yield packet
        elif packet.dts is None:
            yield packet
            return  # behind it PyAV may look for a stream that began on the way, and fail


def decoded(packets: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    """The frames of numbered packets in the order of showing, each with its packet's number.

    The number goes through the decoder in the place of the packet's time, so that a frame is
    known by the packet it came in, whatever the container states about times. Packets before the
    first frame that cannot be decoded are skipped: a stream that was joined midway begins so.

    Raises:
        av.FFmpegError: A later packet cannot be decoded; all frames before it were given.
    """
    has_begun = False
    for number, packet in packets:
        if packet.size:
            packet.pts = packet.dts = number
        try:
            frames = packet.decode()
        except av_errors():
            if not has_begun:
                continue
            for frame in packet.stream.codec_context.decode(None):
                yield frame.pts, frame
            raise
        for frame in frames:
            has_begun = True
            yield frame.pts, frame


def frame_checksum(frame: Any) -> int:
    """A checksum of the frame's size and of some rows of each of its planes."""
    checksum = frame.width << 16 | frame.height
    bytes_per_value = max(1, frame.format.components[0].bits + 7 >> 3)
    for plane in frame.planes:
        values = np.frombuffer(plane, np.uint8)
        if not plane.line_size:  # a palette
            checksum = zlib.crc32(values.tobytes(), checksum)
            continue
        rows = values.reshape(-1, plane.line_size)
        # Beyond the width of a frame is whatever was in memory.
        kept = rows[: plane.height : CHECKED_ROWS, : plane.width * bytes_per_value]
        checksum = zlib.crc32(kept.tobytes(), checksum)
    return checksum


def deep_grey_or_colours(frame: Any) -> NDArray[np.uint16] | None:
    """The values of a frame of 16 bits in grey or RGB, shape (H, W) or (H, W, 3); else None.

    These formats do not state how many of the 16 bits are used; those of 10 or 12 bits do.
    """
    name = frame.format.name
    if not name.startswith(DEEP_FORMATS):
        return None
    values = frame.to_ndarray(format="gray16le" if name.startswith("gray") else "rgb48le")
    return np.asarray(values, np.uint16)


def upright(image: NDArray[np.uint8], frame: Any) -> NDArray[np.uint8]:
    """The image as the frame's display matrix shows it: turned by quarters, mirrored, or as it is.

    Args:
        image: Pixels of the frame, shape (H, W) or (H, W, C).
        frame: The frame of PyAV, which may hold a matrix.

    Returns:
        The same pixels; rows and columns change places where the matrix turns by a quarter.
    """
    matrix = _display_matrix(frame)
    if matrix is None:
        return image
    a, b, c, d = matrix
    if abs(a) + abs(d) >= abs(b) + abs(c):
        across, down = a, d
    else:
        image, across, down = image.swapaxes(0, 1), c, b
    return image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def turns_not_applied(frame: Any) -> list[str]:
    """A remark where the frame's display matrix turns it by something else than quarters."""
    a, b, c, d = _display_matrix(frame) or (1, 0, 0, 1)
    along, aslant = abs(a) + abs(d), abs(b) + abs(c)
    if min(along, aslant) <= SLANT_BORNE * max(along, aslant):
        return []
    degrees = round(math.degrees(math.atan2(b, a)))
    return [
        f"its display matrix turns frames by {degrees}°; only quarter turns are applied, so frames "
        "are turned by the nearest of them"
    ]


def pixels_not_square(stream: Any) -> list[str]:
    """A remark where the pixels of a video are not square, as those of DV and DVD are."""
    shape = stream.sample_aspect_ratio
    if not shape or shape == 1:
        return []
    return [
        f"its pixels are {shape.numerator}:{shape.denominator} wide to high; frames have the "
        "pixels of the file and are not stretched"
    ]


def _display_matrix(frame: Any) -> tuple[int, int, int, int] | None:
    """How the frame is shown: (column, row) at (a · column + c · row, b · column + d · row)."""
    matrix = _side_data(frame).get("DISPLAYMATRIX")
    if matrix is None:
        return None
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    return a, b, c, d


def _side_data(frame: Any) -> Any:
    """What the frame has beside its pixels, by kind."""
    try:
        return frame.side_data
    except ValueError:
        # PyAV 18.1 has no name for some kinds, such as the Exif of Motion JPEG, and then gives none
        # at all: they get one that nothing here asks for.
        from av.sidedata import sidedata

        kinds: Any = sidedata.Type
        kinds._missing_ = classmethod(lambda _kinds, _number: kinds.VIDEO_HINT)
        return frame.side_data


@contextmanager
def as_recording_error(path: Path, expected: str) -> Generator[None]:
    """Turn the errors of PyAV into ones that name the file and what was expected of it."""
    try:
        yield
    except av_errors() as error:
        raise RecordingError(
            f"{path}: expected {expected}, could not decode it: {error}; the video is damaged or "
            "coded in an unknown way: copy it again, or leave it out"
        ) from error


def av_errors() -> tuple[type[Exception], ...]:
    """What PyAV raises for files that are damaged."""
    import av.error

    return (av.error.FFmpegError, OSError, ValueError, MemoryError, OverflowError)
