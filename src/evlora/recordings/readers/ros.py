"""ROS bags (`.bag`, `.db3`, `.mcap`, and folders of ROS 2): events, triggers and frames by topic.

Events come from a topic of `dvs_msgs/EventArray`, `prophesee_event_msgs/EventArray` or
`event_camera_msgs/EventPacket`, frames from one of `sensor_msgs/Image` or `CompressedImage`. Of
several, the first event topic by name is read, and the picture topic that shares most of its name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from evlora.errors import RecordingError
from evlora.messages import listed
from evlora.recordings.frames import FrameSequence
from evlora.recordings.readers.collected_frames import CollectedFrames
from evlora.recordings.readers.decoding import (
    EventChunk,
    EventFile,
    Findings,
    collect,
    sensor_size,
)
from evlora.recordings.readers.ros_bag import Bag, Message, Topic
from evlora.recordings.readers.ros_images import pixels_of, unpacked
from evlora.recordings.readers.ros_messages import (
    EventPacket,
    compressed_image,
    event_array,
    event_packet,
    image,
)
from evlora.recordings.readers.ros_packets import SENSOR_CLOCK, PacketDecoder
from evlora.recordings.recording import Recording

ARRAY_TYPES = ("dvs_msgs/EventArray", "prophesee_event_msgs/EventArray")
PACKET_TYPES = ("event_camera_msgs/EventPacket", "event_array_msgs/EventArray")
IMAGE_TYPES = ("sensor_msgs/Image", "sensor_msgs/CompressedImage")
LARGEST_FRAMES_BYTES = 1 << 32
TOPICS_SHOWN = 30


def read(
    path: Path, *, width: int | None, height: int | None, topics: Sequence[str] | None = None
) -> Recording:
    """The events, triggers and frames of the bag; see `open_events`."""
    bag = _described(path, topics)
    findings = _findings(bag)
    frames = CollectedFrames()
    recording = Recording(None, None, bag.format, path)
    if bag.events is not None:
        recording = collect(_event_file(bag, findings, None, width=width, height=height))
    sequence = _sequence(bag, findings, frames, _Reached())
    if sequence is None and recording.events is None:
        raise RecordingError(
            f"{path}: expected frames on {bag.images and bag.images.name}, none can be read"
            + "".join(f"; {warning}" for warning in findings.warnings)
        )
    return replace(
        recording,
        frames=sequence,
        warnings=tuple(findings.warnings),
        remarks=tuple(findings.remarks),
    )


def open_events(
    path: Path,
    *,
    width: int | None,
    height: int | None,
    topics: Sequence[str] | None = None,
    frames: CollectedFrames | None = None,
) -> EventFile:
    """The events of the bag, opened.

    Args:
        path: A bag, or the folder of a ROS 2 bag.
        width: Columns of the sensor, where the messages do not state it.
        height: Rows of the sensor, as for `width`.
        topics: The topics to read: one of events, one of pictures, or both; None finds them.
        frames: Where its frames are collected; None skips them.

    Raises:
        RecordingError: No bag, no topic of a known type, or a topic that the bag does not have.
    """
    bag = _described(path, topics)
    return _event_file(bag, _findings(bag), frames, width=width, height=height)


@dataclass(frozen=True, slots=True)
class _Described:
    """A bag, and what of it is read."""

    path: Path
    format: str
    events: Topic | None
    triggers: tuple[Topic, ...]
    images: Topic | None
    size: tuple[int, int] | None
    base_us: int
    """What to add to the events' times, so that they fit the pictures'."""
    warnings: tuple[str, ...]
    remarks: tuple[str, ...]


def _described(path: Path, names: Sequence[str] | None) -> _Described:
    with Bag(path) as bag:
        known = [
            topic
            for topic in bag.topics
            if topic.type in (*ARRAY_TYPES, *PACKET_TYPES, *IMAGE_TYPES) and topic.messages
        ]
        if names is not None:
            known = [_named(bag, known, name) for name in names]
        first = {
            topic: packet
            for topic in known
            if topic.type in PACKET_TYPES and (packet := _first_packet(bag, topic)) is not None
        }
        triggers = [topic for topic, packet in first.items() if packet.encoding == "trigger"]
        of_events = [t for t in known if t.type not in IMAGE_TYPES and t not in triggers]
        pictures = [topic for topic in known if topic.type in IMAGE_TYPES]
        if not of_events and not pictures:
            raise RecordingError(
                f"{path}: expected a topic of {', '.join((*ARRAY_TYPES, *PACKET_TYPES))} or "
                f"{', '.join(IMAGE_TYPES)} that holds messages, got {_listed_topics(bag.topics)}"
            )
        if names is not None and (len(of_events) > 1 or len(pictures) > 1):
            raise RecordingError(
                f"{path}: topics={list(names)} names several of one kind; a recording has one "
                "topic of events and one of pictures"
            )
        events = of_events[0] if of_events else None
        images = _nearest(pictures, events)
        size, base_us = None, 0
        remarks: list[str] = []
        if events is not None:
            packet = first.get(events)
            size = _size_of_array(bag, events) if packet is None else (packet.width, packet.height)
            if packet is not None and packet.encoding in SENSOR_CLOCK and images is not None:
                base_us = packet.stamp_us - _first_time(packet, path)
                remarks.append(
                    f"the events' times are the sensor's own clock; {base_us} µs were added, so "
                    "that the first packet begins at its stamp, as the pictures' times do"
                )
        if bag.parts > 1:
            remarks.append(
                f"one of the {bag.parts} files of a bag; {path.parent}, its folder, is the whole"
            )
        is_ros1 = bag.is_ros1
    return _Described(
        path,
        "ros1" if is_ros1 else "ros2",
        events,
        _of_camera(triggers, events),
        images,
        size if size and min(size) else None,
        base_us,
        _others(of_events, events),
        (*remarks, *_others(pictures, images)),
    )


def _named(bag: Bag, known: list[Topic], name: str) -> Topic:
    for topic in known:
        if topic.name in (name, f"/{name}"):
            return topic
    raise RecordingError(
        f"{bag.path}: expected a topic {name} that holds events or pictures; there are: "
        f"{_listed_topics(bag.topics)}"
    )


def _listed_topics(topics: list[Topic]) -> str:
    texts = [f"{topic.name} ({topic.type}, {topic.messages} messages)" for topic in topics]
    return listed(texts, at_most=TOPICS_SHOWN, none="no topic")


def _shared(topic: Topic, events: Topic | None) -> int:
    """How many parts of its name a topic shares with the events' topic, from the first on."""
    if events is None:
        return 0
    parts = zip(topic.name.split("/"), events.name.split("/"), strict=False)
    return next((n for n, (a, b) in enumerate(parts) if a != b), len(events.name))


def _of_camera(triggers: list[Topic], events: Topic | None) -> tuple[Topic, ...]:
    """The trigger topics whose names share most with that of the events."""
    most = max((_shared(topic, events) for topic in triggers), default=0)
    return tuple(topic for topic in triggers if _shared(topic, events) == most)


def _nearest(pictures: list[Topic], events: Topic | None) -> Topic | None:
    """The picture topic that shares most parts of its name with the events' topic."""
    # Pictures drawn from events are no frames; raw ones are preferred to their compressed twins.
    return min(
        pictures,
        key=lambda topic: (
            "render" in topic.name,
            -_shared(topic, events),
            topic.type != IMAGE_TYPES[0],
            topic.name,
        ),
        default=None,
    )


def _others(topics: list[Topic], chosen: Topic | None) -> tuple[str, ...]:
    others = [topic.name for topic in topics if topic != chosen]
    if not others or chosen is None:
        return ()
    names = ", ".join(others)
    return (f"{chosen.name} was read; of its kind there are {names} too, which topics= names",)


def _first_packet(bag: Bag, topic: Topic) -> EventPacket | None:
    message = next(bag.messages([topic.name]), None)
    return None if message is None else event_packet(message.data, is_ros1=bag.is_ros1)


def _size_of_array(bag: Bag, topic: Topic) -> tuple[int, int] | None:
    message = next(bag.messages([topic.name]), None)
    if message is None:
        return None
    array = event_array(message.data, is_ros1=bag.is_ros1)
    return array.width, array.height


def _first_time(packet: EventPacket, path: Path) -> int:
    events = PacketDecoder(Findings(path)).decode(packet)
    return int(events.t_us[0]) if len(events.t_us) else 0


@dataclass(slots=True)
class _Reached:
    """How far the events of a bag were read."""

    time_ns: int | None = None
    """When the last message was written; None where that was the bag's last one."""


def _findings(bag: _Described) -> Findings:
    findings = Findings(bag.path)
    for remark in bag.remarks:
        findings.remark(remark)
    return findings


def _event_file(
    bag: _Described,
    findings: Findings,
    frames: CollectedFrames | None,
    *,
    width: int | None,
    height: int | None,
) -> EventFile:
    if bag.events is None:
        raise RecordingError(f"{bag.path}: expected a topic of events, the bag holds only pictures")
    size = sensor_size(bag.path, bag.size, width=width, height=height)
    reached = _Reached()
    sequence = None if frames is None else partial(_sequence, bag, findings, frames, reached)
    chunks = _decoded(bag, findings, reached)
    return EventFile(bag.format, *size, chunks, findings, frames=sequence)


def _decoded(described: _Described, findings: Findings, reached: _Reached) -> Iterator[EventChunk]:
    for warning in described.warnings:
        findings.warn(warning)
    types = {t.name: t.type for t in (described.events, *described.triggers) if t}
    packets = PacketDecoder(findings, described.base_us)
    events = 0
    with Bag(described.path) as bag:
        count = sum(topic.messages for topic in bag.topics if topic.name in types)
        try:
            for number, message in enumerate(bag.messages(types), 1):
                kind = types[message.topic]
                chunk = _events(message, kind, packets, is_ros1=bag.is_ros1)
                events += len(chunk.t_us)
                if len(chunk.t_us):
                    yield chunk
                if findings.ends_at(number / count):
                    reached.time_ns = message.time_ns
                    break
        except RecordingError as error:
            if not events:
                raise
            findings.warn(f"{error}; the {events} events before it were read")
    packets.report()


def _events(message: Message, kind: str, packets: PacketDecoder, *, is_ros1: bool) -> EventChunk:
    try:
        if kind in ARRAY_TYPES:
            return event_array(message.data, is_ros1=is_ros1).events
        return packets.decode(event_packet(message.data, is_ros1=is_ros1))
    except RecordingError as error:
        raise RecordingError(f"{message.where}: {error}") from error


def _sequence(
    described: _Described, findings: Findings, frames: CollectedFrames, reached: _Reached
) -> FrameSequence | None:
    """The frames up to where the events were read, on their own: a damaged one costs no event."""
    if described.images is None:
        return None
    with Bag(described.path) as bag:
        try:
            for message in bag.messages([described.images.name]):
                if reached.time_ns is not None and message.time_ns > reached.time_ns:
                    break
                _keep_frame(message, described.images.type, frames, is_ros1=bag.is_ros1)
        except RecordingError as error:
            findings.warn(f"{error}; the {len(frames.end_us)} frames before it were read")
    return frames.sequence(findings)


def _keep_frame(message: Message, kind: str, frames: CollectedFrames, *, is_ros1: bool) -> None:
    try:
        if kind == IMAGE_TYPES[0]:
            raw = image(message.data, is_ros1=is_ros1)
            pixels, stamp_us = pixels_of(raw), raw.stamp_us
        else:
            packed = compressed_image(message.data, is_ros1=is_ros1)
            pixels, stamp_us = unpacked(packed), packed.stamp_us
    except RecordingError as error:
        frames.refuse(message.where, str(error))
        return
    held = len(frames.images) * (frames.images[0].nbytes if frames.images else 0)
    if held + pixels.nbytes > LARGEST_FRAMES_BYTES:
        frames.refuse(message.where, f"the frames take more than {LARGEST_FRAMES_BYTES >> 20} MB")
        return
    frames.add(pixels, stamp_us, stamp_us, where=message.where)
