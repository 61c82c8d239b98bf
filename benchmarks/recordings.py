"""How fast recordings are read, drawn and simulated, beside other libraries in the same run.

    python benchmarks/recordings.py                       # everything at 10 million events
    python benchmarks/recordings.py decode --events 1000000

Every function is run once to warm up and then `--repeats` times, the libraries in turn, and the
medians are compared. The clock is the processor time of this process: none of the functions
decodes in several threads, and what else the machine does counts less. What a library decodes is
compared with what was written: a wrong result is marked, and is no competitor.
"""

import argparse
import importlib.metadata
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evlora.errors import RecordingWarning
from evlora.recordings import EventStream, Recording, open_recording
from evlora.recordings.representations import (
    REPRESENTATIONS,
    equal_windows,
    event_image,
    polarity_counts,
    voxel_grid,
)
from evlora.recordings.simulator import EventSimulator
from evlora.recordings.video_events import simulate_video
from evlora.recordings.writers import write_recording

WIDTH, HEIGHT = 640, 480
RATE_HZ = 5_000_000
WINDOWS, BINS = 8, 10
LIBRARIES = ("numpy", "h5py", "aedat", "faery", "expelliarmus", "tonic", "torch", "av")


class Fields(NamedTuple):
    """What a library decoded, one array per field."""

    t_us: Any
    x: Any
    y: Any
    polarity: Any


Decode = Callable[[], Fields]


def main() -> None:
    """Run the parts that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parts = {
        "decode": decode,
        "represent": represent,
        "simulate": simulate,
    }
    parser.add_argument("parts", nargs="*", help=f"{', '.join(parts)}; all of them by default")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--formats", nargs="*", help="of decode; all of them by default")
    options = parser.parse_args()
    warnings.simplefilter("ignore", RecordingWarning)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in LIBRARIES))
    with tempfile.TemporaryDirectory() as folder:
        for part in options.parts or parts:
            print(f"\n## {part}\n")
            parts[part](Path(folder), options)


def version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def measure(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median processor seconds of each function, the functions taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            start = time.process_time()
            function()
            if turn:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def generate(count: int, *, width: int = WIDTH, height: int = HEIGHT) -> EventStream:
    """Two thirds of the events on a turning ellipse, one third anywhere."""
    random = np.random.default_rng(0)
    t_us = np.sort(random.integers(0, max(1, count * 1_000_000 // RATE_HZ), count))
    angle = t_us * 6e-5 + random.normal(0, 0.2, count)
    x = width * (0.5 + 0.35 * np.cos(angle)) + random.normal(0, 2, count)
    y = height * (0.5 + 0.35 * np.sin(angle)) + random.normal(0, 2, count)
    anywhere = random.random(count) < 1 / 3
    x[anywhere] = random.integers(0, width, np.count_nonzero(anywhere))
    y[anywhere] = random.integers(0, height, np.count_nonzero(anywhere))
    return EventStream.from_arrays(
        t_us,
        np.clip(x, 0, width - 1).astype(np.uint16),
        np.clip(y, 0, height - 1).astype(np.uint16),
        random.random(count) < 0.5,
        width=width,
        height=height,
    )


# --- decoding -----------------------------------------------------------------------------------


def decode(folder: Path, options: argparse.Namespace) -> None:
    """Read each format with every library that reads it."""
    print("| format | library | million events/s | evlora is × as fast | result |")
    print("|---|---|---|---|---|")
    for name, (suffix, write, readers) in formats().items():
        if options.formats and name not in options.formats:
            continue
        size = (34, 34) if name == "nmnist" else (WIDTH, HEIGHT)
        events = generate(options.events, width=size[0], height=size[1])
        path = folder / f"made{suffix}"
        write(path, events)
        functions: dict[str, Decode] = {"evlora": lambda path=path, size=size: ours(path, *size)}
        for library, reader in readers.items():
            functions[library] = lambda path=path, reader=reader: reader(path)
        results = {library: verdict(function, events) for library, function in functions.items()}
        able = {key: function for key, function in functions.items() if "error" not in results[key]}
        seconds = measure(able, options.repeats)
        for library, result in results.items():
            if library not in seconds:
                print(f"| {name} | {library} | | | {result} |")
                continue
            rate = options.events / seconds[library] / 1e6
            ratio = seconds[library] / seconds["evlora"]
            print(f"| {name} | {library} | {rate:.1f} | {ratio:.2f} | {result} |", flush=True)
        path.unlink()


def ours(path: Path, width: int, height: int) -> Fields:
    events = open_recording(path, width=width, height=height).events
    assert events is not None
    return Fields(events.t_us, events.x, events.y, events.polarity)


def verdict(function: Decode, events: EventStream) -> str:
    """Whether a library's events are those that were written."""
    try:
        got = function()
    except Exception as error:
        return f"error: {str(error)[:60]}"
    if len(got.t_us) != len(events):
        return f"wrong: {len(got.t_us):,} events"
    wrong = [
        field
        for field in Fields._fields
        if not np.array_equal(np.asarray(getattr(got, field)), getattr(events, field))
    ]
    if not wrong:
        return "right"
    if wrong == ["t_us"] and len(events):
        shift = np.asarray(got.t_us).astype(np.int64) - events.t_us
        if (shift == shift[0]).all():
            return f"right, times from {got.t_us[0]} µs"
        share = 100 * np.count_nonzero(shift) / len(events)
        return f"wrong: {share:.1f} % of the times"
    return f"wrong: {', '.join(wrong)}"


def formats() -> dict[str, tuple[str, Callable[[Path, EventStream], None], Mapping[str, Any]]]:
    """Name → suffix, how to write it, and the other libraries that read it."""
    wizards = {kind: by_expelliarmus(kind) for kind in ("evt2", "evt3", "dat")}
    return {
        "aedat4": (".aedat4", write_faery(None), {"faery": by_faery, "tonic": by_tonic_aedat4}),
        "evt2": (".raw", write_ours("evt2"), {"faery": by_faery, **wizards["evt2"]}),
        "evt2.1": (".raw", write_evt21, {}),  # faery names it, but has no decoder for it
        "evt3": (".raw", write_ours("evt3"), {"faery": by_faery, **wizards["evt3"]}),
        "dat": (".dat", write_faery("dat2"), {"faery": by_faery, **wizards["dat"]}),
        "es": (".es", write_ours("es"), {"faery": by_faery}),
        "nmnist": (".bin", write_nmnist, {"tonic": by_tonic_nmnist}),
        "hdf5": (".h5", write_ours("hdf5"), {"h5py alone": by_h5py}),
        "npz": (".npz", write_ours("npz"), {"numpy alone": by_npz}),
        "npy": (".npy", write_npy, {"numpy alone": by_npy}),
        "text": (".csv", write_plain_csv, {"faery": by_faery_csv}),
    }


def write_ours(format: str) -> Callable[[Path, EventStream], None]:
    return lambda path, events: write_recording(Recording(events, None, "made"), path, format)


def write_faery(version: Any) -> Callable[[Path, EventStream], None]:
    import faery

    def write(path: Path, events: EventStream) -> None:
        array = structured(events, faery.EVENTS_DTYPE, polarity="on")
        stream = faery.events_stream_from_array(array, (events.width, events.height))
        stream.to_file(path, version=version, zero_t0=False)

    return write


def write_evt21(path: Path, events: EventStream) -> None:
    """One event a word, which no camera would do: real files have fewer words and read faster."""
    fields = (events.t_us & 63, events.x & 0xFFE0, events.y)
    time_low, column, row = (values.astype(np.uint64) for values in fields)
    word = events.polarity.astype(np.uint64) << 60 | time_low << 54 | column << 43 | row << 32
    word |= np.uint64(1) << (events.x & 31).astype(np.uint64)
    high = (events.t_us >> 6).astype(np.uint64)
    starts = np.flatnonzero(np.diff(high, prepend=high[:1] + np.uint64(1)))
    words = np.insert(word, starts, np.uint64(8) << 60 | high[starts] << 32)
    size = f"width={events.width};height={events.height}"
    header = f"% evt 2.1\n% format EVT21;endianness=little;{size}\n% end\n"
    path.write_bytes(header.encode() + words.astype("<u8").tobytes())


def write_nmnist(path: Path, events: EventStream) -> None:
    packed = events.polarity.astype(np.int64) << 23 | events.t_us & 0x7FFFFF
    columns = (events.x, events.y, packed >> 16, packed >> 8 & 0xFF, packed & 0xFF)
    path.write_bytes(np.stack(columns, axis=1).astype(np.uint8).tobytes())


def write_plain_csv(path: Path, events: EventStream) -> None:
    """A header line and nothing else that only evlora understands."""
    write_recording(Recording(events, None, "made"), path, "text")
    _, _, content = path.read_bytes().partition(b"\n")
    path.write_bytes(content)


def write_npy(path: Path, events: EventStream) -> None:
    np.save(path, structured(events, [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")]))


def structured(events: EventStream, dtype: Any, *, polarity: str = "p") -> Any:
    array = np.empty(len(events), dtype)
    array["t"], array["x"], array["y"] = events.t_us, events.x, events.y
    array[polarity] = events.polarity
    return array


def by_faery(path: Path) -> Fields:
    import faery

    array = faery.events_stream_from_file(path).to_array()
    return Fields(array["t"], array["x"], array["y"], array["on"])


def by_faery_csv(path: Path) -> Fields:
    import faery

    array = faery.events_stream_from_file(path, dimensions_fallback=(WIDTH, HEIGHT)).to_array()
    return Fields(array["t"], array["x"], array["y"], array["on"])


def by_expelliarmus(encoding: str) -> Mapping[str, Callable[[Path], Fields]]:
    try:
        from expelliarmus import Wizard
    except ImportError:
        return {}

    def read(path: Path) -> Fields:
        array = Wizard(encoding=encoding).read(path)
        return Fields(array["t"], array["x"], array["y"], array["p"])

    return {"expelliarmus": read}


def by_tonic_aedat4(path: Path) -> Fields:
    import tonic

    array = tonic.io.read_aedat4(str(path))
    return Fields(array["t"], array["x"], array["y"], array["on"])


def by_tonic_nmnist(path: Path) -> Fields:
    import tonic

    array = tonic.io.read_mnist_file(str(path), dtype=tonic.io.events_struct)
    return Fields(array["t"], array["x"], array["y"], array["p"])


def by_h5py(path: Path) -> Fields:
    import h5py

    with h5py.File(path) as file:
        group = file["events"]
        return Fields(group["t"][:], group["x"][:], group["y"][:], group["p"][:].astype(bool))


def by_npz(path: Path) -> Fields:
    with np.load(path) as arrays:
        return Fields(arrays["t"], arrays["x"], arrays["y"], arrays["p"])


def by_npy(path: Path) -> Fields:
    array = np.load(path)
    return Fields(*(np.ascontiguousarray(array[name]) for name in "txyp"))


# --- representations ----------------------------------------------------------------------------


def represent(folder: Path, options: argparse.Namespace) -> None:
    """Turn events into arrays, beside tonic's transforms on the same events."""
    import tonic

    events = generate(options.events)
    sensor = (WIDTH, HEIGHT, 2)
    # Whole-numbered polarity: with tonic's default, a bool, its voxel grid counts OFF as ON.
    array = structured(events, [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "i1")])
    to_frame = tonic.transforms.ToFrame(sensor, n_time_bins=WINDOWS)
    to_voxel_grid = tonic.transforms.ToVoxelGrid(sensor, n_time_bins=BINS)
    windows, whole = equal_windows(events, WINDOWS), equal_windows(events, 1)
    pairs: dict[str, dict[str, Callable[[], Any]]] = {
        f"polarity counts, {WINDOWS} windows / ToFrame": {
            "evlora": lambda: polarity_counts(events, windows),
            "tonic": lambda: to_frame(array),
        },
        f"voxel grid, {BINS} bins / ToVoxelGrid": {
            "evlora": lambda: voxel_grid(events, whole, bins=BINS),
            "tonic": lambda: to_voxel_grid(array),
        },
        f"event image, {WINDOWS} windows / ToFrame": {
            "evlora": lambda: event_image(events, windows),
            "tonic": lambda: to_frame(array),
        },
    }
    print("| task | evlora, million events/s | tonic, million events/s | evlora is × as fast |")
    print("|---|---|---|---|")
    for task, functions in pairs.items():
        seconds = measure(functions, options.repeats)
        rates = [options.events / seconds[library] / 1e6 for library in ("evlora", "tonic")]
        print(
            f"| {task} | {rates[0]:.0f} | {rates[1]:.1f} | {rates[0] / rates[1]:.1f} |", flush=True
        )
    kept = int(polarity_counts(events, windows).sum()), int(to_frame(array).sum())
    print(
        f"\nEvents in the slices: {kept[0]:,} of evlora, {kept[1]:,} of tonic, "
        f"{len(events):,} in all"
    )
    print("\n| representation | million events/s |\n|---|---|")
    for name, function in REPRESENTATIONS.items():
        run = {name: lambda function=function: function(events, windows)}
        rate = options.events / measure(run, options.repeats)[name] / 1e6
        print(f"| {name}, {WINDOWS} windows | {rate:.0f} |", flush=True)


# --- simulator ----------------------------------------------------------------------------------


def simulate(folder: Path, options: argparse.Namespace) -> None:
    """Events of a moving texture at a DAVIS346's size, on one core."""
    frames = moving_texture(300)
    video = folder / "texture.mp4"
    write_video(video, frames)
    counts: dict[str, int] = {}

    def from_memory() -> None:
        simulator = EventSimulator(width=346, height=260)
        pushed = (simulator.push(frame, 33_333 * n) for n, frame in enumerate(frames))
        counts["frames in memory"] = sum(map(len, pushed))

    def from_video() -> None:
        counts["video file, decoding included"] = sum(map(len, simulate_video(video)))

    functions = {"frames in memory": from_memory, "video file, decoding included": from_video}
    seconds = measure(functions, options.repeats)
    print("| 346×260, default sensor | frames/s | events per frame |\n|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {len(frames) / value:.0f} | {counts[name] / len(frames):,.0f} |")


def moving_texture(count: int) -> list[Any]:
    """A cloud with the spectrum of natural pictures, 1/f, that drifts by a pixel a frame."""
    size = 1024
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = np.inf
    phase = np.exp(2j * np.pi * random.random(frequency.shape))
    cloud = np.fft.irfft2(phase / frequency, s=(size, size))
    cloud = np.clip(128 + 50 * cloud / cloud.std(), 0, 255).astype(np.uint8)
    return [cloud[n // 2 : n // 2 + 260, n : n + 346].copy() for n in range(count)]


def write_video(path: Path, frames: list[Any]) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 346, 260, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())


if __name__ == "__main__":
    main()
