"""AEDAT 4, as `evlora.recordings.readers.aedat4` describes it: events and frames, not compressed.

Every packet is a flatbuffer of one table (https://flatbuffers.dev/internals), laid out here field
by field: the packets' schemas have one vector and a few numbers each.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from evlora.errors import RecordingError
from evlora.recordings.events import EventStream
from evlora.recordings.readers.aedat4 import MAGIC
from evlora.recordings.recording import Recording

EVENT_STREAM, FRAME_STREAM = 0, 1
EVENTS_A_PACKET = 1 << 13
EVENT = np.dtype(
    {
        "names": ["t", "x", "y", "polarity"],
        "formats": ["<i8", "<i2", "<i2", "u1"],
        "offsets": [0, 8, 10, 12],
        "itemsize": 16,
    }
)
LARGEST_SENSOR_PX = 1 << 15
BGR = 16
"""The frame format of three bytes a pixel, as OpenCV numbers it."""
PREFIX_BYTES = 4
SIZES = {"q": 8, "i": 4, "h": 2, "b": 1, "vector": 4}


def write(recording: Recording, path: Path) -> None:
    """Write events and frames, in the order of their times.

    Raises:
        RecordingError: The sensor is too large, or frames have no times.
    """
    events, frames = recording.events, recording.frames
    if frames is not None and frames.start_us is None:
        raise RecordingError("aedat4 needs the times of its frames, these have none; write npz")
    sizes = {
        number: (what.width, what.height)
        for number, what in ((EVENT_STREAM, events), (FRAME_STREAM, frames))
        if what is not None
    }
    if max(max(size) for size in sizes.values()) >= LARGEST_SENSOR_PX:
        raise RecordingError(f"sizes of {list(sizes.values())} are too large for aedat4")
    with path.open("wb") as file:
        file.write(MAGIC)
        file.write(_header(sizes))
        done = 0
        for number in range(0 if frames is None else len(frames)):
            assert frames is not None
            assert frames.start_us is not None
            assert frames.end_us is not None
            end_us = int(frames.end_us[number])
            if events is not None:
                stop = int(np.searchsorted(events.t_us, end_us))
                _write_events(file, events.part(slice(done, stop)))
                done = stop
            _write_frame(file, frames[number], int(frames.start_us[number]), end_us)
        if events is not None:
            _write_events(file, events.part(slice(done, None)))


def _write_events(file: BinaryIO, events: EventStream) -> None:
    for start in range(0, len(events), EVENTS_A_PACKET):
        part = events.part(slice(start, start + EVENTS_A_PACKET))
        rows = np.zeros(len(part), EVENT)
        rows["t"], rows["x"], rows["y"] = part.t_us, part.x, part.y
        rows["polarity"] = part.polarity
        table = _table(b"EVTS", [("vector", (len(part), rows.tobytes(), 8))])
        file.write(struct.pack("<ii", EVENT_STREAM, len(table)) + table)


def _write_frame(file: BinaryIO, image: Any, start_us: int, end_us: int) -> None:
    height, width = image.shape[:2]
    pixels = np.ascontiguousarray(image[..., ::-1]).tobytes()
    table = _table(
        b"FRME",
        [
            # Time, begin and end of the frame, begin and end of its exposure.
            *(("q", value) for value in (start_us, start_us, end_us, start_us, end_us)),
            ("b", BGR),
            *(("h", value) for value in (width, height, 0, 0)),
            ("vector", (len(pixels), pixels, 4)),
        ],
    )
    file.write(struct.pack("<ii", FRAME_STREAM, len(table)) + table)


def _header(sizes: dict[int, tuple[int, int]]) -> bytes:
    kinds = {EVENT_STREAM: ("events", "EVTS"), FRAME_STREAM: ("frames", "FRME")}
    nodes = "".join(
        f'<node name="{number}" path="/mainloop/Recorder/outInfo/{number}/">'
        '<attr key="compression" type="string">NONE</attr>'
        f'<attr key="originalOutputName" type="string">{kinds[number][0]}</attr>'
        f'<attr key="typeIdentifier" type="string">{kinds[number][1]}</attr>'
        f'<node name="info" path="/mainloop/Recorder/outInfo/{number}/info/">'
        f'<attr key="sizeX" type="int">{width}</attr>'
        f'<attr key="sizeY" type="int">{height}</attr>'
        f'<attr key="source" type="string">evlora</attr></node></node>'
        for number, (width, height) in sizes.items()
    )
    text = (
        '<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">'
        f"{nodes}</node></dv>"
    ).encode()
    # No compression; no table of packets behind the data; the streams.
    content = (len(text), text + b"\0", 4)
    return _table(b"IOHE", [("i", 0), ("q", -1), ("vector", content)])


def _table(identifier: bytes, fields: list[tuple[str, Any]]) -> bytes:
    """A flatbuffer of one table, its length before it.

    Scalars are laid down largest first, as their alignment asks; a vector follows the table.

    Args:
        identifier: Four bytes that name the kind of table.
        fields: Kind and value: a scalar by its letter in `struct`, or a vector with its number of
            elements, its bytes and their alignment.
    """
    places: dict[int, int] = {}
    place = 4
    order = sorted(range(len(fields)), key=lambda number: -SIZES[fields[number][0]])
    for number in order:
        size = SIZES[fields[number][0]]
        place += -place % size
        places[number] = place
        place += size
    table = bytearray(place + -place % 8)
    slots = struct.pack("<HH", 4 + 2 * len(fields), len(table))
    slots += b"".join(struct.pack("<H", places[number]) for number in range(len(fields)))
    slots_at = 8
    # Alignment counts from the length before the buffer, whose 4 bytes are PREFIX_BYTES.
    table_at = slots_at + len(slots)
    table_at += -(table_at + PREFIX_BYTES) % 8
    struct.pack_into("<i", table, 0, table_at - slots_at)
    tail = b""
    for number, (kind, value) in enumerate(fields):
        at = places[number]
        if kind != "vector":
            struct.pack_into(f"<{kind}", table, at, value)
            continue
        count, content, alignment = value
        start = table_at + len(table) + len(tail)
        padding = -(start + 4 + PREFIX_BYTES) % alignment
        struct.pack_into("<I", table, at, start + padding - table_at - at)
        tail += bytes(padding) + struct.pack("<I", count) + content
    body = struct.pack("<I", table_at) + identifier + slots
    body += bytes(table_at - len(body)) + bytes(table) + tail
    return struct.pack("<I", len(body)) + body
