"""AEDAT 2.0 (`.aedat`), as jAER, v2e and iniVation's older tools write it.

Text lines that begin with `#`, then 8 bytes a word, big-endian: address and time in µs. What an
address means depends on the camera, which the header's `AEChip` names. A DVS128 sets the lowest
bit for OFF, x has the next 7 bits counted from the right, y the 7 above those counted from the
bottom (jAER's `DVS128` chip class); for a DAVIS see `davis`.

v2e and others name no camera. Then the addresses decide: more than 16 bits are a DAVIS's, and
coordinates beyond 240×180 those of a DAVIS346.
"""

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.recordings.readers.aps import ApsFrames
from evlora.recordings.readers.cameras import size_of_camera
from evlora.recordings.readers.clocks import WrappingClock
from evlora.recordings.readers.collected_frames import CollectedFrames
from evlora.recordings.readers.davis import IS_EXTERNAL, IS_SAMPLE, DavisDecoder
from evlora.recordings.readers.decoding import (
    CHUNK_EVENTS,
    EventChunk,
    EventFile,
    Findings,
    collect,
    sensor_size,
)
from evlora.recordings.readers.prophesee_words import words
from evlora.recordings.recording import Recording

MAGIC = b"#!AER-DAT2"
LONGEST_HEADER_BYTES = 1 << 20
"""jAER writes all its settings there, 175 kB in real files."""
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""Bytes that no text has: an event may begin with the byte of `#`."""
DVS128_SIZE, DAVIS240_SIZE, DAVIS346_SIZE = (128, 128), (240, 180), (346, 260)
IS_SPECIAL = 0x8000
"""A signal at the DVS128's input, not a pixel."""
CLOCK_PERIOD_US = 1 << 32
PATTERN_OF_CAMERA = {"DAVIS346REDCOLOR": "rggb"}
"""Cameras whose colour filter is a Bayer pattern, as jAER's chip class gives it."""

WordsDecoder = Callable[[NDArray[np.uint32], NDArray[np.int64]], EventChunk]
"""Addresses and times → the events among them."""


def read(path: Path, *, width: int | None, height: int | None) -> Recording:
    """The events, triggers and frames of the file; see `open_events`."""
    file = open_events(path, width=width, height=height, frames=CollectedFrames())
    recording = collect(file)
    if file.frames is None:
        return recording
    frames, findings = file.frames(), file.findings
    return replace(
        recording,
        frames=frames,
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
    """The events of the file, opened.

    Args:
        path: The file.
        width: Columns of the sensor, where the header names no camera.
        height: Rows of the sensor, as for `width`.
        frames: Where its frames are collected; None skips them.

    Raises:
        RecordingError: The header is damaged or names a camera that is not known, or no sensor
            size is known.
    """
    return _event_file(_camera(path, width=width, height=height), frames)


@dataclass(frozen=True, slots=True)
class _Camera:
    """Who wrote the file, and where its data begin."""

    path: Path
    start: int
    size: tuple[int, int]
    is_dvs128: bool
    pattern: str | None
    remark: str | None


def header_end(head: bytes) -> int:
    """The byte behind the header's last line of text."""
    start = 0
    while head.startswith(b"#", start) and (end := head.find(b"\n", start)) >= 0:
        line = head[start:end]
        if CONTROL.search(line):
            break
        start = end + 1
        if b"End Of ASCII Header" in line:
            break
    return start


def dvs128_events(
    findings: Findings, addresses: NDArray[np.uint32], t_us: NDArray[np.int64]
) -> EventChunk:
    """The events of a DVS128 among these words; signals at its input are kept as triggers."""
    is_special = addresses & IS_SPECIAL != 0
    if is_special.any():
        nothing = np.zeros(int(np.count_nonzero(is_special)), np.int8)
        findings.add_triggers(t_us[is_special], nothing, nothing)
        addresses, t_us = addresses[~is_special], t_us[~is_special]
    return EventChunk(
        t_us,
        (127 - (addresses >> 1 & 0x7F)).astype(np.uint16),
        (127 - (addresses >> 8 & 0x7F)).astype(np.uint16),
        addresses & 1 == 0,
    )


def _camera(path: Path, *, width: int | None, height: int | None) -> _Camera:
    with path.open("rb") as stream:
        head = stream.read(LONGEST_HEADER_BYTES)
    if not head.startswith(MAGIC):
        raise RecordingError(f"{path}: expected #!AER-DAT2.0 in its first line, got {head[:20]!r}")
    start = header_end(head)
    chip = re.search(rb"AEChip:\s*(\S+)", head[:start])
    if chip is None:
        return _camera_by_addresses(path, start, width=width, height=height)
    name = chip[1].decode("latin-1").rsplit(".", 1)[-1]
    declared = size_of_camera(name)
    if declared is None or "RGBW" in name.upper():
        raise RecordingError(
            f"{path}: expected a recording of a DVS128 or a DAVIS, the header states {name}, whose "
            "addresses are not known here; jAER's DavisTextOutputWriter writes its events as text"
        )
    size = sensor_size(path, declared, width=width, height=height)
    pattern = PATTERN_OF_CAMERA.get(name.upper())
    remark = f"sensor of {size[0]}×{size[1]} by the camera's name, {name}"
    if "COLOR" in name.upper() and pattern is None:
        remark += "; its colour filter is not known, frames are its raw pixels as grey"
    is_davis = name.upper().startswith("DAVIS")  # one of them has the DVS128's size
    is_dvs128 = declared == DVS128_SIZE and not is_davis
    return _Camera(path, start, size, is_dvs128, pattern, remark)


def _camera_by_addresses(
    path: Path, start: int, *, width: int | None, height: int | None
) -> _Camera:
    is_dvs128, reach = _reach(path, start)
    if is_dvs128:
        size = sensor_size(path, DVS128_SIZE, width=width, height=height)
        remark = "the header names no camera; addresses of 16 bits are those of a DVS128"
        return _Camera(path, start, size, is_dvs128=True, pattern=None, remark=remark)
    is_beyond = reach[0] >= DAVIS240_SIZE[0] or reach[1] >= DAVIS240_SIZE[1]
    is_within = reach[0] < DAVIS346_SIZE[0] and reach[1] < DAVIS346_SIZE[1]
    declared = DAVIS346_SIZE if is_beyond and is_within and width is None else None
    size = sensor_size(
        path,
        declared,
        width=width,
        height=height,
        hint="its addresses are those of a DAVIS: 240×180 or 346×260, which also decides where "
        "the right edge lies that columns are counted from",
    )
    remark = "the header names no camera; addresses of 32 bits are those of a DAVIS"
    if declared is not None:
        remark += f", and some reach x = {reach[0]}, y = {reach[1]}: 346×260"
    return _Camera(path, start, size, is_dvs128=False, pattern=None, remark=remark)


def _reach(path: Path, start: int) -> tuple[bool, tuple[int, int]]:
    """Whether most addresses have 16 bits, and the largest column and row of those with more."""
    short = count = 0
    reach = (0, 0)
    with path.open("rb") as stream:
        stream.seek(start)
        while len(block := np.fromfile(stream, ">u4", 2 * CHUNK_EVENTS)) > 1:
            addresses = block[: len(block) // 2 * 2 : 2].astype(np.uint32)
            events = addresses[addresses & (IS_SAMPLE | IS_EXTERNAL) == 0]
            short += int(np.count_nonzero(addresses < 1 << 16))
            count += len(addresses)
            if len(events):
                columns, rows = events >> 12 & 0x3FF, events >> 22 & 0x1FF
                reach = (max(reach[0], int(columns.max())), max(reach[1], int(rows.max())))
    return 2 * short >= count, reach


def _event_file(camera: _Camera, frames: CollectedFrames | None) -> EventFile:
    findings = Findings(camera.path)
    aps = None
    if frames is not None and not camera.is_dvs128:
        aps = ApsFrames(camera.size, camera.pattern, frames)
    if camera.remark is not None:
        findings.remark(camera.remark)
    if camera.is_dvs128:
        decode: WordsDecoder = functools.partial(dvs128_events, findings)
    else:
        decode = DavisDecoder(camera.size, findings, aps).decode
    blocks = words(camera.path, camera.start, np.dtype("<u8"), findings)
    sequence = None if aps is None else functools.partial(aps.sequence, findings)
    return EventFile("aedat2", *camera.size, _decoded(blocks, decode), findings, frames=sequence)


def _decoded(
    blocks: Iterator[tuple[int, NDArray[Any]]], decode: WordsDecoder
) -> Iterator[EventChunk]:
    clock = WrappingClock(CLOCK_PERIOD_US)
    for _, block in blocks:
        pairs = block.view(">u4").reshape(-1, 2)
        addresses, ticks = pairs[:, 0].astype(np.uint32), pairs[:, 1].astype(np.uint32)
        yield decode(addresses, clock.unwrapped(ticks))
