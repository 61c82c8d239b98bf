"""Small files of every format, made here byte by byte from the formats' specifications."""

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from PIL import Image
from scipy.io import savemat

from evlora.recordings import EventStream, FrameSequence, Recording, write_recording

WIDTH, HEIGHT = 64, 48


def stream(count: int = 1000, seed: int = 0, *, width: int = WIDTH, height: int = HEIGHT):
    """Events at random places, some at equal times."""
    rng = np.random.default_rng(seed)
    return EventStream.from_arrays(
        np.sort(rng.integers(0, 200_000, count)),
        rng.integers(0, width, count).astype(np.uint16),
        rng.integers(0, height, count).astype(np.uint16),
        rng.integers(0, 2, count).astype(np.bool_),
        width=width,
        height=height,
    )


def frames(count: int = 3) -> FrameSequence:
    """Coloured frames with exposures of 5 ms."""
    rng = np.random.default_rng(7)
    ends = (np.arange(count) + 1) * 50_000
    images = rng.integers(0, 256, (count, HEIGHT, WIDTH, 3)).astype(np.uint8)
    return FrameSequence.from_images(images, start_us=ends - 5_000, end_us=ends)


def written(suffix: str, format: str | None = None, *, with_frames: bool = False):
    def write(path: Path) -> Path:
        path = path.with_suffix(suffix)
        recording = Recording(stream(), frames() if with_frames else None, "made")
        write_recording(recording, path, format)
        return path

    return write


def nmnist(path: Path) -> Path:
    events = stream(width=34, height=34)
    raw = np.zeros((len(events), 5), np.uint8)
    raw[:, 0], raw[:, 1] = events.x, events.y
    raw[:, 2] = events.polarity.astype(np.uint8) << 7 | (events.t_us >> 16).astype(np.uint8)
    raw[:, 3], raw[:, 4] = events.t_us >> 8 & 0xFF, events.t_us & 0xFF
    path = path.with_suffix(".bs2")
    raw.tofile(path)
    return path


def npy(path: Path) -> Path:
    events = stream()
    array = np.zeros(
        len(events), [("x", "<u2"), ("y", "<u2"), ("timestamp", "<i8"), ("polarity", "?")]
    )
    array["timestamp"], array["polarity"] = events.t_us, events.polarity
    array["x"], array["y"] = events.x, events.y
    path = path.with_suffix(".npy")
    np.save(path, array)
    return path


def mat(path: Path) -> Path:
    events = stream()
    fields = {"t": events.t_us, "x": events.x, "y": events.y, "p": events.polarity}
    path = path.with_suffix(".mat")
    savemat(
        path,
        {"events": fields, "width": WIDTH, "height": HEIGHT},
        do_compression=True,
        oned_as="column",
    )
    return path


def seconds_text(path: Path) -> Path:
    events = stream()
    lines = [f"{WIDTH} {HEIGHT}"]
    for t, x, y, p in zip(events.t_us, events.x, events.y, events.polarity, strict=True):
        lines.append(f"{t / 1e6:.6f} {x} {y} {int(p)}")
    path = path.with_suffix(".txt")
    path.write_text("\n".join(lines) + "\n")
    return path


def dat(path: Path) -> Path:
    events = stream()
    words = np.zeros((len(events), 2), "<u4")
    words[:, 0] = events.t_us
    words[:, 1] = events.polarity.astype(np.uint32) << 28 | events.y.astype(np.uint32) << 14
    words[:, 1] |= events.x
    header = f"% Data file containing CD events.\n% Version 2\n% Width {WIDTH}\n% Height {HEIGHT}\n"
    path = path.with_suffix(".dat")
    path.write_bytes(header.encode() + b"\x0c\x08" + words.tobytes())
    return path


def evt21_words() -> tuple[np.ndarray, EventStream]:
    """EVT 2.1 words of vectors of pixels, and the events that they mean, read one by one."""
    rng = np.random.default_rng(3)
    words: list[int] = []
    events: list[tuple[int, int, int, int]] = []
    t_us, high = 1000, -1
    for _ in range(300):
        t_us += int(rng.integers(0, 40))
        if t_us >> 6 != high:
            high = t_us >> 6
            words.append(0x8 << 60 | high << 32)
        x, y, p = 32 * int(rng.integers(0, 2)), int(rng.integers(0, HEIGHT)), int(rng.integers(2))
        valid = int(rng.integers(1, 1 << 32))
        words.append(p << 60 | (t_us & 0x3F) << 54 | x << 43 | y << 32 | valid)
        events += [(t_us, x + bit, y, p) for bit in range(32) if valid >> bit & 1]
    t, x, y, p = np.array(events).T
    meant = EventStream.from_arrays(t, x, y, p, width=WIDTH, height=HEIGHT)
    return np.array(words, "<u8"), meant


def evt21(path: Path) -> Path:
    words, _ = evt21_words()
    header = f"% evt 2.1\n% format EVT21;height={HEIGHT};width={WIDTH};endianness=little\n% end\n"
    path = path.with_suffix(".raw")
    path.write_bytes(header.encode() + words.tobytes())
    return path


def evt3_with_vectors(path: Path) -> Path:
    words = [0x8000, 0x6000]
    rng = np.random.default_rng(5)
    for low in range(0, 400, 2):
        words += [0x6000 | low, int(rng.integers(0, HEIGHT)), 0x3000 | int(rng.integers(2)) << 11]
        words += [0x4000 | int(rng.integers(1, 1 << 12)), 0x5000 | int(rng.integers(1, 1 << 8))]
        words += [0x2000 | int(rng.integers(0, WIDTH))]
    header = f"% evt 3.0\n% geometry {WIDTH}x{HEIGHT}\n% end\n"
    path = path.with_suffix(".raw")
    path.write_bytes(header.encode() + np.array(words, "<u2").tobytes())
    return path


def aedat2(path: Path) -> Path:
    events = stream(width=128, height=128)
    address = (127 - events.y.astype(np.uint32)) << 8 | (127 - events.x.astype(np.uint32)) << 1
    pairs = np.stack([address | ~events.polarity, events.t_us], axis=1).astype(">u4")
    path = path.with_suffix(".aedat")
    path.write_bytes(b"#!AER-DAT2.0\r\n# written for a test\r\n" + pairs.tobytes())
    return path


def aedat1(path: Path) -> Path:
    events = stream(width=128, height=128)
    words = np.zeros(len(events), [("address", ">u2"), ("time", ">u4")])
    words["address"] = (127 - events.y) << 8 | (127 - events.x) << 1 | ~events.polarity
    words["time"] = events.t_us
    path = path.with_suffix(".aedat")
    path.write_bytes(b"#!AER-DAT1.0\r\n# written for a test\r\n" + words.tobytes())
    return path


def aedat3(path: Path) -> Path:
    events = stream(width=128, height=128)
    body = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    for start in range(0, len(events), 300):
        part = events.part(slice(start, start + 300))
        data = part.x.astype(np.uint32) << 17 | part.y.astype(np.uint32) << 2
        data |= part.polarity.astype(np.uint32) << 1 | 1
        words = np.stack([data, part.t_us.astype(np.uint32)], axis=1).astype("<u4")
        body += struct.pack("<HHIIIIII", 1, 1, 8, 4, 0, len(part), len(part), len(part))
        body += words.tobytes()
        body += struct.pack("<HHIIIIII", 3, 1, 36, 4, 0, 1, 1, 1) + bytes(36)  # inertia
    path = path.with_suffix(".aedat")
    path.write_bytes(body)
    return path


def _flatbuffer(identifier: bytes, fields: list[tuple[str, object] | None]) -> bytes:
    """A size-prefixed flatbuffer of one table with scalars, strings and vectors.

    Scalars are laid down largest first, as their alignment asks; vectors follow the table.
    """
    scalars = {"q": 8, "i": 4, "h": 2, "b": 1, "vector": 4}
    present = [(n, *field) for n, field in enumerate(fields) if field is not None]
    ordered = sorted(present, key=lambda field: -scalars[field[1]])
    offsets, place = {}, 4
    for number, kind, _ in ordered:
        size = scalars[kind]
        place += -place % size
        offsets[number] = place
        place += size
    table_bytes = place + -place % 8
    vtable = struct.pack("<HH", 4 + 2 * len(fields), table_bytes)
    vtable += b"".join(struct.pack("<H", offsets.get(n, 0)) for n in range(len(fields)))
    vtable_at = 8
    table_at = vtable_at + len(vtable)
    table_at += -table_at % 8 + 4  # so that 8-byte scalars, 4 behind the table, are aligned
    table_at += -(table_at + 4) % 8
    table = bytearray(table_bytes)
    struct.pack_into("<i", table, 0, table_at - vtable_at)
    tail = b""
    for number, kind, value in ordered:
        at = offsets[number]
        if kind != "vector":
            struct.pack_into(f"<{kind}", table, at, value)
            continue
        count, content, align = value
        start = table_at + table_bytes + len(tail)
        padding = -(start + 4) % align
        struct.pack_into("<I", table, at, start + padding - table_at - at)
        tail += bytes(padding) + struct.pack("<I", count) + content
    body = struct.pack("<I", table_at) + identifier + vtable
    body += bytes(table_at - len(body)) + bytes(table) + tail
    return struct.pack("<I", len(body)) + body


def aedat4(
    path: Path,
    *,
    with_events: bool = True,
    with_frames: bool = True,
    is_grey: bool = False,
    deep_bits: int | None = None,
    has_exposures: bool = True,
) -> Path:
    """AEDAT 4 without compression: events in packets of 250, and a frame between them."""
    events, pictures = stream(), frames(4)
    kinds = {0: "EVTS"} if with_events else {}
    if with_frames:
        kinds[1] = "FRME"
    nodes = "".join(
        f'<node name="{number}" path="/{number}/">'
        f'<attr key="compression" type="string">NONE</attr>'
        f'<attr key="typeIdentifier" type="string">{kind}</attr>'
        f'<node name="info" path="/{number}/info/"><attr key="sizeX" type="int">{WIDTH}</attr>'
        f'<attr key="sizeY" type="int">{HEIGHT}</attr></node></node>'
        for number, kind in kinds.items()
    )
    xml = f'<dv version="2.0"><node name="outInfo" path="/">{nodes}</node></dv>'.encode()
    header = _flatbuffer(b"IOHE", [("i", 0), ("q", -1), ("vector", (len(xml), xml + b"\x00", 4))])
    body = b"#!AER-DAT4.0\r\n" + header
    layout = np.dtype(
        {
            "names": ["t", "x", "y", "p"],
            "formats": ["<i8", "<i2", "<i2", "?"],
            "offsets": [0, 8, 10, 12],
            "itemsize": 16,
        }
    )
    for number, start in enumerate(range(0, len(events), 250)):
        part = events.part(slice(start, start + 250))
        if with_events:
            array = np.zeros(len(part), layout)
            array["t"], array["x"], array["y"], array["p"] = (
                part.t_us,
                part.x,
                part.y,
                part.polarity,
            )
            packet = _flatbuffer(b"EVTS", [("vector", (len(part), array.tobytes(), 8))])
            body += struct.pack("<ii", 0, len(packet)) + packet
        if with_frames:
            start_us, end_us = int(pictures.start_us[number]), int(pictures.end_us[number])
            picture = pictures[number][..., ::-1]  # DV keeps colours as BGR
            pixels = (picture[..., 2] if is_grey else picture).tobytes()
            kind = 0 if is_grey else 16  # as OpenCV numbers them
            if deep_bits is not None:
                pixels = (picture[..., 2].astype("<u2") << (deep_bits - 8)).tobytes()
                kind = 2
            packet = _flatbuffer(
                b"FRME",
                [
                    ("q", start_us),
                    *([("q", start_us * has_exposures), ("q", end_us * has_exposures)] * 2),
                    ("b", kind),
                    *(("h", WIDTH), ("h", HEIGHT), ("h", 0), ("h", 0)),
                    ("vector", (len(pixels), pixels, 4)),
                ],
            )
            body += struct.pack("<ii", 1, len(packet)) + packet
    path = path.with_suffix(".aedat4")
    path.write_bytes(body)
    return path


def video(path: Path, count: int = 12, *, turned_degrees: int = 0) -> Path:
    """A grey ramp with a dark first row: frame n has the value 20·n, at 25 frames a second."""
    path = path.with_suffix(".mp4")
    with av.open(str(path), "w") as container:
        out = container.add_stream("mpeg4", rate=25)
        out.width, out.height, out.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        out.gop_size = 4
        if turned_degrees:
            out.set_display_rotation(turned_degrees)
        for number in range(count):
            image = np.full((HEIGHT, WIDTH, 3), 20 * number, np.uint8)
            image[:8] = 0
            container.mux(out.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(out.encode())
    return path


def picture(path: Path) -> Path:
    path = path.with_suffix(".png")
    Image.fromarray(frames(1)[0]).save(path)
    return path


def evt3_word_by_word(words: list[int]) -> np.ndarray:
    """EVT 3.0 by its specification and OpenEB's decoder: the state machine, written plainly."""
    rows: list[tuple[int, int, int, int]] = []
    y = high = None
    low = turns = base_x = base_p = 0
    for word in words:
        kind, value = word >> 12, word & 0xFFF
        time_us = None if high is None else turns << 24 | high << 12 | low
        if kind == 0x0:
            y = value & 0x7FF
        elif kind == 0x2 and None not in (time_us, y):
            rows.append((time_us, value & 0x7FF, y, value >> 11))
        elif kind == 0x3:
            base_x, base_p = value & 0x7FF, value >> 11
        elif kind in (0x4, 0x5):
            length = 12 if kind == 0x4 else 8
            if None not in (time_us, y):
                rows += [(time_us, base_x + n, y, base_p) for n in range(length) if value >> n & 1]
            base_x += length
        elif kind == 0x6:
            low = value
        elif kind == 0x8:
            if high is not None and high >= (1 << 11) + value:
                turns += 1
            if high != value:
                low = 0  # the low part of before does not belong to the new high part
            high = value
    return np.array(rows, [("t", "i8"), ("x", "i4"), ("y", "i4"), ("on", "i4")])


def require_equal(events: EventStream, other: np.ndarray, *, polarity: str = "on") -> None:
    """Compare with the events of another reader, a structured array with t, x and y."""
    assert len(events) == len(other)
    np.testing.assert_array_equal(events.t_us, other["t"].astype(np.int64))
    np.testing.assert_array_equal(events.x, other["x"])
    np.testing.assert_array_equal(events.y, other["y"])
    np.testing.assert_array_equal(events.polarity, other[polarity] > 0)


def ros1(path: Path) -> Path:
    from ros_samples import bag

    return bag(".bag")(path)


def ros2(path: Path) -> Path:
    from ros_samples import bag

    return bag(".mcap")(path)


def ros2_sqlite(path: Path) -> Path:
    from ros_samples import bag

    return bag(".db3")(path)


def davis_aedat2(path: Path) -> Path:
    from aedat_samples import davis_aedat2 as make

    return make(path, count=1)


def ecf(path: Path) -> Path:
    from ecf_samples import prophesee_hdf5

    return prophesee_hdf5(path, stream())


def davis_aedat3(path: Path) -> Path:
    from aedat_samples import davis_aedat3 as make

    return make(path)


SAMPLES: dict[str, Callable[[Path], Path]] = {
    "nmnist": nmnist,
    "npz": written(".npz", with_frames=True),
    "npy": npy,
    "mat": mat,
    "hdf5": written(".h5", with_frames=True),
    "aedat4": aedat4,
    "aedat3": aedat3,
    "aedat2": aedat2,
    "aedat1": aedat1,
    "evt2": written(".raw", "evt2"),
    "evt2.1": evt21,
    "evt3": evt3_with_vectors,
    "dat": dat,
    "es": written(".es"),
    "ros1": ros1,
    "ros2": ros2,
    "text": written(".csv"),
    "images": picture,
    "video": video,
}
"""Format → what writes a sample of it; a new format is one row here."""

VARIANTS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "hdf5 of Prophesee": ("hdf5", ecf),
    "ros2 in sqlite": ("ros2", ros2_sqlite),
    "aedat2 of a davis": ("aedat2", davis_aedat2),
    "aedat3 of a davis": ("aedat3", davis_aedat3),
}
"""More samples of a format, for the fuzz run: what it is → the format and what writes it."""
