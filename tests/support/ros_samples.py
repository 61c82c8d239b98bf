"""ROS bags written by rosbags, with its own serialization: three ways of events, and frames."""

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from recording_samples import HEIGHT, WIDTH, frames, stream
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from evlora.recordings import EventStream

DEFINITIONS = {
    "dvs_msgs/msg/Event": "uint16 x\nuint16 y\nbuiltin_interfaces/Time ts\nbool polarity\n",
    "dvs_msgs/msg/EventArray": (
        "std_msgs/Header header\nuint32 height\nuint32 width\ndvs_msgs/Event[] events\n"
    ),
    "event_camera_msgs/msg/EventPacket": (
        "std_msgs/Header header\nuint32 height\nuint32 width\nuint64 seq\nuint64 time_base\n"
        "string encoding\nbool is_bigendian\nuint8[] events\n"
    ),
}
DEFINITIONS |= {
    name.replace("dvs_msgs", "prophesee_event_msgs"): text.replace(
        "dvs_msgs", "prophesee_event_msgs"
    )
    for name, text in list(DEFINITIONS.items())[:2]
}
START_US = 1_700_000_000_000_000
"""The time of day of a bag."""
EVENTS_A_MESSAGE = 150
IMAGE_ENCODINGS = ("rgb8", "bgr8", "rgba8", "bgra8", "8UC3", "mono8", "8UC1")


class BagWriter:
    """Writes messages of any of the types into a bag of any of the three containers."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.is_ros1 = path.suffix == ".bag"
        self.path, self.folder = path, path.with_suffix(".folder")
        self.store = get_typestore(Stores.ROS1_NOETIC if self.is_ros1 else Stores.ROS2_HUMBLE)
        types: dict[str, Any] = {}
        for name, text in DEFINITIONS.items():
            types |= get_types_from_msg(text, name)
        self.store.register(types)
        shutil.rmtree(self.folder, ignore_errors=True)
        path.unlink(missing_ok=True)
        if self.is_ros1:
            self.writer: Any = Writer1(path)
            if options.get("compression"):
                self.writer.set_compression(options["compression"])
        else:
            is_mcap = path.suffix == ".mcap"
            plugin = StoragePlugin.MCAP if is_mcap else StoragePlugin.SQLITE3
            self.writer = Writer2(self.folder, version=9, storage_plugin=plugin)
            if options.get("compression"):
                self.writer.set_compression(*options["compression"])
        self.connections: dict[str, Any] = {}

    def __enter__(self) -> "BagWriter":
        self.writer.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()
        if not self.is_ros1:
            (written,) = (p for p in self.folder.iterdir() if p.suffix in (".db3", ".mcap"))
            shutil.copy(written, self.path)

    def header(self, t_us: int) -> Any:
        stamp = self.store.types["builtin_interfaces/msg/Time"](
            sec=t_us // 1_000_000, nanosec=t_us % 1_000_000 * 1000
        )
        header = self.store.types["std_msgs/msg/Header"]
        if self.is_ros1:
            return header(seq=0, stamp=stamp, frame_id="camera")
        return header(stamp=stamp, frame_id="camera")

    def write(self, topic: str, kind: str, t_us: int, **fields: Any) -> None:
        message = self.store.types[kind](header=self.header(t_us), **fields)
        self.write_message(topic, kind, t_us, message)

    def write_message(self, topic: str, kind: str, t_us: int, message: Any) -> None:
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(topic, kind, typestore=self.store)
        serialize = self.store.serialize_ros1 if self.is_ros1 else self.store.serialize_cdr
        self.writer.write(self.connections[topic], t_us * 1000, serialize(message, kind))

    def write_events(
        self,
        topic: str,
        events: EventStream,
        *,
        package: str = "dvs_msgs",
        start_us: int = START_US,
    ) -> None:
        """Event arrays of `EVENTS_A_MESSAGE` events."""
        make, time = (
            self.store.types[f"{package}/msg/Event"],
            self.store.types["builtin_interfaces/msg/Time"],
        )
        for start in range(0, len(events), EVENTS_A_MESSAGE):
            part = events.part(slice(start, start + EVENTS_A_MESSAGE))
            rows = zip(
                *(a.tolist() for a in (part.t_us, part.x, part.y, part.polarity)), strict=True
            )
            items = [
                make(
                    x=x,
                    y=y,
                    ts=time(
                        sec=(start_us + t) // 1_000_000, nanosec=(start_us + t) % 1_000_000 * 1000
                    ),
                    polarity=p,
                )
                for t, x, y, p in rows
            ]
            self.write(
                topic,
                f"{package}/msg/EventArray",
                start_us + part.last_us,
                height=events.height,
                width=events.width,
                events=items,
            )

    def write_packet(
        self, topic: str, t_us: int, encoding: str, data: bytes, *, time_base: int = 0
    ) -> None:
        self.write(
            topic,
            "event_camera_msgs/msg/EventPacket",
            t_us,
            height=HEIGHT,
            width=WIDTH,
            seq=0,
            time_base=time_base,
            encoding=encoding,
            is_bigendian=False,
            events=np.frombuffer(data, np.uint8),
        )

    def write_images(
        self,
        topic: str = "/dvs/image_raw",
        *,
        encoding: str = "rgb8",
        padding: int = 0,
        start_us: int = START_US,
    ) -> None:
        sequence = frames()
        for number, end_us in enumerate(sequence.end_us.tolist()):
            rgb = sequence[number]
            pixels = encoded(rgb, encoding)
            pixels = np.pad(pixels.reshape(HEIGHT, -1), ((0, 0), (0, padding)))
            self.write_image(topic, pixels, encoding=encoding, t_us=start_us + end_us)

    def write_image(
        self, topic: str, pixels: Any, *, encoding: str, is_bigendian: int = 0, t_us: int = 0
    ) -> None:
        """One message of rows of pixels as they are, shape (HEIGHT, …)."""
        rows = np.frombuffer(pixels.tobytes(), np.uint8).reshape(HEIGHT, -1)
        self.write(
            topic,
            "sensor_msgs/msg/Image",
            t_us,
            height=HEIGHT,
            width=WIDTH,
            encoding=encoding,
            is_bigendian=is_bigendian,
            step=rows.shape[1],
            data=rows.reshape(-1),
        )

    def write_compressed(self, topic: str = "/dvs/image_raw/compressed") -> None:
        sequence = frames()
        for number, end_us in enumerate(sequence.end_us.tolist()):
            buffer = io.BytesIO()
            Image.fromarray(sequence[number]).save(buffer, "PNG")
            self.write(
                topic,
                "sensor_msgs/msg/CompressedImage",
                START_US + end_us,
                format="png",
                data=np.frombuffer(buffer.getvalue(), np.uint8),
            )


def encoded(rgb: np.ndarray, encoding: str) -> np.ndarray:
    """A picture's bytes in one of `IMAGE_ENCODINGS`, shape (H, W, channels)."""
    if encoding in ("mono8", "8UC1"):
        return rgb[..., :1].copy()
    alpha = np.full((*rgb.shape[:2], 1), 255, np.uint8)
    colours = rgb if encoding.startswith("rgb") else rgb[..., ::-1]
    return np.concatenate([colours, alpha], axis=-1) if "a8" in encoding else colours.copy()


def bag(suffix: str):
    def write(path: Path) -> Path:
        with BagWriter(path.with_suffix(suffix)) as writer:
            writer.write_events("/dvs/events", stream(), start_us=0)
            writer.write_images(start_us=0)
        return writer.path

    return write
