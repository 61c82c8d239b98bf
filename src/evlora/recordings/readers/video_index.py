"""Which frames a video shows, when, and where decoding may begin to get them.

Three things are hard about a video: frames are stored in another order than they are shown,
not every packet becomes a frame, and not every packet that is marked as a key can be begun with.
MP4 and Matroska with a codec of today state the order, and the first frames are decoded to see
that it is kept. Anything else is decoded once from its beginning, in constant memory.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.limits import limits, raising
from evlora.recordings.pictures import require_size
from evlora.recordings.readers.video_decoding import (
    av_errors,
    decoded,
    frame_checksum,
    opened_video,
    packets_of,
    pixels_not_square,
    upright,
    videos_beside,
)

ORDERED_CONTAINERS = ("mov", "matroska")
"""They have a time of showing for each packet, and an edit list marks what is not shown."""
UNTIMED_CONTAINERS = ("avi",)
"""They only count the packets: times of showing that FFmpeg gives for them are guesses."""
CONSTANT_RATE_CONTAINERS = ("mpeg",)
"""Their packets share times; FFmpeg's guesses for the others are not evenly spaced."""
ORDERED_CODECS = ("h264", "hevc", "vp9", "av1")
"""One packet, one frame. MPEG-4 packs two into one, VP8 hides some, MPEG-2 stores fields."""
ENDING_CONTAINERS = ("matroska",)
"""What they announce is when they end, not how long they are."""
TRIED_FRAMES = 8
"""The number of frames that are decoded to see that a stated order is kept."""
RESTART_FRAMES = 4
"""A clock that falls by more frames than this begins again; smaller falls are disorder."""
PART_BYTES, PART_PIXELS = 96 << 20, 1 << 29
"""Where a part is enough: this much of the file or of the pictures; one to two seconds' work."""
ENDING_FRAMES = 3
"""A video that ends this many frames before its announced end has been cut."""


class Packet(NamedTuple):
    """A piece of the file that a decoder takes in at once."""

    pts: int | None
    """When its frame is shown, in the stream's unit, if the container knows."""
    dts: int | None
    """When it is decoded."""
    checksum: int
    duration: int
    """How long it is shown, in the stream's unit; 0 where the container does not know."""
    is_key: bool
    is_hidden: bool
    """Whether it is only there for others: cut off by an edit list."""
    size: int
    """In bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class VideoIndex:
    """F frames of a video in the order of showing, and K packets to begin with."""

    path: Path
    width: int
    height: int
    t_us: NDArray[np.int64]
    """When each frame is shown, rising, shape (F,)."""
    frame_packets: NDArray[np.int64]
    """Number of the packet that each frame comes in, shape (F,)."""
    frame_checksums: NDArray[np.uint32] | None
    """What decoding in order gave, shape (F,); None where the container states the order."""
    packet_checksums: NDArray[np.uint32]
    """Of every packet in the order of the file, shape (P,)."""
    key_packets: NDArray[np.int64]
    """Numbers of the packets to begin with, shape (K,)."""
    key_frames: NDArray[np.int64]
    """Number of the frame that each of them becomes, rising, shape (K,)."""
    key_times: NDArray[np.int64]
    """Time of showing and time of decoding, in the stream's unit, shape (K, 2)."""
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    part_bytes: int | None = None
    """How much of the file's beginning was decoded; None where the index is of the whole file."""

    def __len__(self) -> int:
        return len(self.frame_packets)

    def key_before(self, frame: int) -> int | None:
        """Which of the K packets to begin with for this frame; None for the beginning."""
        key = int(np.searchsorted(self.key_frames, frame, "right")) - 1
        return key if key >= 0 and self.key_frames[key] > 0 else None

    def key_packet(self, checksum: int, dts: int | None) -> int | None:
        """Number of the packet to begin with that has this checksum, if it is surely that one."""
        found = np.flatnonzero(self.packet_checksums[self.key_packets] == checksum)
        if len(found) > 1 and dts is not None:
            found = found[self.key_times[found, 1] == dts]
        return int(self.key_packets[found[0]]) if len(found) == 1 else None


def read_video_index(path: Path, *, is_part_enough: bool = False) -> VideoIndex:
    """The frames of the video, without their pixels.

    Args:
        path: The video.
        is_part_enough: Whether the frames of its beginning suffice where all would have to be
            decoded; see `PART_BYTES`.

    Raises:
        RecordingError: No video, or none of its frames can be decoded.
    """
    with opened_video(path) as (container, stream):
        remarks = (*pixels_not_square(stream), *videos_beside(container, stream))
        codec = stream.codec_context.codec
        is_ordered = container.format.name.startswith(ORDERED_CONTAINERS)
        if not codec.intra_only and not (is_ordered and codec.canonical_name in ORDERED_CODECS):
            index = _decoded_index(path, container, stream, is_part_enough=is_part_enough)
            return replace(index, remarks=remarks)
        index = _stated_index(path, container, stream)
    if index is None:
        with opened_video(path) as (container, stream):
            index = _decoded_index(path, container, stream, is_part_enough=is_part_enough)
    return replace(index, remarks=remarks)


def _stated_index(path: Path, container: Any, stream: Any) -> VideoIndex | None:
    """The frames as the container orders them, or None where it cannot be relied upon."""
    packets: list[Packet] = []
    damage = ""
    try:
        for _ in _recorded(path, container, stream, packets):
            pass
    except av_errors() as error:
        damage = str(error)
    if not _is_order_stated(packets, is_intra=stream.codec_context.codec.intra_only):
        return None
    order = sorted(
        (number for number, packet in enumerate(packets) if not packet.is_hidden),
        key=lambda number: packets[number].pts or 0,
    )
    shape = _shape_if_kept(path, order)
    if shape is None:
        return None
    ticks = [packets[number].pts or 0 for number in order]
    return _index(
        path,
        packets,
        order,
        shape=shape,
        checksums=None,
        t_us=_microseconds(path, ticks, stream.time_base),
        damage=damage or _what_is_missing(container, stream, packets),
    )


def _is_order_stated(packets: Sequence[Packet], *, is_intra: bool) -> bool:
    shown = [packet.pts for packet in packets if not packet.is_hidden]
    is_complete = bool(shown) and None not in shown and len(set(shown)) == len(shown)
    return is_complete and (not is_intra or all(packet.is_key for packet in packets))


def _shape_if_kept(path: Path, order: Sequence[int]) -> tuple[int, int] | None:
    """Height and width of the frames if the first ones come in this order, else None."""
    with opened_video(path) as (container, stream):
        packets = enumerate(packets_of(container, stream))
        try:
            first = list(islice(decoded(packets), TRIED_FRAMES))
        except av_errors():
            return None
        if [number for number, _ in first] != list(order[:TRIED_FRAMES]):
            return None
        # The two fields of a frame may be packets of their own, anywhere in the stream.
        if any(frame.interlaced_frame for _, frame in first):
            return None
        return _shape(path, first[0][1])


def _decoded_index(path: Path, container: Any, stream: Any, *, is_part_enough: bool) -> VideoIndex:
    """The frames that decoding from the beginning gives."""
    packets: list[Packet] = []
    numbers: list[int] = []
    checksums: list[int] = []
    clock: list[int | None] = []
    shape: tuple[int, int] | None = None
    damage = ""
    part = _Part(packets)
    try:
        for number, frame in decoded(_recorded(path, container, stream, packets)):
            seen = _shape(path, frame)
            shape = shape or seen
            if seen != shape:
                damage = f"the next is {seen[1]}×{seen[0]} instead of {shape[1]}×{shape[0]}"
                break
            numbers.append(number)
            checksums.append(frame_checksum(frame))
            clock.append(packets[-1].dts if frame.dts is not None else None)
            if is_part_enough and part.is_enough(frame):
                break
    except av_errors() as error:
        damage = str(error)
    if shape is None or stream.time_base is None:
        why = damage or "none of its frames can be decoded"
        raise RecordingError(
            f"{path}: expected a video, could not decode it: {why}; the video is damaged or "
            "coded in an unknown way: copy it again, or leave it out"
        )
    ticks = _ticks(stream, packets, numbers, clock, container=container.format.name)
    if not (damage or part.has_ended):
        damage = _what_is_missing(container, stream, packets)
    index = _index(
        path,
        packets,
        numbers,
        shape=shape,
        checksums=np.array(checksums, np.uint32),
        t_us=_microseconds(path, ticks, stream.time_base),
        damage=damage,
    )
    return replace(index, part_bytes=part.read_bytes if part.has_ended else None)


class _Part:
    """How much of a video has been decoded."""

    def __init__(self, packets: Sequence[Packet]) -> None:
        self.read_bytes = 0
        self.has_ended = False
        self._packets = packets
        self._counted = self._pixels = 0

    def is_enough(self, frame: Any) -> bool:
        """Whether this frame is the last that a part needs."""
        self.read_bytes += sum(packet.size for packet in self._packets[self._counted :])
        self._counted = len(self._packets)
        self._pixels += frame.width * frame.height
        self.has_ended = self.read_bytes >= PART_BYTES or self._pixels >= PART_PIXELS
        return self.has_ended


def _recorded(
    path: Path, container: Any, stream: Any, packets: list[Packet]
) -> Iterator[tuple[int, Any]]:
    """The numbered packets of the stream; what is to be known of each is noted in `packets`."""
    most = limits().video_frames
    for packet in packets_of(container, stream):
        if packet.size:
            if len(packets) == most:
                raise RecordingError(
                    f"{path}: more than {most:,} frames; cut the video, or "
                    f"{raising('video_frames')}"
                )
            note = Packet(
                *(packet.pts, packet.dts, zlib.crc32(packet), packet.duration or 0),
                *(packet.is_keyframe, packet.is_discard, packet.size),
            )
            packets.append(note)
        yield len(packets) - 1, packet


def _ticks(
    stream: Any,
    packets: Sequence[Packet],
    numbers: Sequence[int],
    clock: Sequence[int | None],
    *,
    container: str,
) -> list[int]:
    """When each frame is shown, in the stream's unit.

    The times that came with the packets count if they rise with the frames. Otherwise a frame is
    shown when the packet that pushed it out of the decoder is due, from the first packet on, or,
    where only some packets have a time, at a constant rate.
    """
    step = _frame_ticks(stream)
    stated = [packets[number].pts for number in numbers]
    times = [tick for tick in stated if tick is not None]
    if container not in UNTIMED_CONTAINERS and len(times) == len(stated):
        times = _joined(times, step)
        if (np.diff(times) > 0).all():
            return times
    first = packets[numbers[0]].dts or 0
    if container in CONSTANT_RATE_CONTAINERS:
        return [first + step * number for number in range(len(numbers))]
    pushed: list[int] = []
    for tick in clock:
        earliest = pushed[-1] + step if pushed else (first if tick is None else tick)
        pushed.append(earliest if tick is None else max(tick, pushed[-1] + 1 if pushed else tick))
    return [tick - pushed[0] + first for tick in pushed]


def _joined(times: Sequence[int], step: int) -> list[int]:
    """The times, where a clock that begins again goes on a frame later: files that were joined."""
    joined: list[int] = []
    added = 0
    for before, tick in pairwise([times[0] - step, *times]):
        if tick < before - RESTART_FRAMES * step:
            added += before + step - tick
        joined.append(tick + added)
    return joined


def _frame_ticks(stream: Any) -> int:
    """How long a frame is shown, in the stream's unit, at least 1."""
    rate = stream.average_rate or stream.guessed_rate
    return max(1, round(1 / (rate * stream.time_base))) if rate else 1


def _microseconds(path: Path, ticks: Sequence[int], unit: Fraction) -> NDArray[np.int64]:
    times = [round(tick * unit * 1_000_000) for tick in ticks]
    if max(abs(times[0]), abs(times[-1])) >= 1 << 62:
        raise RecordingError(
            f"{path}: its frames' times, {times[0]} to {times[-1]} µs, are damaged"
        )
    return np.array(times, np.int64)


def _index(
    path: Path,
    packets: Sequence[Packet],
    numbers: Sequence[int],
    *,
    shape: tuple[int, int],
    checksums: NDArray[np.uint32] | None,
    t_us: NDArray[np.int64],
    damage: str,
) -> VideoIndex:
    """The index of frames that come in the packets of these numbers."""
    frame_of = {number: frame for frame, number in reversed(list(enumerate(numbers)))}
    keys = sorted(
        (frame_of[number], number)
        for number, packet in enumerate(packets)
        if packet.is_key and number in frame_of and packet.dts is not None
    )
    times = [
        (packets[number].pts if packets[number].pts is not None else packets[number].dts,
         packets[number].dts)
        for _, number in keys
    ]  # fmt: skip
    warning = f"{path}: damaged after {len(numbers)} frames ({damage}); those were read"
    return VideoIndex(
        path=path,
        width=shape[1],
        height=shape[0],
        t_us=t_us,
        frame_packets=np.array(numbers, np.int64),
        frame_checksums=checksums,
        packet_checksums=np.array([packet.checksum for packet in packets], np.uint32),
        key_packets=np.array([number for _, number in keys], np.int64),
        key_frames=np.array([frame for frame, _ in keys], np.int64),
        key_times=np.array(times, np.int64).reshape(-1, 2),
        warnings=(warning,) if damage else (),
    )


def _what_is_missing(container: Any, stream: Any, packets: Sequence[Packet]) -> str:
    """What the header announces beyond the last packet; demuxers are silent about a cut file."""
    unit = stream.time_base
    if stream.duration is not None:
        announced_s = float(stream.duration * unit)
    elif container.duration is not None and len(container.streams) == 1:
        announced_s = container.duration / 1e6
    else:
        return ""
    times = [packet.pts if packet.dts is None else packet.dts for packet in packets]
    known = np.sort([time for time in times if time is not None])
    if not len(known):
        return ""
    longest = max([_frame_ticks(stream), *np.diff(known).tolist()])
    first = int(known[0])
    if container.format.name.startswith(ENDING_CONTAINERS):
        first = min(first, 0)
    held = int(known[-1]) - first + max(longest, packets[-1].duration)
    held_s = float(held * unit)
    if announced_s <= held_s + ENDING_FRAMES * longest * unit:
        return ""
    return f"its header announces {announced_s:.3f} s, it holds {held_s:.3f} s"


def _shape(path: Path, frame: Any) -> tuple[int, int]:
    require_size(path, frame.width, frame.height)
    height, width = upright(np.empty((frame.height, frame.width), np.uint8), frame).shape
    return height, width
