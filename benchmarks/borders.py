"""What it costs to check what comes from outside.

    python benchmarks/borders.py                           # with the checks and without, in turn
    python benchmarks/borders.py --beside ../before/src    # this checkout and another one, in turn

Without `--beside`, one process opens the same files again and again, in turn with the checks and
with functions in their places that check nothing; the ratio is that of the processor times, the
median over the rounds. With it, each round opens them in a process for each of the two checkouts.
"""

import argparse
import contextlib
import functools
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np

OPENINGS = {"evt3": 30, "hdf5": 60, "npz": 60, "csv": 20, "png": 400, "mp4": 60, "pictures": 300}
"""How often each is opened in a round."""
RECIPES, MANIFESTS, ANSWERS = 10, 5, 5
CHECKS: dict[str, Callable[..., Any]] = {
    "evlora.untrusted:plain": lambda path, _error: path,
    "evlora.untrusted:is_folder": lambda path, _error: path.is_dir(),
    "evlora.untrusted:existing": lambda path, _error: path if path.exists() else None,
    "evlora.untrusted:label_fault": lambda _labels: "",
    "evlora.untrusted:name_faults": lambda _names: iter(()),
    "evlora.untrusted_yaml:_require_bounded": lambda _root: None,
    "evlora.recordings.pictures:require_size": lambda _where, _width, _height: None,
    "evlora.recordings.readers.hdf5_items:_require_own_values": lambda _group, _name, _data: None,
    "evlora.recordings.readers.hdf5_attributes:require_sound_heaps": lambda _path: None,
    "evlora.recordings.readers.npz_members:_require_bounded": lambda _path, _archive: None,
}
"""Module and name of what checks, and what stands in its place; checks of a line amid others, a
comparison with a limit, stay."""
SAMPLES = 2000
EVENTS = 200_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--beside", type=Path, help="the folder src of another checkout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[], help="what to open, such as hdf5 recipe")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(json.dumps(measured(arguments.measure)))
        return
    own = Path(__file__).resolve().parents[1] / "src"
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        if arguments.beside is None:
            print_ratios_of_checks(Path(folder), arguments.rounds, arguments.only)
            return
        sides = {"this": own, "beside": arguments.beside}
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


def print_ratios_of_checks(folder: Path, rounds: int, only: list[str]) -> None:
    """Each task, or those whose first words are given, with the checks and without, in turn."""
    print("| what | ms with checks | ratio to without | spread |\n|---|---:|---:|---:|")
    for name, (call, times) in tasks(folder).items():
        if only and name.split()[0] not in only:
            continue
        call()
        call()
        with_ms: list[float] = []
        ratios: list[float] = []
        for number in range(rounds):
            taken = {"with": 0.0, "without": 0.0}
            for turn in range(times):
                # Calls next to each other meet the same machine; who is first changes.
                for side in sorted(taken, reverse=bool((turn + number) % 2)):
                    with contextlib.ExitStack() as stack:
                        if side == "without":
                            stack.enter_context(without_checks())
                        begun = time.process_time()
                        call()
                        taken[side] += time.process_time() - begun
            with_ms.append(1e3 * taken["with"] / times)
            ratios.append(taken["with"] / taken["without"])
        spread = f"{min(ratios):.3f}–{max(ratios):.3f}"
        middle = statistics.median(ratios)
        print(f"| {name} | {statistics.median(with_ms):.2f} | {middle:.3f} | {spread} |")


@contextlib.contextmanager
def without_checks() -> Generator[None]:
    """Wherever a module has imported a check, what checks nothing stands in its place."""
    places = _places_of_checks()
    for module, name, _, stand_in in places:
        setattr(module, name, stand_in)
    try:
        yield
    finally:
        for module, name, check, _ in places:
            setattr(module, name, check)


@functools.cache
def _places_of_checks() -> list[tuple[Any, str, Any, Any]]:
    """Module, name, check and what stands in for it; found once all modules are there."""
    found: list[tuple[Any, str, Any, Any]] = []
    for home, stand_in in CHECKS.items():
        module, _, name = home.partition(":")
        check = getattr(importlib.import_module(module), name)
        found += [
            (other, known, check, stand_in)
            for other in list(sys.modules.values())
            if getattr(other, "__name__", "").startswith("evlora")
            for known, value in list(vars(other).items())
            if value is check
        ]
    return found


def in_a_process(source: Path, folder: str) -> dict[str, float]:
    words = [sys.executable, str(Path(__file__).resolve()), "--measure", folder]
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def make(folder: Path) -> None:
    """The files that are opened."""
    from PIL import Image

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


def tasks(folder: Path) -> dict[str, tuple[Callable[[], Any], int]]:
    """What is done, and how often in a round."""
    import evlora
    from evlora.datasets import prepare, read_manifest
    from evlora.recipe import load_recipe

    def open_file(name: str, **options: Any) -> Callable[[], Any]:
        return lambda: evlora.open_recording(folder / name, **options)

    prepare("csv", folder, folder / "dataset", overwrite=True)  # each checkout reads its own index
    recognizer = evlora.build("demo", num_classes=10).eval()
    recording = evlora.open_recording(folder / "events.npz")
    frames = evlora.open_recording(folder / "video.mp4").frames
    assert frames is not None
    recording = recording.with_frames(frames)
    return {
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


def measured(folder: Path) -> dict[str, float]:
    """Milliseconds of processor time by what is done."""
    taken: dict[str, float] = {}
    for name, (call, times) in tasks(folder).items():
        call()
        begun = time.process_time()
        for _ in range(times):
            call()
        taken[name] = 1e3 * (time.process_time() - begun) / times
    return taken


if __name__ == "__main__":
    main()
