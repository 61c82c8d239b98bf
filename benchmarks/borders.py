"""What it costs to check what comes from outside: this checkout beside another one, in turn.

    python benchmarks/borders.py --beside ../before/src

Each round opens the same files in a process for each of the two, which take turns; the ratio of
their processor times is the median over the rounds, the spread is that of the rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

OPENINGS = {"evt3": 30, "hdf5": 60, "npz": 60, "csv": 20, "png": 400, "mp4": 60, "pictures": 300}
"""How often each is opened in a round."""
RECIPES, MANIFESTS, ANSWERS = 10, 5, 5
SAMPLES = 2000
EVENTS = 200_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--beside", type=Path, help="the folder src of another checkout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(json.dumps(measured(arguments.measure)))
        return
    own = Path(__file__).resolve().parents[1] / "src"
    sides = {"this": own, "beside": arguments.beside or own}
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        rounds = []
        for number in range(arguments.rounds):
            order = list(sides) if number % 2 else list(sides)[::-1]
            taken = {name: in_a_process(sides[name].resolve(), folder) for name in order}
            rounds.append(taken)
    print("| what | ms beside | ms here | ratio | spread |\n|---|---:|---:|---:|---:|")
    for kind in rounds[0]["this"]:
        ratios = sorted(one["this"][kind] / one["beside"][kind] for one in rounds)
        before, here = (
            statistics.median(one[side][kind] for one in rounds) for side in ("beside", "this")
        )
        spread = f"{ratios[0]:.2f}–{ratios[-1]:.2f}"
        print(
            f"| {kind} | {before:.2f} | {here:.2f} | {statistics.median(ratios):.3f} | {spread} |"
        )


def in_a_process(source: Path, folder: str) -> dict[str, float]:
    words = [sys.executable, str(Path(__file__).resolve()), "--measure", folder]
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def make(folder: Path) -> None:
    """The files that are opened."""
    from PIL import Image

    from evlora.datasets import prepare
    from evlora.datasets.layouts.generated_videos import write_video
    from evlora.recordings import EventStream, Recording
    from evlora.recordings.writers import write_recording

    random = np.random.default_rng(0)
    fields = (np.sort(random.integers(0, 10**6, EVENTS)), *random.integers(0, 240, (2, EVENTS)))
    events = EventStream.from_arrays(*fields, random.integers(0, 2, EVENTS), width=346, height=260)
    recording = Recording(events, None, "npz", None)
    for name in ("events.raw", "events.h5", "events.npz", "events.csv"):
        write_recording(recording, folder / name, "evt3" if name.endswith("raw") else None)
    frames = random.integers(0, 255, (16, 64, 64, 3), np.uint8)
    write_video(folder / "video.mp4", frames)
    (folder / "pictures").mkdir()
    for number in range(SAMPLES):
        Image.fromarray(frames[number % 16]).save(folder / "pictures" / f"{number}.png")
    rows = [f"train,pictures/{number}.png,{number % 2}" for number in range(SAMPLES)]
    (folder / "index.csv").write_text("\n".join(["split,frame,label", *rows, ""]))
    prepare("csv", folder, folder / "dataset")


def measured(folder: Path) -> dict[str, float]:
    """Milliseconds of processor time by what is done."""
    import evlora
    from evlora.datasets import read_manifest
    from evlora.recipe import load_recipe

    def open_file(name: str, **options: Any) -> Callable[[], Any]:
        return lambda: evlora.open_recording(folder / name, **options)

    recognizer = evlora.build("demo", num_classes=10).eval()
    recording = evlora.open_recording(folder / "events.npz")
    recording = recording.with_frames(evlora.open_recording(folder / "video.mp4").frames)
    done: dict[str, tuple[Callable[[], Any], int]] = {
        "evt3": (open_file("events.raw"), OPENINGS["evt3"]),
        "hdf5": (open_file("events.h5"), OPENINGS["hdf5"]),
        "npz": (open_file("events.npz"), OPENINGS["npz"]),
        "csv": (open_file("events.csv", width=346, height=260), OPENINGS["csv"]),
        "png": (lambda: open_file("pictures/0.png")().frames.take([0]), OPENINGS["png"]),
        "mp4": (lambda: open_file("video.mp4")().frames.take([3]), OPENINGS["mp4"]),
        "folder of pictures": (open_file("pictures"), OPENINGS["pictures"] // 10),
        "recipe": (lambda: load_recipe("demo"), RECIPES),
        f"manifest of {SAMPLES} samples": (lambda: read_manifest(folder / "dataset"), MANIFESTS),
        "prediction": (lambda: evlora.predict(recognizer, recording), ANSWERS),
    }
    taken: dict[str, float] = {}
    for name, (call, times) in done.items():
        call()
        begun = time.process_time()
        for _ in range(times):
            call()
        taken[name] = 1e3 * (time.process_time() - begun) / times
    return taken


if __name__ == "__main__":
    main()
