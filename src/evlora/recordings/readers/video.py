"""Videos, by PyAV: frames with their own times, read when asked for.

Each frame is the one that decoding the file from its beginning gives, in whatever order frames are
asked for. To get there faster, decoding begins at a key packet before; what comes out is compared
with the index, and where it differs, everything is decoded in order after all. A time is where the
video shows the frame: start and end of its exposure are that.
"""

import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evlora.errors import RecordingError
from evlora.recordings.depth import as_8_bits, bits_of, places_looked_at
from evlora.recordings.frames import FrameSequence, ImageArray
from evlora.recordings.readers.video_decoding import (
    as_recording_error,
    av_errors,
    decoded,
    deep_grey_or_colours,
    frame_checksum,
    opened_video,
    packets_of,
    turns_not_applied,
    upright,
)
from evlora.recordings.readers.video_index import VideoIndex, read_video_index
from evlora.recordings.recording import Recording

MOST_LEADING_FRAMES = 64
"""The most frames that may come out before the one that decoding began with."""
WHOLE_BITS = 16
INTRA_PICTURE = 1
"""A picture that is coded without others, as FFmpeg counts the kinds (`AV_PICTURE_TYPE_I`)."""

NumberedFrames = Generator[tuple[int, Any]]


def read(path: Path, *, width: int | None, height: int | None) -> Recording:
    """The frames of the video; width and height come from it.

    Raises:
        RecordingError: No video that can be decoded, or its size differs from the one given.
    """
    return _recording(read_video_index(path), width=width, height=height)


def read_beginning(
    path: Path, *, width: int | None, height: int | None
) -> tuple[Recording, int | None]:
    """The frames of the video's beginning where all would have to be decoded, else all; see `read`.

    Returns:
        The recording, and how many bytes of the file it is of; None for all.
    """
    index = read_video_index(path, is_part_enough=True)
    return _recording(index, width=width, height=height), index.part_bytes


def _recording(index: VideoIndex, *, width: int | None, height: int | None) -> Recording:
    path = index.path
    given = (width or index.width, height or index.height)
    if given != (index.width, index.height):
        raise RecordingError(
            f"{path}: the video is {index.width}×{index.height}, width and height say "
            f"{given[0]}×{given[1]}; leave them out"
        )
    with closing(_frames(index, [0])) as first:
        (_, frame) = next(first)
        remarks = [*index.remarks, *turns_not_applied(frame)]
        is_deep = deep_grey_or_colours(frame) is not None
    bits = _bits_used(index) if is_deep else None
    source = VideoFrames(index, bits)
    frames = FrameSequence(source, index.width, index.height, index.t_us, index.t_us)
    if bits is not None:
        remarks.append(f"values of 16 bits were read as {bits} bits")
    noted = tuple(f"{path}: {remark}" for remark in remarks)
    return Recording(None, frames, "video", path, index.warnings, noted)


def _bits_used(index: VideoIndex) -> int | None:
    """The bits that the values of a video of 16 bits use, by some of its frames; None for all."""
    with closing(_frames(index, places_looked_at(len(index)))) as frames:
        values = (deep_grey_or_colours(frame) for _, frame in frames)
        bits = bits_of((image for image in values if image is not None), where=str(index.path))
    return bits if bits < WHOLE_BITS else None


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrames:
    """Frames of a video, decoded when they are asked for."""

    index: VideoIndex
    bits: int | None = None
    """That values of 16 bits use; None where they use all, or the format states it."""

    def __len__(self) -> int:
        return len(self.index)

    def read(self, indices: Sequence[int]) -> ImageArray:
        """The frames of these numbers, shape (len(indices), H, W, 3).

        Raises:
            RecordingError: A frame cannot be decoded.
        """
        count = len(self)
        rows: dict[int, list[int]] = {}
        for row, index in enumerate(indices):
            rows.setdefault(range(count)[index], []).append(row)
        images = np.empty((len(indices), self.index.height, self.index.width, 3), np.uint8)
        with closing(_frames(self.index, sorted(rows))) as frames:
            for number, frame in frames:
                images[rows[number]] = self._pixels(frame)
        return images

    def _pixels(self, frame: Any) -> ImageArray:
        with as_recording_error(self.index.path, "a frame"):
            image = upright(self._rgb(frame), frame)
        if image.shape != (self.index.height, self.index.width, 3):
            raise RecordingError(
                f"{self.index.path}: expected frames of {self.index.width}×{self.index.height}, "
                f"got {image.shape[1]}×{image.shape[0]}"
            )
        return image

    def _rgb(self, frame: Any) -> ImageArray:
        """The pixels as the file keeps them, shape (H, W, 3)."""
        deep = None if self.bits is None else deep_grey_or_colours(frame)
        if self.bits is None or deep is None:
            return frame.to_ndarray(format="rgb24", threads=1)
        image = as_8_bits(deep, self.bits, where=str(self.index.path))
        return image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)


def _frames(index: VideoIndex, wanted: Sequence[int]) -> NumberedFrames:
    """The frames of these rising numbers, each with its number."""
    with opened_video(index.path) as (container, stream), ExitStack() as others:
        coming, position, may_jump = None, 0, True
        for number in wanted:
            key = index.key_before(number) if may_jump else None
            frame = None
            if key is not None and (coming is None or index.key_frames[key] > position):
                if coming is None:
                    _begin(index.path, container, stream)
                coming = _frames_from_key(index, key, container, stream)
                frame = _advanced(coming, number)
            else:
                coming = coming or _from_start(index, container, stream)
                with as_recording_error(index.path, f"frame {number} of {len(index)}"):
                    frame = _advanced(coming, number)
            if frame is None:
                # Where one jump was wrong others would be too, each at the price of a new start.
                may_jump = False
                coming = others.enter_context(closing(frames_in_order(index)))
                with as_recording_error(index.path, f"frame {number} of {len(index)}"):
                    frame = _advanced(coming, number)
            if frame is None:
                raise RecordingError(
                    f"{index.path}: frame {number} of {len(index)} cannot be decoded; the video "
                    "is damaged there: copy it again, cut it before, or leave it out"
                )
            position = number + 1
            yield number, frame


def _advanced(coming: NumberedFrames, wanted: int) -> Any:
    """The wanted frame of those that come, or None where it is not among them."""
    for number, frame in coming:
        if number >= wanted:
            return frame if number == wanted else None
    return None


def frames_in_order(index: VideoIndex) -> NumberedFrames:
    """The frames of PyAV from the beginning of the file on, each with its number.

    Frames that the container announces and a damaged file does not hold are skipped.

    Raises:
        av.FFmpegError: A packet cannot be decoded; all frames before it were given.
    """
    with opened_video(index.path) as (container, stream):
        yield from _from_start(index, container, stream)


def _from_start(index: VideoIndex, container: Any, stream: Any) -> NumberedFrames:
    expected = 0
    for packet, frame in decoded(enumerate(packets_of(container, stream))):
        if expected < len(index) and index.frame_packets[expected] != packet:
            ahead = np.flatnonzero(index.frame_packets[expected:] == packet)
            if not len(ahead):
                continue
            expected += int(ahead[0])
        if expected == len(index):
            return
        yield expected, frame
        expected += 1


def _frames_from_key(index: VideoIndex, key: int, container: Any, stream: Any) -> NumberedFrames:
    """The frames from a key packet on, as long as they are the ones that the index expects."""
    expected, leading = -1, 0
    try:
        for packet, frame in decoded(_packets_from(index, key, container, stream)):
            is_first = expected < 0
            if is_first and packet != index.key_packets[key]:
                leading += 1
                if leading > MOST_LEADING_FRAMES:
                    return
                continue
            expected = int(index.key_frames[key]) if is_first else expected + 1
            if not _is_expected(index, expected, packet, frame, is_first=is_first):
                return
            yield expected, frame
    except av_errors():
        return


def _is_expected(
    index: VideoIndex, number: int, packet: int, frame: Any, *, is_first: bool
) -> bool:
    """Whether this frame is surely the one that decoding in order gives."""
    if number >= len(index) or packet != index.frame_packets[number]:
        return False
    if index.frame_checksums is not None:
        # Damage is hidden differently from here, on rows that the checksum may not look at.
        return frame_checksum(frame) == index.frame_checksums[number] and not frame.is_corrupt
    if is_first and not (frame.key_frame and frame.pict_type == INTRA_PICTURE):
        return False
    return not frame.is_corrupt


def _begin(path: Path, container: Any, stream: Any) -> None:
    """Show the decoder the first packet: there an encoder names itself, which changes pixels."""
    with as_recording_error(path, "a first frame"):
        next(packets_of(container, stream)).decode()


def _packets_from(
    index: VideoIndex, key: int, container: Any, stream: Any
) -> Iterator[tuple[int, Any]]:
    """Numbered packets from this key packet on, or from one before it; none if it is not found."""
    for time in dict.fromkeys(index.key_times[key].tolist()):
        container.seek(time, stream=stream)
        packets = packets_of(container, stream)
        number, first = _first_known(index, packets)
        if number is None or number > index.key_packets[key]:
            continue
        yield number, first
        for packet in packets:
            number += 1
            # The index of a damaged file ends at the damage, the packets may not.
            is_known = number < len(index.packet_checksums)
            if packet.size and not (
                is_known and zlib.crc32(packet) == index.packet_checksums[number]
            ):
                return
            yield number, packet
        return


def _first_known(index: VideoIndex, packets: Iterator[Any]) -> tuple[int | None, Any]:
    """The first of these packets that decoding can begin with, and its number."""
    for packet in packets:
        if packet.size and packet.is_keyframe:
            number = index.key_packet(zlib.crc32(packet), packet.dts)
            if number is not None:
                return number, packet
    return None, None
