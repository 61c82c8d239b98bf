"""The ROS messages that hold events and pictures, taken apart by their published definitions.

ROS 1 writes fields one after the other; ROS 2 (CDR) aligns each to its own size, counted from
behind the four bytes that name the encoding. dvs_msgs and prophesee_event_msgs share one layout,
event_camera_msgs and its predecessor event_array_msgs another:

- EventArray: header, height, width, list of (x, y: uint16; time; polarity: bool)
- EventPacket: header, height, width, seq: uint64, time_base: uint64, encoding, is_bigendian, bytes
- Image: header, height, width, encoding, is_bigendian, step, bytes
- CompressedImage: header, format, bytes
"""

import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.decoding import EventChunk

ROS1_EVENT = np.dtype(
    [("x", "<u2"), ("y", "<u2"), ("sec", "<u4"), ("nsec", "<u4"), ("polarity", "u1")]
)
CDR_EVENT_BYTES = 16
CDR_LITTLE_ENDIAN = (b"\x00\x01", b"\x00\x07")


class EventArray(NamedTuple):
    """Events as a list."""

    width: int
    height: int
    events: EventChunk


class EventPacket(NamedTuple):
    """Events as the camera encoded them."""

    stamp_us: int
    width: int
    height: int
    time_base: int
    encoding: str
    data: NDArray[np.uint8]


class Image(NamedTuple):
    """A picture."""

    stamp_us: int
    width: int
    height: int
    encoding: str
    is_bigendian: bool
    step: int
    data: NDArray[np.uint8]


class CompressedImage(NamedTuple):
    """A picture as a file of its own."""

    stamp_us: int
    format: str
    data: NDArray[np.uint8]


class Cursor:
    """Reads one message, field after field."""

    def __init__(self, data: bytes, *, is_ros1: bool) -> None:
        """A cursor before the first field.

        Raises:
            RecordingError: The message is in another encoding than little-endian CDR.
        """
        self._data = data
        self._is_ros1 = is_ros1
        self._at = 0 if is_ros1 else 4
        if not is_ros1 and data[:2] not in CDR_LITTLE_ENDIAN:
            raise RecordingError(
                f"expected a message in little-endian CDR, got the encoding {data[:2].hex() or '-'}"
            )

    def number(self, kind: str) -> int:
        """A number of this kind, as `struct` names them: B, I, i or Q."""
        size = struct.calcsize(kind)
        if not self._is_ros1:
            self._at += -(self._at - 4) % size
        if self._at + size > len(self._data):
            raise RecordingError(f"expected more than the message's {len(self._data)} bytes")
        (value,) = struct.unpack_from(f"<{kind}", self._data, self._at)
        self._at += size
        return int(value)

    def array(self) -> NDArray[np.uint8]:
        """A list of bytes."""
        count = self.number("I")
        if self._at + count > len(self._data):
            raise RecordingError(
                f"expected {count} bytes at byte {self._at} of a message of {len(self._data)}"
            )
        part = np.frombuffer(self._data, np.uint8, count, self._at)
        self._at += count
        return part

    def text(self) -> str:
        """A string."""
        return self.array().tobytes().rstrip(b"\0").decode("utf-8", "replace")

    def stamp_us(self) -> int:
        """The time of a header, in µs since 1970."""
        if self._is_ros1:
            self.number("I")  # seq
        seconds, nanoseconds = self.number("I"), self.number("I")
        self.text()  # frame_id
        return seconds * 1_000_000 + nanoseconds // 1000

    def events(self) -> EventChunk:
        """A list of events."""
        count = self.number("I")
        rest = len(self._data) - self._at
        # In CDR the last event is not filled up to where a next one would begin.
        expected = ROS1_EVENT.itemsize * count
        if not self._is_ros1 and count:
            expected = CDR_EVENT_BYTES * (count - 1) + ROS1_EVENT.itemsize
        if not 0 <= rest - expected < 4:
            raise RecordingError(
                f"{count} events of x, y, ts and polarity take {expected} bytes, the message has "
                f"{rest} left; it is damaged, or its definition is another one"
            )
        if self._is_ros1:
            fields: Any = np.frombuffer(self._data, ROS1_EVENT, count, self._at)
            columns = [fields[name] for name in ("x", "y", "sec", "nsec", "polarity")]
        else:
            columns = self._cdr_events(count)
        x, y, seconds, nanoseconds, polarity = columns
        t_us = seconds.astype(np.int64) * 1_000_000 + nanoseconds // 1000
        return EventChunk(t_us, x, y, polarity != 0)

    def _cdr_events(self, count: int) -> list[NDArray[Any]]:
        # Times lie at multiples of 4 and the polarity behind them, so that every event takes 16
        # bytes; x and y of all but the first stand right before the time, behind one byte of
        # filling, 2 bytes lower than their event begins.
        padded = self._data[self._at :] + bytes(CDR_EVENT_BYTES)
        rows = np.frombuffer(padded, np.uint8, count * CDR_EVENT_BYTES).reshape(-1, CDR_EVENT_BYTES)
        words = np.ascontiguousarray(rows[:, 4:12]).view("<u4")
        before = np.frombuffer(bytes(2) + padded, np.uint8, count * CDR_EVENT_BYTES)
        places = before.reshape(-1, CDR_EVENT_BYTES)[:, :4].copy().view("<u2")
        if count:
            places[0] = np.frombuffer(padded, "<u2", 2)
        return [places[:, 0], places[:, 1], words[:, 0], words[:, 1], rows[:, 12]]


def event_array(data: bytes, *, is_ros1: bool) -> EventArray:
    """The message of a topic of dvs_msgs or prophesee_event_msgs."""
    cursor = Cursor(data, is_ros1=is_ros1)
    cursor.stamp_us()
    height, width = cursor.number("I"), cursor.number("I")
    return EventArray(width, height, cursor.events())


def event_packet(data: bytes, *, is_ros1: bool) -> EventPacket:
    """The message of a topic of event_camera_msgs or event_array_msgs."""
    cursor = Cursor(data, is_ros1=is_ros1)
    stamp_us = cursor.stamp_us()
    height, width = cursor.number("I"), cursor.number("I")
    cursor.number("Q")  # seq
    time_base, encoding = cursor.number("Q"), cursor.text()
    cursor.number("B")  # is_bigendian: no camera is
    return EventPacket(stamp_us, width, height, time_base, encoding, cursor.array())


def image(data: bytes, *, is_ros1: bool) -> Image:
    """A sensor_msgs/Image."""
    cursor = Cursor(data, is_ros1=is_ros1)
    stamp_us = cursor.stamp_us()
    height, width = cursor.number("I"), cursor.number("I")
    encoding, is_bigendian = cursor.text(), cursor.number("B") != 0
    step = cursor.number("I")
    return Image(stamp_us, width, height, encoding, is_bigendian, step, cursor.array())


def compressed_image(data: bytes, *, is_ros1: bool) -> CompressedImage:
    """A sensor_msgs/CompressedImage."""
    cursor = Cursor(data, is_ros1=is_ros1)
    return CompressedImage(cursor.stamp_us(), cursor.text(), cursor.array())
