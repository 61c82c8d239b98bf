"""How fast recordings are decoded, beside other libraries in the same run.

    python benchmarks/decoding.py                          # every format at 4 million events
    python benchmarks/decoding.py --formats evt3 dat --environments ~/peers

Each library runs in a process and a virtual environment of its own, which `--environments` keeps
for the next run; by default they are made in a temporary folder. All read the same file, which is
in the page cache, and take turns; the medians behind one warm-up are compared. The clock is the
processor time of the process. What a library decodes is compared with what was written: a wrong
result is marked, and is no competitor.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np

from evlora.recordings import EventStream, Recording
from evlora.recordings.writers import write_recording
from other_libraries import FORMATS, HEIGHT, READERS, WIDTH
from recordings import generate

PACKAGES = {
    "evutils": ("evutils[hdf5]==0.3.18",),
    "evt3": ("evt3==0.4.1",),
    "faery": ("faery==0.7.1",),
    "eventcv": ("eventcv==1.0.8",),
    "evlib": ("evlib==0.13.2",),
    "expelliarmus": ("expelliarmus==1.1.12",),
    "aedat": ("aedat==2.3.0",),
    "tonic": ("tonic==1.7.0", "aedat==2.3.0"),
    "h5py": ("h5py==3.16.0",),
}
SUFFIXES = {"aedat4": ".aedat4", "dat": ".dat", "es": ".es", "hdf5": ".h5", "npz": ".npz"}
PIXELS_TOGETHER = 8
"""Mean length of the runs of pixels that fire at once, where vectors are to be written."""


def main() -> None:
    """Measure the formats that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--formats", nargs="*", default=FORMATS, choices=FORMATS)
    parser.add_argument("--libraries", nargs="*", default=list(PACKAGES), choices=list(PACKAGES))
    parser.add_argument("--events", type=int, default=4_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--environments", type=Path, help="folder of the virtual environments")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(", ".join(package for name in options.libraries for package in PACKAGES[name]), "\n")
    print("| format | library | million events/s | evlora is × as fast | checked | × | result |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        environments = (options.environments or folder / "environments").expanduser()
        for format in options.formats:
            readers = {"evlora": sys.executable}
            for library in options.libraries:
                if format in READERS[library]:
                    readers[library] = python_of(environments, library)
            events = moving_edges(options.events) if "vectors" in format else None
            compare(format, readers, events or generate(options.events), folder, options.repeats)


def python_of(environments: Path, library: str) -> str:
    """The interpreter of a library's environment, which is made where it is not there."""
    folder = environments / library
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "-q", *PACKAGES[library], "numpy"]
        subprocess.run(install, check=True)
    return str(python)


def moving_edges(count: int) -> EventStream:
    """Runs of neighbouring pixels in a row that fire at once, as a fast edge makes them."""
    random = np.random.default_rng(0)
    lengths = random.geometric(1 / PIXELS_TOGETHER, count)
    lengths = np.minimum(lengths, WIDTH // 2)
    runs = int(np.searchsorted(np.cumsum(lengths), count)) + 1
    lengths = lengths[:runs]
    first_x = random.integers(0, WIDTH - lengths)
    t_us = np.sort(random.integers(0, max(1, count // 20), runs))
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return EventStream.from_arrays(
        np.repeat(t_us, lengths)[:count],
        (np.repeat(first_x, lengths) + within)[:count],
        np.repeat(random.integers(0, HEIGHT, runs), lengths)[:count],
        np.repeat(random.random(runs) < 0.5, lengths)[:count],
        width=WIDTH,
        height=HEIGHT,
    )


def write(format: str, path: Path, events: EventStream) -> None:
    """Write the file that all libraries read."""
    name = format.split(" ", maxsplit=1)[0]
    write_recording(Recording(events, None, "made"), path, name)
    if format == "text":  # without the header lines, which not all libraries know
        _, _, content = path.read_bytes().partition(b"p\n")
        path.write_bytes(content)
    if format == "evt2.1":  # as the IMX636 sends it, the upper half of a word first
        header, mark, words = path.read_bytes().partition(b"% end\n")
        halves = np.frombuffer(words, "<u4").reshape(-1, 2)[:, ::-1]
        header = header.replace(b"endianness=little", b"endianness=legacy")
        path.write_bytes(header + mark + halves.tobytes())


def compare(
    format: str, pythons: dict[str, str], events: EventStream, folder: Path, repeats: int
) -> None:
    """Print a row for each library."""
    suffix = ".csv" if format == "text" else SUFFIXES.get(format, ".raw")
    path, written = folder / f"made{suffix}", folder / "written.npz"
    write(format, path, events)
    np.savez(written, t=events.t_us, x=events.x, y=events.y, p=events.polarity)
    script = str(Path(__file__).with_name("other_libraries.py"))
    processes = {
        library: subprocess.Popen(
            [python, script, library, format, str(path), str(written)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for library, python in pythons.items()
    }
    answers: dict[str, list[dict[str, Any]]] = {library: [] for library in processes}
    for _ in range(repeats + 1):
        for library, process in processes.items():
            answers[library].append(ask(process))
    for process in processes.values():
        process.communicate()
    rows = {library: medians(turns[1:]) for library, turns in answers.items()}
    ours = rows["evlora"]
    if "processor_s" not in ours:
        raise SystemExit(f"{format}: {ours['result']}")
    for library, row in rows.items():
        cells = [format, library, "", "", "", "", row["result"]]
        for column, key in ((2, "processor_s"), (4, "checked_s")):
            if key in row:
                cells[column] = f"{len(events) / row[key] / 1e6:.1f}"
                cells[column + 1] = f"{row[key] / ours[key]:.2f}"
        print(f"| {' | '.join(cells)} |", flush=True)
    path.unlink()


def ask(process: subprocess.Popen[str]) -> dict[str, Any]:
    """One reading by a library."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write("read\n")
        process.stdin.flush()
    except BrokenPipeError:
        return {"result": "the process ended"}
    for line in process.stdout:
        if line.startswith('{"'):  # some libraries print messages of their own
            return json.loads(line)
    return {"result": "the process ended"}


def medians(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians of the times, and the result of the last turn."""
    times = {
        key: statistics.median(turn[key] for turn in turns)
        for key in ("processor_s", "wall_s", "checked_s")
        if all(key in turn for turn in turns)
    }
    return {**times, "result": turns[-1]["result"]}


if __name__ == "__main__":
    main()
