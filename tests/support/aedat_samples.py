"""AEDAT 2.0 and 3.1 with all that a DAVIS writes, made word by word from the formats' pages."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from recording_samples import frames, stream

from evlora.recordings import EventStream

DAVIS_SIZE = (240, 180)
EXTERNAL_US = (40_000, 90_000)


def davis_pictures(count: int = 2, size: tuple[int, int] = DAVIS_SIZE) -> NDArray[np.uint8]:
    """Grey pictures that no mirroring leaves as they are, shape (count, H, W)."""
    y, x = np.mgrid[: size[1], : size[0]]
    return np.stack([(x // 2 + 2 * (y // 3) + 40 * n) % 200 for n in range(count)]).astype(np.uint8)


def davis_events() -> EventStream:
    return stream(2000, width=DAVIS_SIZE[0], height=DAVIS_SIZE[1])


def event_words(events: EventStream) -> list[tuple[int, int]]:
    """Time and address of each event: rows from the bottom, columns from the right."""
    return [
        (int(t), (events.height - 1 - y) << 22 | (events.width - 1 - x) << 12 | int(p) << 11)
        for t, x, y, p in zip(
            *(a.tolist() for a in (events.t_us, events.x, events.y, events.polarity)), strict=True
        )
    ]


def frame_words(
    picture: NDArray[np.uint8], start_us: int, *, is_rolling: bool = False
) -> list[tuple[int, int]]:
    """The samples of a frame: columns from the left, rows from the bottom, one a tenth of a µs.

    A global shutter is reset within 5 ms and read from 10 ms on; a rolling one is read column by
    column, each right after its reset.
    """
    height, width = picture.shape
    words: list[tuple[int, int]] = []
    signals: list[tuple[int, int]] = []
    for x in range(width):
        for y in range(height - 1, -1, -1):
            at = len(words) // 10
            place = 1 << 31 | (height - 1 - y) << 22 | x << 12
            words.append((start_us + at, place | 900))
            signals.append((start_us + at + 10_000, place | 0x400 | 900 - 4 * int(picture[y, x])))
        if is_rolling:
            words += [(t - 10_000 + height // 10, address) for t, address in signals]
            signals = []
    return words + signals


def davis_aedat2(
    path: Path, *, chip: str | None = "DAVIS240C", is_rolling: bool = False, count: int = 2
) -> Path:
    """Events, frames from 20 and 100 ms on, inertial samples, and an edge at the input."""
    words = event_words(davis_events())
    for number, picture in enumerate(davis_pictures(count)):
        words += frame_words(picture, 20_000 + 80_000 * number, is_rolling=is_rolling)
    words += [(500 + 7 * n, 1 << 31 | n << 28 | 1 << 11 | 77) for n in range(7)]
    words += [(t_us, 1 << 10 | edge) for t_us, edge in zip(EXTERNAL_US, (3, 2), strict=True)]
    words.sort(key=lambda word: word[0])
    header = "#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n"
    if chip is not None:
        header += f"# AEChip: eu.seebetter.ini.chips.davis.{chip}\r\n"
    pairs = np.array([(address, t_us) for t_us, address in words], ">u4")
    path = path.with_suffix(".aedat")
    path.write_bytes(header.encode() + pairs.tobytes())
    return path


def davis_aedat3(path: Path, *, channels: int = 1) -> Path:
    """Packets of events, of edges at the inputs, and of frames, in turn."""
    events = davis_events()
    body = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DAVIS240C\r\n#!END-HEADER\r\n"
    pictures = frames(2).take([0, 1]) if channels == 3 else davis_pictures(2)
    for number, start in enumerate(range(0, len(events), 1000)):
        part = events.part(slice(start, start + 1000))
        data = part.x.astype(np.uint32) << 17 | part.y.astype(np.uint32) << 2
        data |= part.polarity.astype(np.uint32) << 1 | 1
        words = np.stack([data, part.t_us.astype(np.uint32)], axis=1).astype("<u4")
        body += struct.pack("<HHIIIIII", 1, 1, 8, 4, 0, len(part), len(part), len(part))
        body += words.tobytes()
        height, width = pictures.shape[1:3]
        samples = (pictures[number].astype("<u2") << 8).tobytes()
        size = 36 + len(samples)
        begin_us = 10_000 + 90_000 * number
        body += struct.pack("<HHIIIIII", 2, 1, size, 4, 0, 1, 1, 1)
        body += struct.pack("<I", channels << 1 | 1)
        body += struct.pack("<iiii", begin_us, begin_us + 9000, begin_us + 1000, begin_us + 6000)
        body += struct.pack("<iiii", width, height, 0, 0) + samples
    # A turn of the clock; edges at inputs 0 and 1; a lone row.
    special = [(0, 5), (2, 1000), (8, 2000), (5, 3000)]
    body += struct.pack("<HHIIIIII", 0, 1, 8, 4, 0, len(special), len(special), len(special))
    body += b"".join(struct.pack("<II", kind << 1 | 1, t_us) for kind, t_us in special)
    path = path.with_suffix(".aedat")
    path.write_bytes(body)
    return path
