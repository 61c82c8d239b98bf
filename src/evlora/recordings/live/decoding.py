"""Events and frames out of bytes that still come: AEDAT 4, and Prophesee's EVT 2.0 and 3.0.

What iniVation's software sends over a socket is an AEDAT 4 file without its first line: the
header, then the packets as they are made (seen with dv-processing 2.0.4 and its
`NetworkWriter`). So the reader of those files serves both.
"""

import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.events import EventStream
from evlora.recordings.frames import ImageArray
from evlora.recordings.live.byte_sources import Buffered
from evlora.recordings.readers import aedat4, evt2, evt3
from evlora.recordings.readers.collected_frames import CollectedFrames
from evlora.recordings.readers.decoding import EventChunk, Findings, sensor_size
from evlora.recordings.readers.prophesee_header import LONGEST_HEADER_BYTES, header_in

HEADER_MARK = b"IOHE"
"""Of the header's flatbuffer, behind its length and the place of its root."""
LONGEST_PACKET_BYTES = 1 << 28
"""A longer packet is damage: 16 million events."""
BATCH_BYTES = 1 << 20
"""Packets that are there already are decoded together up to this size."""
WORDS = {"evt2": ("<u4", evt2.decoded), "evt3": ("<u2", evt3.decoded)}
"""Encoding → type of its words, and their decoder."""


class LiveFrame(NamedTuple):
    """A frame as it came."""

    image: ImageArray
    """uint8 RGB, shape (H, W, 3)."""
    start_us: int
    end_us: int


class Piece(NamedTuple):
    """What came together: events, or a frame."""

    events: EventStream | None = None
    frame: LiveFrame | None = None


@dataclass(slots=True)
class Decoded:
    """A stream whose header was read."""

    format: str
    size: tuple[int, int] | None
    """Width and height of the sensor of its events; None where it has none."""
    has_frames: bool
    pieces: Iterator[Piece]
    findings: Findings


def decoded(
    source: Buffered, name: str, *, format: str | None, width: int | None, height: int | None
) -> Decoded:
    """Read a stream's header, and decode what follows as it comes.

    Args:
        source: Its bytes.
        name: For messages.
        format: aedat4, evt2 or evt3, where there is no header.
        width: Columns of the sensor, where the stream does not state them.
        height: Rows of the sensor.

    Raises:
        RecordingError: It is none of the formats, its header is damaged, or nobody states the
            sensor.
    """
    start = source.peek(len(aedat4.MAGIC))
    is_aedat4 = start == aedat4.MAGIC or start[8:12] == HEADER_MARK
    found = "aedat4" if is_aedat4 else None
    header = None
    if not is_aedat4:
        header = header_in(_text_before_words(source)) if start[:1] == b"%" else None
        found = header.encoding if header is not None else None
    found = found or format
    if not start:
        raise RecordingError(f"{name}: expected events, it ended before the first byte")
    if format is not None and found != format:
        raise RecordingError(f"{name}: expected {format} by --format, got {found}")
    if found == "aedat4":
        return _aedat4(source, name, width=width, height=height)
    if found not in WORDS:
        raise RecordingError(
            f"{name}: expected aedat4, evt2 or evt3, got "
            f"{found or f'bytes that begin with {start[:12]!r}'}; a stream without a header needs "
            "--format, --width and --height"
        )
    findings = Findings(Path(name))
    declared = header.size if header is not None else None
    size = sensor_size(Path(name), declared, width=width, height=height)
    dtype, decode = WORDS[found]
    base_us = header.time_base_us if header is not None else 0
    if header is not None:
        source.exactly(header.data_byte)
    chunks = decode(_blocks(source, np.dtype(dtype)), findings, base_us)
    return Decoded(found, size, has_frames=False, pieces=_events(chunks, size), findings=findings)


def _text_before_words(source: Buffered) -> bytes:
    """As much as the header needs: waiting for more might wait for events that are far off."""
    count = 1 << 10
    while True:
        head = source.peek(count)
        behind = head[header_in(head).data_byte :]
        # Complete where something else than the beginning of a header line is behind it.
        is_complete = bool(behind) and (not behind.startswith(b"%") or b"\n" in behind)
        if is_complete or len(head) < count or count >= LONGEST_HEADER_BYTES:
            return head
        count *= 2


def _blocks(source: Buffered, dtype: np.dtype[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    rest = b""
    while data := source.some():
        data = rest + data
        whole = len(data) - len(data) % dtype.itemsize
        rest = data[whole:]
        if whole:
            yield source.position - len(data), np.frombuffer(data[:whole], dtype)


def _events(chunks: Iterator[EventChunk], size: tuple[int, int]) -> Iterator[Piece]:
    for chunk in chunks:
        if len(chunk.t_us):
            yield Piece(events=_stream(chunk, size))


def _stream(chunk: EventChunk, size: tuple[int, int]) -> EventStream:
    """The chunk in order of time, without what lies outside the sensor."""
    is_inside = (chunk.x < size[0]) & (chunk.y < size[1])
    if not is_inside.all():
        chunk = EventChunk(*(values[is_inside] for values in chunk))
    return EventStream.from_arrays(*chunk, width=size[0], height=size[1], sort=True)


def _aedat4(source: Buffered, name: str, *, width: int | None, height: int | None) -> Decoded:
    if source.peek(len(aedat4.MAGIC)) == aedat4.MAGIC:
        source.exactly(len(aedat4.MAGIC))
    try:
        (length,) = struct.unpack("<I", source.exactly(4) or b"")
        if length > LONGEST_HEADER_BYTES:
            raise ValueError(f"it states {length} bytes")
        header = aedat4.MAGIC + struct.pack("<I", length) + (source.exactly(length) or b"")
        _, _, text = aedat4.header_in(header)
        root = ElementTree.fromstring(text)  # noqa: S314  expat refuses entity bombs
    except (struct.error, UnicodeDecodeError, ValueError, ElementTree.ParseError) as error:
        raise RecordingError(f"{name}: the header is damaged: {error}") from error
    streams = aedat4.streams_of(root)
    first: dict[str, int] = {}
    for number, attributes in streams.items():
        first.setdefault(attributes["kind"], number)
    if not {"EVTS", "FRME"} & set(first):
        raise RecordingError(f"{name}: expected a stream of events or frames, got {streams}")
    size = None
    if "EVTS" in first:
        declared = streams[first["EVTS"]]["size"]
        size = sensor_size(Path(name), declared, width=width, height=height)
    findings = Findings(Path(name))
    batches = _batches(source, set(streams), findings)
    return Decoded(
        "aedat4",
        size,
        has_frames="FRME" in first,
        pieces=_of_packets(batches, header, first, size, findings),
        findings=findings,
    )


def _batches(source: Buffered, streams: set[int], findings: Findings) -> Iterator[bytes]:
    """Whole packets: one as soon as it is there, and those behind it that are there by then."""
    held: list[bytes] = []
    while True:
        head = source.exactly(8)
        if head is None:
            break
        stream, size = struct.unpack("<ii", head)
        if stream not in streams or not 0 <= size <= LONGEST_PACKET_BYTES:
            if not source.has_end:
                raise ConnectionError("a packet is damaged")
            break  # the table of the packets, or damage
        body = source.exactly(size)
        if body is None:
            findings.warn("its last packet is cut off")
            break
        held += [head, body]
        if not _has_whole_packet(source) or sum(map(len, held)) >= BATCH_BYTES:
            yield b"".join(held)
            held = []
    if held:
        yield b"".join(held)


def _has_whole_packet(source: Buffered) -> bool:
    head = source.held(8)
    return len(head) == 8 and source.waiting >= 8 + struct.unpack("<ii", head)[1]


def _of_packets(
    batches: Iterator[bytes],
    header: bytes,
    first: dict[str, int],
    size: tuple[int, int] | None,
    findings: Findings,
) -> Iterator[Piece]:
    # The aedat package reads files alone: each batch is one, in the same place, header included.
    with tempfile.TemporaryDirectory(prefix="evlora-live-") as folder:
        path = Path(folder) / "batch.aedat4"
        for batch in batches:
            path.write_bytes(header + batch)
            for packet in aedat4.packets_of(path):
                if "events" in packet and packet["stream_id"] == first.get("EVTS"):
                    assert size is not None  # of every stream of events
                    chunk = packet["events"]
                    fields = (chunk["t"].astype(np.int64), chunk["x"], chunk["y"], chunk["on"])
                    if len(chunk):
                        yield Piece(events=_stream(EventChunk(*fields), size))
                elif "frame" in packet and packet["stream_id"] == first.get("FRME"):
                    yield Piece(frame=_frame(packet["frame"], findings))


def _frame(packet: Any, findings: Findings) -> LiveFrame:
    start_us, end_us = aedat4.exposure_of(packet) or (int(packet["t"]),) * 2
    frames = CollectedFrames()
    frames.add(np.asarray(packet["pixels"]), start_us, end_us, where="a frame")
    sequence = frames.sequence(findings)
    if sequence is None:
        raise RecordingError(f"{findings.path}: {frames.refused[0]}")
    return LiveFrame(sequence[0], start_us, end_us)
