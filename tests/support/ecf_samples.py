"""Prophesee HDF5 files packed by the ECF codec, by a plain encoder in all of its four ways."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from evlora.recordings import EventStream

CHUNK = 256
MODES = {"together": 2, "columns and polarities": 1, "masks": 0}


def packed(t: Any, x: Any, y: Any, p: Any, mode: int) -> bytes:
    """The bytes of one chunk."""
    head = (len(t) << 2 | mode).to_bytes(4, "little") + int(t[0]).to_bytes(8, "little")
    if mode == 2:
        return head + times(t) + in_groups((y << 12 | x << 1 | p).tolist(), 32, 24)
    rows = runs(y.tolist(), 2, 5)
    if mode == 1:
        return head + times(t) + rows + in_groups((x << 1 | p).tolist(), 16, 12)
    return head + times(t) + rows + masks(x.tolist()) + runs(p.tolist(), 1, 7)


def times(t: np.ndarray) -> bytes:
    content, now, at = bytearray(), int(t[0]), 0
    while at < len(t):
        ahead = int(t[at]) - now
        now = int(t[at])
        if ahead >= 15:
            while ahead:
                content.append(0xF0 | ahead & 15)
                ahead >>= 4
        count = int(np.count_nonzero(t[at:] == now))
        short = ahead << 4 | min(count, 15)
        content += bytes([short]) if count < 15 else bytes([short]) + count.to_bytes(2, "little")
        at += count
    return bytes(content)


def runs(values: list[int], size: int, count_bits: int) -> bytes:
    content, at, full = bytearray(), 0, (1 << count_bits) - 1
    while at < len(values):
        count = 1
        while at + count < len(values) and values[at + count] == values[at]:
            count += 1
        content += (values[at] << count_bits | min(count, full)).to_bytes(size, "little")
        if count >= full:
            content += count.to_bytes(2, "little")
        at += count
    return bytes(content)


def masks(columns: list[int]) -> bytes:
    content, at = bytearray(), 0
    while at < len(columns):
        first, mask, last = columns[at], 0, columns[at]
        at += 1
        while at < len(columns) and last < columns[at] <= first + 5:
            last = columns[at]
            mask |= 1 << (5 - (last - first))
            at += 1
        content += (first << 5 | mask).to_bytes(2, "little")
    return bytes(content)


def in_groups(values: list[int], word_bits: int, bits: int) -> bytes:
    """Four values in the bits of three words, the first value topmost, the last word's lowest."""
    content, rest = bytearray(), word_bits - bits
    values = values + [0] * (-len(values) % 4)
    for a, b, c, d in zip(*(values[n::4] for n in range(4)), strict=True):
        low = (1 << rest) - 1
        words = (
            a << rest | b & low,
            b >> rest << 2 * rest | c & ((1 << 2 * rest) - 1),
            c >> 2 * rest << 3 * rest | d,
        )
        content += b"".join(word.to_bytes(word_bits // 8, "little") for word in words)
    return bytes(content)


def prophesee_hdf5(path: Path, events: EventStream, mode: int = 2) -> Path:
    """A file as the camera maker's tools write it: the last chunk is filled up with zeros."""
    path = path.with_suffix(".hdf5")
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((CHUNK,))
    plan.set_filter(0x8ECF, h5py.h5z.FLAG_OPTIONAL, ())
    layout = np.dtype(
        {
            "names": ["x", "y", "p", "t"],
            "formats": ["<u2", "<u2", "<i2", "<i8"],
            "offsets": [0, 2, 4, 8],
            "itemsize": 16,
        }
    )
    columns = [a.astype(np.int64) for a in (events.t_us, events.x, events.y, events.polarity)]
    with h5py.File(path, "w") as file:
        file.attrs["geometry"] = f"{events.width}x{events.height}"
        space = h5py.h5s.create_simple((len(events),), (h5py.h5s.UNLIMITED,))
        kind = h5py.h5t.py_create(layout)
        data = h5py.h5d.create(file.create_group("CD").id, b"events", kind, space, plan)
        for first in range(0, len(events), CHUNK):
            parts = [column[first : first + CHUNK] for column in columns]
            filled = [np.pad(part, (0, CHUNK - len(part))) for part in parts]
            filled[0][len(parts[0]) :] = parts[0][-1]
            data.write_direct_chunk((first,), packed(*filled, mode), 0)
        triggers = np.zeros(2, [("p", "<i2"), ("t", "<i8"), ("id", "<i2")])
        triggers["p"], triggers["t"], triggers["id"] = [1, 0], [500, 900], [3, 3]
        file["EXT_TRIGGER/events"] = triggers
    return path
