"""How long `evlora inspect` takes to draw a recording of about a gigabyte, and how much memory.

    python benchmarks/inspecting.py make FOLDER [NAME …]      # the files
    python benchmarks/inspecting.py measure FOLDER [NAME …]   # a row of the table for each

Every format that can be that long, written piece by piece; the clock, the processor time and the
peak memory are those of the whole command, once, from the page cache. Made apart from measuring,
so that nothing else need run meanwhile.
"""

import argparse
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evlora.recordings import EventStream, Recording
from evlora.recordings.frames import FrameSequence
from evlora.recordings.readers.prophesee_header import read_header
from evlora.recordings.writers import write_recording

WIDTH, HEIGHT = 1280, 720
SIZE_BYTES = 1_000_000_000
PIECE = 1 << 21
DSEC_CODEC = {"compression": 32001, "compression_opts": (0, 0, 0, 0, 1, 1, 5), "chunks": (PIECE,)}
"""Blosc, level 1, shuffled by bytes, with Zstandard inside."""


def pieces(seed: int = 0) -> Iterator[EventStream]:
    """Events at random places, one a µs on average, without end."""
    random, start_us = np.random.default_rng(seed), 0
    while True:
        t_us = start_us + np.cumsum(random.integers(0, 3, PIECE))
        start_us = int(t_us[-1]) + 1
        yield EventStream.from_arrays(
            t_us,
            random.integers(0, WIDTH, PIECE),
            random.integers(0, HEIGHT, PIECE),
            random.random(PIECE) < 0.5,
            width=WIDTH,
            height=HEIGHT,
        )


def words_of(format: str, suffix: str) -> Callable[[Path], None]:
    """A RAW, DAT or text file: the pieces' own files, one behind the other, under one header."""

    def make(path: Path) -> None:
        part = path.with_name(f"part{suffix}")
        with path.open("wb") as file:
            for number, events in enumerate(pieces()):
                write_recording(Recording(events, None, "made"), part, format)
                header, content = _split(part, format)
                file.write((header if not number else b"") + content)
                if file.tell() >= SIZE_BYTES:
                    break
        part.unlink()

    return make


def _split(path: Path, format: str) -> tuple[bytes, bytes]:
    """The header of a file and what follows it."""
    whole = path.read_bytes()
    if format == "text":
        at = whole.index(b"p\n") + 2
    else:
        at = read_header(path).data_byte + (2 if format == "dat" else 0)
    return whole[:at], whole[at:]


def hdf5(path: Path, **packing: Any) -> None:
    """A data set per field, as in DSEC."""
    import h5py
    import hdf5plugin  # noqa: F401  registers the codecs

    with h5py.File(path, "w") as file:
        file.attrs["width"], file.attrs["height"] = WIDTH, HEIGHT
        sets: dict[str, Any] = {}
        for number, events in enumerate(pieces()):
            fields = {"t": events.t_us, "x": events.x, "y": events.y, "p": events.polarity}
            for name, values in fields.items():
                if number == 0:
                    options = {"chunks": (PIECE,), **packing}
                    sets[name] = file.create_dataset(
                        f"events/{name}",
                        dtype=values.dtype,
                        shape=(0,),
                        maxshape=(None,),
                        **options,
                    )
                sets[name].resize((PIECE * (number + 1),))
                sets[name][-PIECE:] = values
            file.flush()
            if path.stat().st_size >= SIZE_BYTES:
                return


def npz(path: Path, packing: int) -> None:
    """An array per field; each is written whole, as archives are."""
    gathered: list[EventStream] = []
    a_piece = PIECE * (13 if packing == zipfile.ZIP_STORED else 5)
    for events in pieces():
        gathered.append(events)
        if len(gathered) * a_piece >= SIZE_BYTES:
            break
    with zipfile.ZipFile(path, "w", packing, compresslevel=1) as archive:
        for name, field in (("t", "t_us"), ("x", "x"), ("y", "y"), ("p", "polarity")):
            values = np.concatenate([getattr(events, field) for events in gathered])
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values)
        for name, side in (("width", WIDTH), ("height", HEIGHT)):
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.array(side))


def mat(path: Path) -> None:
    """A variable per field, not compressed."""
    from scipy.io import savemat

    with np.load(path.with_name("npz.npz")) as archive:
        savemat(path, dict(archive))


def with_frames(format: str | None, *, has_frames: bool) -> Callable[[Path], None]:
    """Events of a DAVIS346 of one long recording, with frames of its size among them or without."""

    def make(path: Path) -> None:
        random = np.random.default_rng(0)
        count, span_us = (22_000_000, 110_000_000) if has_frames else (62_000_000, 310_000_000)
        events = EventStream.from_arrays(
            np.sort(random.integers(0, span_us, count)),
            random.integers(0, 346, count),
            random.integers(0, 260, count),
            random.random(count) < 0.5,
            width=346,
            height=260,
        )
        frames = None
        if has_frames:
            ends = np.arange(1, 2401) * 45_000
            still = random.integers(0, 255, (260, 346, 3)).astype(np.uint8)
            images = np.broadcast_to(still, (len(ends), *still.shape))
            frames = FrameSequence.from_images(images, start_us=ends - 5_000, end_us=ends)
        write_recording(Recording(events, frames, "made"), path, format)

    return make


def video(codec: str) -> Callable[[Path], None]:
    """640×480, one B-frame, the same ten seconds of packets again and again."""

    def make(path: Path) -> None:
        import av

        random = np.random.default_rng(0)
        noise = random.integers(0, 255, (730, 890, 3)).astype(np.uint8)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
            stream.bit_rate, stream.gop_size, stream.max_b_frames = 40_000_000, 25, 1
            packets: list[Any] = []
            for shift in range(250):
                image = np.ascontiguousarray(noise[shift : shift + 480, shift : shift + 640])
                frame = av.VideoFrame.from_ndarray(image, "rgb24")
                frame.pts = shift
                packets += stream.encode(frame)
            packets += stream.encode()
            tick = round(1 / (25 * packets[0].time_base))
            for turn in range(SIZE_BYTES // sum(packet.size for packet in packets)):
                for packet in packets:
                    copy = av.Packet(bytes(packet))
                    copy.stream, copy.time_base = stream, packet.time_base
                    copy.pts, copy.dts = (
                        time_ + 250 * tick * turn for time_ in (packet.pts, packet.dts)
                    )
                    copy.is_keyframe = packet.is_keyframe
                    container.mux(copy)

    return make


FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "evt2": (".raw", words_of("evt2", ".raw")),
    "evt3": (".raw", words_of("evt3", ".raw")),
    "dat": (".dat", words_of("dat", ".dat")),
    "text": (".csv", words_of("text", ".csv")),
    "hdf5": (".h5", hdf5),
    "hdf5 packed": (".h5", lambda path: hdf5(path, **DSEC_CODEC)),
    "npz": (".npz", lambda path: npz(path, zipfile.ZIP_STORED)),
    "npz packed": (".npz", lambda path: npz(path, zipfile.ZIP_DEFLATED)),
    "mat": (".mat", mat),
    "aedat4": (".aedat4", with_frames(None, has_frames=False)),
    "aedat4 with frames": (".aedat4", with_frames(None, has_frames=True)),
    "ros1 with frames": (".bag", with_frames(None, has_frames=True)),
    "avi": (".avi", video("mpeg4")),
    "mpg": (".mpg", video("mpeg2video")),
    "mp4": (".mp4", video("libx264")),
}


def main() -> None:
    """Make the files, or measure what is there of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("task", choices=("make", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FILES)}")
    asked = parser.parse_args()
    for name in asked.names or FILES:
        suffix, make = FILES[name]
        path = asked.folder / f"{name.replace(' ', '-')}{suffix}"
        if asked.task == "make" and not path.exists():
            make(path)
        elif asked.task == "measure" and path.exists():
            print(f"| {name}, {path.stat().st_size / 1e9:.2f} GB | {measured(path)} |", flush=True)


def measured(path: Path) -> str:
    """What was read, events, frames, clock, processor time and peak memory, as cells."""
    picture = path.with_name("picture.png")
    command = [sys.executable, "-m", "evlora", "inspect", str(path), "--out", str(picture)]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    clock_s = time.perf_counter() - start
    if status:
        return f"failed with {os.waitstatus_to_exitcode(status)}"
    found = {name: re.search(rf"^{name} +(.*)$", said, re.MULTILINE) for name in ("part", "events")}
    part = re.match(r"the first ([\d,]+) of", found["part"][1]) if found["part"] else None
    frames = re.search(r"^frames +([\d,]+)$", said, re.MULTILINE)
    cells = (
        f"{part[1]} MB" if part else "all",
        found["events"][1] if found["events"] else "",
        frames[1] if frames else "",
        f"{clock_s:.1f}",
        f"{usage.ru_utime + usage.ru_stime:.1f}",
        f"{usage.ru_maxrss * 1024 / 1e6:.0f}",
    )
    return " | ".join(cells)


if __name__ == "__main__":
    main()
