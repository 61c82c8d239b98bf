"""AEDAT 3.1 (`.aedat`), as DVS-Gesture and cAER have it: events, triggers, frames of one camera.

Text lines that begin with `#`, up to `#!END-HEADER`, then packets of 28 bytes of header and events
of 8 bytes: validity, polarity, y and x in 1, 1, 15 and 15 bits, and 31 bits of time in µs, whose
turns the packet's header counts
(https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-3.1.html).
A frame is 36 bytes of header — channels, times of readout and exposure, size, place — and 16 bits
a sample, rows from the top, channels interleaved. Special events of types 2 to 11 are edges and
pulses at the camera's inputs. Packets of other kinds, such as inertia, are skipped.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.cameras import size_of_camera
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

MAGIC = b"#!AER-DAT3"
END_OF_HEADER = b"#!END-HEADER"
LONGEST_HEADER_BYTES = 1 << 16
HEADER = np.dtype(
    [
        *(("kind", "<u2"), ("source", "<u2"), ("size", "<u4"), ("time_offset", "<u4")),
        *(("turns", "<u4"), ("capacity", "<u4"), ("number", "<u4"), ("valid", "<u4")),
    ]
)
SPECIAL, POLARITY, FRAME = 0, 1, 2
EVENT_BYTES = 8
FRAME_HEADER = np.dtype(
    [
        *(("info", "<u4"), ("begin", "<i4"), ("end", "<i4")),
        *(("exposure_begin", "<i4"), ("exposure_end", "<i4")),
        *(("width", "<i4"), ("height", "<i4"), ("x", "<i4"), ("y", "<i4")),
    ]
)
FIRST_INPUT_TYPE, ROW_TYPE, LAST_INPUT_TYPE = 2, 5, 11
"""Special events: rising, falling and pulse of input 0, then, behind the type of a lone row, of
input 1 and of input 2."""
EDGES = np.array([RISING, FALLING, PULSE], np.int8)
LAST_KIND = 32
"""Kinds are small numbers; a larger one is no packet header."""


def read(path: Path, *, width: int | None, height: int | None) -> Recording:
    """The events, triggers and frames of the file; see `open_events`."""
    frames = CollectedFrames()
    file = open_events(path, width=width, height=height, frames=frames)
    recording = collect(file)
    sequence = frames.sequence(file.findings)
    return replace(recording, frames=sequence, warnings=tuple(file.findings.warnings))


def open_events(
    path: Path,
    *,
    width: int | None,
    height: int | None,
    frames: CollectedFrames | None = None,
) -> EventFile:
    """The events of the file, opened.

    Args:
        path: The file.
        width: Columns of the sensor, where the header names no camera that is known.
        height: Rows of the sensor, as for `width`.
        frames: Where its frames are collected; None skips them.

    Raises:
        RecordingError: The header is damaged, or packed data, or no sensor size is known.
    """
    with path.open("rb") as stream:
        head = stream.read(LONGEST_HEADER_BYTES)
    if not head.startswith(MAGIC):
        raise RecordingError(f"{path}: expected #!AER-DAT3.1 in its first line, got {head[:20]!r}")
    end = head.find(END_OF_HEADER)
    start = head.find(b"\n", end) + 1
    if end < 0 or not start:
        raise RecordingError(f"{path}: expected {END_OF_HEADER.decode()} to end the header")
    text = head[:end].decode("latin-1")
    packing = re.search(r"^#Format:\s*(\S+)", text, re.MULTILINE)
    if packing and packing[1].upper() != "RAW":
        raise RecordingError(f"{path}: expected packets in format RAW, got {packing[1]}")
    cameras = dict(re.findall(r"^#Source (\d+):\s*(\S+)", text, re.MULTILINE))
    source = _first_source(path, start)
    # Of a single camera the number does not matter, whatever wrote it.
    camera = next(iter(cameras.values())) if len(cameras) == 1 else cameras.get(str(source))
    declared = None if camera is None else size_of_camera(camera)
    width, height = sensor_size(path, declared, width=width, height=height)
    findings = Findings(path)
    if declared:
        findings.remark(f"sensor of {width}×{height} by the camera's name, {camera}")
    chunks = _decoded(path, start, source, findings, frames)
    sequence = None if frames is None else partial(frames.sequence, findings)
    return EventFile("aedat3", width, height, chunks, findings, frames=sequence)


class _Packet(NamedTuple):
    """What a packet holds, and what is wrong with it."""

    kind: int
    source: int | None
    """The number of the camera; None where the header is damaged."""
    turns: int
    """Turns of the clock of 31 bits."""
    events: NDArray[np.uint8]
    """The bytes of its events, shape (number, size of one)."""
    damage: str


NO_EVENTS = np.zeros((0, 0), np.uint8)


def _first_source(path: Path, start: int) -> int | None:
    """The camera of the first events; None where there are none before a damage."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(start)
        while (at := stream.tell()) < size:
            packet = _packet(stream, size - at)
            if packet.kind == POLARITY:
                return packet.source
            if packet.damage:
                break
    return None


def _decoded(
    path: Path,
    start: int,
    source: int | None,
    findings: Findings,
    frames: CollectedFrames | None,
) -> Iterator[EventChunk]:
    events = number = 0
    at = start
    size = path.stat().st_size
    others: set[int] = set()
    with path.open("rb") as stream:
        stream.seek(at)
        while at < size:
            packet = _packet(stream, size - at)
            at_next = stream.tell()
            if source is not None and packet.source not in (source, None):
                if packet.kind in (POLARITY, FRAME) and packet.source not in others:
                    others.add(packet.source)
                    findings.warn(
                        f"source {packet.source}, another camera, was skipped; source {source}, "
                        "whose events come first, was read"
                    )
            elif packet.kind == POLARITY:
                chunk = _polarity(packet)
                events += len(chunk.t_us)
                yield chunk
            elif packet.kind == SPECIAL:
                _keep_triggers(packet, findings)
            elif packet.kind == FRAME and frames is not None:
                _keep_frames(packet, frames, f"packet {number}, byte {at}")
            if packet.damage:
                findings.warn(
                    f"packet {number} at byte {at} {packet.damage}; the {events} events before "
                    "the damage were read"
                )
                return
            at, number = at_next, number + 1
            if findings.ends_at(at / size):
                return


def _packet(stream: BinaryIO, present: int) -> _Packet:
    if present < HEADER.itemsize:
        return _Packet(-1, None, 0, NO_EVENTS, "is cut off in its header")
    header = np.fromfile(stream, HEADER, 1)[0]
    kind, size, number = (int(header[name]) for name in ("kind", "size", "number"))
    turns, source = int(header["turns"]), int(header["source"])
    if kind > LAST_KIND or not 0 < size <= present or turns >= 1 << 31:
        return _Packet(-1, None, 0, NO_EVENTS, "has a damaged header")
    there = min(number, (present - HEADER.itemsize) // size)
    damage = "" if there == number else f"states {number} events, {there} are there"
    if kind not in (SPECIAL, POLARITY, FRAME):
        stream.seek(there * size, 1)
        return _Packet(kind, source, turns, NO_EVENTS, damage)
    if kind != FRAME and size != EVENT_BYTES:
        damage = f"states {size} bytes an event, expected {EVENT_BYTES}"
        return _Packet(-1, source, 0, NO_EVENTS, damage)
    events = np.fromfile(stream, np.uint8, size * there).reshape(there, size)
    return _Packet(kind, source, turns, events, damage)


def _words(packet: _Packet) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The valid events' words and their times in µs."""
    pairs = packet.events.view("<u4").reshape(-1, 2)
    pairs = pairs[pairs[:, 0] & 1 == 1]
    return pairs[:, 0], (pairs[:, 1] & 0x7FFFFFFF).astype(np.int64) + (packet.turns << 31)


def _polarity(packet: _Packet) -> EventChunk:
    data, t_us = _words(packet)
    x, y = (data >> 17).astype(np.uint16), ((data >> 2) & 0x7FFF).astype(np.uint16)
    return EventChunk(t_us, x, y, data & 2 != 0)


def _keep_triggers(packet: _Packet, findings: Findings) -> None:
    data, t_us = _words(packet)
    types = data >> 1 & 0x7F
    is_input = (types >= FIRST_INPUT_TYPE) & (types <= LAST_INPUT_TYPE) & (types != ROW_TYPE)
    numbers = types[is_input].astype(np.int32)
    numbers -= FIRST_INPUT_TYPE + (numbers > ROW_TYPE)
    findings.add_triggers(t_us[is_input], numbers // 3, EDGES[numbers % 3])


def _keep_frames(packet: _Packet, frames: CollectedFrames, where: str) -> None:
    for event in packet.events:
        if len(event) < FRAME_HEADER.itemsize:
            frames.refuse(where, f"{len(event)} bytes hold no frame")
            continue
        header: Any = event[: FRAME_HEADER.itemsize].view(FRAME_HEADER)[0]
        if not header["info"] & 1:
            continue
        channels = int(header["info"]) >> 1 & 7
        width, height = int(header["width"]), int(header["height"])
        room = (len(event) - FRAME_HEADER.itemsize) // 2
        if channels not in (1, 3, 4) or min(width, height) < 1 or width * height * channels > room:
            said = f"{width}×{height} with {channels} channels"
            frames.refuse(where, f"its header states {said}, there are {room} samples")
            continue
        count = width * height * channels
        stop = FRAME_HEADER.itemsize + 2 * count
        samples = event[FRAME_HEADER.itemsize : stop].view("<u2")
        shape = (height, width) if channels == 1 else (height, width, channels)
        # Samples fill their 16 bits from the top, whatever the sensor's own number of bits.
        pixels = (samples >> 8).astype(np.uint8).reshape(shape)
        base_us = packet.turns << 31
        start_us, end_us = int(header["exposure_begin"]), int(header["exposure_end"])
        frames.add(pixels, base_us + start_us, base_us + end_us, where=where)
