"""AEDAT 4 (`.aedat4`): events, frames and triggers as iniVation's DV software writes them.

A line `#!AER-DAT4.0`, a header that is a flatbuffer with an XML description of the streams, then
packets of 4 bytes stream, 4 bytes size and a compressed flatbuffer, at the end a table of the
packets (https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-4.0.html).

The packets are decoded by the `aedat` package. It ends the process when the header's text is
damaged, so header and framing are checked here before it sees the file; and it is asked for
packet after packet, so that everything before a damage is kept.
"""

import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.collected_frames import CollectedFrames
from evlora.recordings.readers.decoding import (
    EventChunk,
    EventFile,
    Findings,
    collect,
    sensor_size,
)
from evlora.recordings.recording import Recording
from evlora.recordings.triggers import FALLING, PULSE, RISING

MAGIC = b"#!AER-DAT4.0\r\n"
EDGES_OF_SOURCES = np.array([RISING, FALLING, PULSE], np.int8)
"""Triggers of sources 1 to 3 come from the camera's input; the others are its own marks."""


def read(path: Path, *, width: int | None, height: int | None) -> Recording:
    """The events and the frames of the file.

    Args:
        path: The file.
        width: Columns of the sensor; the file states it, so this may only agree.
        height: Rows of the sensor, as for `width`.

    Raises:
        RecordingError: The header is damaged, or there is neither an event nor a frame stream.
    """
    frames = CollectedFrames()
    layout = _checked_layout(path)
    findings = Findings(path)
    recording = Recording(None, None, "aedat4", path)
    if layout.event_stream is None:
        for _ in _decoded(path, layout, findings, frames):
            pass  # decoding fills `frames`
    else:
        recording = collect(_event_file(path, layout, findings, frames, width=width, height=height))
    sequence = frames.sequence(findings)
    if sequence is None and recording.events is None:
        raise RecordingError(
            f"{path}: expected frames, none can be read"
            + "".join(f"; {w}" for w in findings.warnings)
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
    frames: CollectedFrames | None = None,
) -> EventFile:
    """The events of the file, opened; its frames are collected where `frames` is given.

    Raises:
        RecordingError: The header is damaged, or no stream holds events.
    """
    layout = _checked_layout(path)
    return _event_file(path, layout, Findings(path), frames, width=width, height=height)


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the header states, and where the packets lie."""

    event_stream: int | None
    frame_stream: int | None
    size: tuple[int, int] | None
    packet_bytes: list[int]
    """Where each whole packet begins."""
    cut_at: int | None
    """Where a packet begins that the file's end cuts off."""
    trigger_streams: list[int]
    others: list[str]
    """Further event or frame streams, which are not read: number and name."""


def _event_file(
    path: Path,
    layout: _Layout,
    findings: Findings,
    frames: CollectedFrames | None,
    *,
    width: int | None,
    height: int | None,
) -> EventFile:
    if layout.event_stream is None:
        raise RecordingError(f"{path}: expected events, the file holds only frames")
    width, height = sensor_size(path, layout.size, width=width, height=height)
    chunks = _decoded(path, layout, findings, frames)
    sequence = None if frames is None else partial(frames.sequence, findings)
    return EventFile("aedat4", width, height, chunks, findings, frames=sequence)


def _decoded(
    path: Path, layout: _Layout, findings: Findings, frames: CollectedFrames | None
) -> Iterator[EventChunk]:
    if layout.others:
        findings.warn(
            f"the streams {', '.join(layout.others)} were skipped; the first of events is read, "
            "and frames and triggers of the same camera"
        )
    events = untimed = 0
    decoder = _decoder(path)
    for number, at in enumerate(layout.packet_bytes):
        try:
            packet = _next_packet(decoder)
        except RecordingError as error:
            findings.warn(
                f"packet {number} at byte {at} is damaged ({error}); "
                f"the {events} events before it were read"
            )
            return
        if frames is not None and "frame" in packet:
            if packet["stream_id"] == layout.frame_stream:
                exposure = exposure_of(packet["frame"])
                untimed += exposure is None
                start_us, end_us = exposure or (int(packet["frame"]["t"]),) * 2
                pixels = np.asarray(packet["frame"]["pixels"])
                frames.add(pixels, start_us, end_us, where=f"packet {number}, byte {at}")
        elif "events" in packet and packet["stream_id"] == layout.event_stream:
            chunk = packet["events"]
            events += len(chunk)
            yield EventChunk(chunk["t"].astype(np.int64), chunk["x"], chunk["y"], chunk["on"])
        elif "triggers" in packet and packet["stream_id"] in layout.trigger_streams:
            _keep_triggers(packet["triggers"], findings)
        if findings.ends_at((number + 1) / len(layout.packet_bytes)):
            break
    if untimed:
        findings.remark(
            f"{untimed} frames state no exposure, as dv-processing writes them; the timestamp of "
            "each was taken"
        )
    if layout.cut_at is not None and not findings.is_enough:
        findings.warn(
            f"packet {len(layout.packet_bytes)} at byte {layout.cut_at} is cut off or damaged; "
            f"the {events} events before it were read"
        )


def _keep_triggers(triggers: NDArray[Any], findings: Findings) -> None:
    sources = triggers["source"].astype(np.int32)
    is_input = (sources >= 1) & (sources <= len(EDGES_OF_SOURCES))
    edges = EDGES_OF_SOURCES[sources[is_input] - 1]
    t_us = triggers["t"][is_input].astype(np.int64)
    findings.add_triggers(t_us, np.zeros(len(edges), np.int32), edges)


def exposure_of(frame: Mapping[str, Any]) -> tuple[int, int] | None:
    """Start and end of the exposure, or else of the frame; None where neither is stated."""
    start, end = int(frame["exposure_begin_t"]), int(frame["exposure_end_t"])
    if max(start, end) <= 0:
        start, end = int(frame["begin_t"]), int(frame["end_t"])
    return (start, end) if max(start, end) > 0 else None


def _decoder(path: Path) -> Iterator[dict[str, Any]]:
    import aedat

    try:
        return iter(aedat.Decoder(str(path)))
    except BaseException as error:
        raise _as_ours(error, f"{path}: expected an aedat4 header") from error


def packets_of(path: Path) -> Iterator[dict[str, Any]]:
    """The packets of a file that consists of a sound header and whole packets.

    Raises:
        RecordingError: One of them cannot be decoded.
    """
    decoder = _decoder(path)
    while True:
        try:
            packet = next(decoder)
        except StopIteration:
            return
        except BaseException as error:
            raise _as_ours(error, f"{path}: expected a packet that can be decoded") from error
        yield packet


def _next_packet(decoder: Iterator[dict[str, Any]]) -> dict[str, Any]:
    try:
        return next(decoder)
    except StopIteration:
        raise RecordingError("the file ends before it") from None
    except BaseException as error:
        raise _as_ours(error, "it cannot be decoded") from error


def _as_ours(error: BaseException, expected: str) -> RecordingError:
    # A panic of the Rust library arrives as an exception that is none of `Exception`'s.
    if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
        raise error
    return RecordingError(f"{expected}: {error}")


def _checked_layout(path: Path) -> _Layout:
    if not path.stat().st_size:
        raise RecordingError(f"{path}: expected an aedat4 file, got an empty one")
    with (
        path.open("rb", buffering=0) as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        return _layout(path, data, file)


def _layout(path: Path, data: mmap.mmap, file: BinaryIO) -> _Layout:
    if data[: len(MAGIC)] != MAGIC:
        raise RecordingError(
            f"{path}: expected {MAGIC.decode().strip()} in its first line, "
            f"got {data[: len(MAGIC)]!r}"
        )
    try:
        start, table, text = header_in(data)
        root = ElementTree.fromstring(text)  # noqa: S314  expat refuses entity bombs
    except (struct.error, UnicodeDecodeError, ValueError, ElementTree.ParseError) as error:
        raise RecordingError(f"{path}: the header is damaged: {error}") from error
    streams = streams_of(root)
    kinds = {
        kind: [number for number, attributes in streams.items() if attributes["kind"] == kind]
        for kind in ("EVTS", "FRME", "TRIG")
    }
    if not (kinds["EVTS"] or kinds["FRME"]):
        raise RecordingError(f"{path}: expected a stream of events or frames, got {streams}")
    end = table if start <= table <= len(data) else len(data)
    packets, cut_at = _packets(file, start, end, set(streams))
    event_stream = kinds["EVTS"][0] if kinds["EVTS"] else None
    size = None if event_stream is None else streams[event_stream]["size"]
    source = None if event_stream is None else streams[event_stream]["source"]
    of_camera = {n for n, stream in streams.items() if stream["source"] == source}
    frame_stream = min(
        kinds["FRME"],
        key=lambda n: (n not in of_camera, streams[n]["size"] != size, n),
        default=None,
    )
    return _Layout(
        event_stream,
        frame_stream,
        size,
        packets,
        cut_at,
        [n for n in kinds["TRIG"] if n in of_camera] or kinds["TRIG"],
        [
            f"{n} ({streams[n]['name']})"
            for n in kinds["EVTS"] + kinds["FRME"]
            if n not in (event_stream, frame_stream)
        ],
    )


def header_in(data: mmap.mmap | bytes) -> tuple[int, int, str]:
    """Where the packets start, where their table does, and the XML between."""
    (length,) = struct.unpack_from("<I", data, len(MAGIC))
    base = len(MAGIC) + 4
    if base + length > len(data):
        raise ValueError(f"it states {length} bytes, the file has {len(data) - base} behind it")
    body = data[base : base + length]
    # A flatbuffer: the root table knows where its table of fields is; fields may be absent.
    (root,) = struct.unpack_from("<I", body)
    (back,) = struct.unpack_from("<i", body, root)
    fields = root - back
    (fields_bytes,) = struct.unpack_from("<H", body, fields)

    def position(number: int) -> int:
        if fields < 0 or 4 + 2 * number >= fields_bytes:
            return 0
        (offset,) = struct.unpack_from("<H", body, fields + 4 + 2 * number)
        return root + offset if offset else 0

    table = struct.unpack_from("<q", body, position(1))[0] if position(1) else -1
    if not position(2):
        raise ValueError("it has no description of the streams")
    (string,) = struct.unpack_from("<I", body, position(2))
    string += position(2)
    (string_bytes,) = struct.unpack_from("<I", body, string)
    text = body[string + 4 : string + 4 + string_bytes]
    if len(text) < string_bytes:
        raise ValueError(f"its description should have {string_bytes} bytes, got {len(text)}")
    return base + length, table, text.decode("utf-8")


def streams_of(root: ElementTree.Element) -> dict[int, dict[str, Any]]:
    """The streams by their numbers: `kind` (EVTS, FRME, …), `size` if stated, `source`, `name`."""
    streams: dict[int, dict[str, Any]] = {}
    for node in root.iterfind("./node[@name='outInfo']/node"):
        kind = node.findtext("./attr[@key='typeIdentifier']", "")
        sizes = [
            node.findtext(f"./node[@name='info']/attr[@key='{key}']", "")
            for key in ("sizeX", "sizeY")
        ]
        name = node.get("name", "")
        if name.isdecimal():
            is_sized = all(size.isdecimal() for size in sizes)
            size = (int(sizes[0]), int(sizes[1])) if is_sized else None
            streams[int(name)] = {
                "kind": kind,
                "size": size,
                "source": node.findtext("./node[@name='info']/attr[@key='source']", ""),
                "name": node.findtext("./attr[@key='originalOutputName']", ""),
            }
    return streams


def _packets(
    file: BinaryIO, start: int, end: int, streams: set[int]
) -> tuple[list[int], int | None]:
    # Read, not looked up in the mapped file: each look would bring in the pages around it.
    packets: list[int] = []
    while start < end:
        if start + 8 > end:
            return packets, start
        file.seek(start)
        stream, size = struct.unpack("<ii", file.read(8))
        if stream not in streams or size < 0 or start + 8 + size > end:
            return packets, start
        packets.append(start)
        start += 8 + size
    return packets, None
