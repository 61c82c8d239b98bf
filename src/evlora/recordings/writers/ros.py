"""ROS bags, `.bag` and `.mcap`, through rosbags, as `evlora.recordings.readers.ros` reads them.

Events become `dvs_msgs/EventArray` on /dvs/events, frames `sensor_msgs/Image` on /dvs/image_raw
with the end of their exposure as stamp; ROS has no place for its start.
"""

import struct
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings.events import EventStream
from evlora.recordings.readers.ros_messages import CDR_EVENT_BYTES, ROS1_EVENT
from evlora.recordings.recording import Recording

EVENTS_TOPIC, IMAGE_TOPIC = "/dvs/events", "/dvs/image_raw"
EVENTS_A_MESSAGE = 1 << 15
SECOND_US = 1_000_000
LATEST_US = (1 << 31) * SECOND_US
EVENT_DEFINITION = "uint16 x\nuint16 y\nbuiltin_interfaces/Time ts\nbool polarity\n"
ARRAY_DEFINITION = "std_msgs/Header header\nuint32 height\nuint32 width\ndvs_msgs/Event[] events\n"


def write(recording: Recording, path: Path) -> None:
    """Write events and frames.

    Raises:
        RecordingError: rosbags is not installed, the suffix is neither, or a time is before 1970
            or after 2038.

    Warns:
        RecordingWarning: The frames' exposures have a length, which is lost.
    """
    try:
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ImportError:
        raise RecordingError('writing ROS bags needs rosbags; pip install "evlora[ros]"') from None
    if path.suffix not in (".bag", ".mcap"):
        raise RecordingError(f"{path.name}: expected a bag's name to end in .bag or .mcap")
    _require_times(recording)
    is_ros1 = path.suffix == ".bag"
    store = get_typestore(Stores.ROS1_NOETIC if is_ros1 else Stores.ROS2_HUMBLE)
    store.register(
        {
            **get_types_from_msg(EVENT_DEFINITION, "dvs_msgs/msg/Event"),
            **get_types_from_msg(ARRAY_DEFINITION, "dvs_msgs/msg/EventArray"),
        }
    )
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        written = _written(recording, Path(folder) / "bag", store, is_ros1=is_ros1)
        written.replace(path)


def _written(recording: Recording, path: Path, store: Any, *, is_ros1: bool) -> Path:
    from rosbags import rosbag1, rosbag2

    if is_ros1:
        writer: Any = rosbag1.Writer(path)
    else:
        writer = rosbag2.Writer(path, version=9, storage_plugin=rosbag2.StoragePlugin.MCAP)
    with writer:
        if recording.events is not None:
            connection = writer.add_connection(
                EVENTS_TOPIC, "dvs_msgs/msg/EventArray", typestore=store
            )
            for start in range(0, max(1, len(recording.events)), EVENTS_A_MESSAGE):
                part = recording.events.part(slice(start, start + EVENTS_A_MESSAGE))
                last_us = part.last_us if len(part) else 0
                writer.write(connection, last_us * 1000, _event_message(part, is_ros1=is_ros1))
        if recording.frames is not None:
            connection = writer.add_connection(
                IMAGE_TOPIC, "sensor_msgs/msg/Image", typestore=store
            )
            assert recording.frames.end_us is not None
            for number, end_us in enumerate(recording.frames.end_us.tolist()):
                message = _image_message(recording.frames[number], end_us, is_ros1=is_ros1)
                writer.write(connection, end_us * 1000, message)
    return path if is_ros1 else next(path.glob("*.mcap"))


def _header(t_us: int, *, is_ros1: bool) -> bytes:
    seconds, rest_us = divmod(t_us, SECOND_US)
    if is_ros1:
        return struct.pack("<IIII", 0, seconds, 1000 * rest_us, 0)
    # Encoding, stamp, and the empty name with its closing zero, filled up to the next number.
    return b"\0\1\0\0" + struct.pack("<IIIB3x", seconds, 1000 * rest_us, 1, 0)


def _event_message(events: EventStream, *, is_ros1: bool) -> bytes:
    first_us = events.last_us if len(events) else 0
    head = _header(first_us, is_ros1=is_ros1)
    head += struct.pack("<III", events.height, events.width, len(events))
    seconds, rest_us = np.divmod(events.t_us, SECOND_US)
    if is_ros1:
        rows = np.zeros(len(events), ROS1_EVENT)
        rows["x"], rows["y"], rows["polarity"] = events.x, events.y, events.polarity
        rows["sec"], rows["nsec"] = seconds, 1000 * rest_us
        return head + rows.tobytes()
    return head + _cdr_events(events, seconds, 1000 * rest_us)


def _cdr_events(
    events: EventStream, seconds: NDArray[np.int64], nanoseconds: NDArray[np.int64]
) -> bytes:
    """The list in CDR: x and y of all but the first event stand 2 bytes lower than its own."""
    count = len(events)
    if not count:
        return b""
    content = np.zeros(count * CDR_EVENT_BYTES, np.uint8)
    rows = content.reshape(count, -1)
    rows[:, 4:8] = seconds.astype("<u4")[:, None].view(np.uint8)
    rows[:, 8:12] = nanoseconds.astype("<u4")[:, None].view(np.uint8)
    rows[:, 12] = events.polarity
    x = events.x.astype("<u2")[:, None].view(np.uint8)
    y = events.y.astype("<u2")[:, None].view(np.uint8)
    rows[:-1, 14:16], rows[1:, 0:2] = x[1:], y[1:]
    rows[0, 0:2], rows[0, 2:4] = x[0], y[0]
    return content[: (count - 1) * CDR_EVENT_BYTES + ROS1_EVENT.itemsize].tobytes()


def _image_message(image: NDArray[np.uint8], end_us: int, *, is_ros1: bool) -> bytes:
    height, width = image.shape[:2]
    content = _header(end_us, is_ros1=is_ros1) + struct.pack("<II", height, width)
    if is_ros1:
        content += struct.pack("<I4sBI", 4, b"rgb8", 0, 3 * width)
    else:
        content += struct.pack("<I5sB2xI", 5, b"rgb8", 0, 3 * width)
    return content + struct.pack("<I", image.size) + image.tobytes()


def _require_times(recording: Recording) -> None:
    frames = recording.frames
    times = [] if recording.events is None else [recording.events.t_us]
    if frames is not None:
        if frames.start_us is None or frames.end_us is None:
            raise RecordingError("a bag needs the times of its frames, these have none; write npz")
        times.append(frames.end_us)
        if (frames.start_us != frames.end_us).any():
            warnings.warn(
                "ROS keeps one time of a frame: the end of its exposure was written, npz and hdf5 "
                "keep its start as well",
                RecordingWarning,
                stacklevel=5,
            )
    for t_us in times:
        if len(t_us) and not (int(t_us.min()) >= 0 and int(t_us.max()) < LATEST_US):
            raise RecordingError(
                f"times of {int(t_us.min())} to {int(t_us.max())} µs do not fit ROS, which counts "
                "31 bits of seconds from 1970 on; write npz or hdf5"
            )
