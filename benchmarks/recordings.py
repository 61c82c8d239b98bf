"""How fast recordings are drawn and simulated, beside tonic in the same run.

    python benchmarks/recordings.py                       # everything at 10 million events
    python benchmarks/recordings.py represent --events 1000000

Every function is run once to warm up and then `--repeats` times, the libraries in turn, and the
medians are compared. The clock is the processor time of this process: none of the functions works
in several threads, and what else the machine does counts less. `decoding.py` measures the reading.
"""

import argparse
import importlib.metadata
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evlora.recordings import EventStream
from evlora.recordings.representations import (
    REPRESENTATIONS,
    equal_windows,
    event_image,
    polarity_counts,
    voxel_grid,
)
from evlora.recordings.simulator import EventSimulator
from evlora.recordings.video_events import simulate_video
from other_libraries import HEIGHT, WIDTH

RATE_HZ = 5_000_000
WINDOWS, BINS = 8, 10
LIBRARIES = ("numpy", "tonic", "torch", "av")


def main() -> None:
    """Run the parts that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parts = {
        "represent": represent,
        "simulate": simulate,
    }
    parser.add_argument("parts", nargs="*", help=f"{', '.join(parts)}; all of them by default")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
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


def structured(events: EventStream, dtype: Any, *, polarity: str = "p") -> Any:
    array = np.empty(len(events), dtype)
    array["t"], array["x"], array["y"] = events.t_us, events.x, events.y
    array[polarity] = events.polarity
    return array


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
