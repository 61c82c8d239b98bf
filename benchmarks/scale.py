"""What it costs to open an index of a million samples, to draw from it, and to train its classes.

    python benchmarks/scale.py
    python benchmarks/scale.py --before ../before/src     # a checkout of an earlier version
    python benchmarks/scale.py --train                    # an epoch, scores and answers instead

The index is made for it: N samples of K classes, files not looked for. Each version opens it in a
process of its own, in turns: processor time and the peak of its memory are those of the process,
imports counted in memory and not in time. *Drawing* reads 10,000 samples of train in random order,
from the share of the second of two ranks.

With --train, K classes of a picture to train with and one to test with (32 px of noise around a
pattern) go through `prepare`, an epoch of `own_recordings`, `evaluate` and `predict`, a process
each: the time of its processor, the peak of its memory, and the size of what it writes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

OPENING = """
import json, random, resource, sys, time
from evlora.datasets.storage import read_manifest
begun = time.process_time()
manifest = read_manifest(sys.argv[1], checks_files=False)
opened = time.process_time()
samples = manifest.split("train")
order = list(range(len(samples)))
random.Random(0).shuffle(order)
labels = {samples[i].label for i in order[1::2][:10_000]}
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
drawn = time.process_time()
print(json.dumps({"opening": opened - begun, "drawing": drawn - opened, "peak_mb": peak_mb}))
"""
TRAINING = ("training.epochs=1", "training.batch_size=64", "data.validation_fraction=0")
SPLITS = ("train",) * 8 + ("val", "test")


def main() -> None:
    """Make the index, open it with each version in turns, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="the folder src of another version")
    parser.add_argument("--train", action="store_true", help="train instead of opening an index")
    arguments = parser.parse_args()
    if arguments.train:
        with tempfile.TemporaryDirectory() as folder:
            print_training(Path(folder), arguments.classes)
        return
    versions = {"before": arguments.before, "now": Path(__file__).parents[1] / "src"}
    with tempfile.TemporaryDirectory() as folder:
        write_index(Path(folder), arguments.samples, arguments.classes)
        found: dict[str, list[dict[str, float]]] = {}
        for _ in range(arguments.rounds):
            for name, source in versions.items():
                if source is not None:
                    found.setdefault(name, []).append(opened(Path(folder), source))
    print(f"{arguments.samples:,} samples, {arguments.classes:,} classes, least of each")
    print("| version | opening, s | drawing 10,000, s | peak, MB |")
    print("|---|---|---|---|")
    for name, rounds in found.items():
        least = {key: min(one[key] for one in rounds) for key in rounds[0]}
        cells = (f"{least['opening']:.1f}", f"{least['drawing']:.2f}", f"{least['peak_mb']:.0f}")
        print(f"| {name} | {' | '.join(cells)} |")


def write_index(folder: Path, samples: int, classes: int) -> None:
    """A prepared dataset whose files are nowhere."""
    labels = [f"class {number:05d}" for number in range(classes)]
    splits = [SPLITS[number % len(SPLITS)] for number in range(samples)]
    with (folder / "manifest.jsonl").open("w") as file:
        for number, split in enumerate(splits):
            label = labels[number % classes]
            name = f"{split}/{label}/{number:07d}"
            line = {"sample": name, "events": f"{name}.npz", "frames": None, "label": label}
            file.write(json.dumps(line | {"split": split}) + "\n")
    about = {"format": "evlora dataset", "version": 1, "layout": "csv", "source": str(folder)}
    about |= {"labels": labels, "counts": dict(Counter(splits))}
    (folder / "dataset.json").write_text(json.dumps(about))


def opened(folder: Path, source: Path) -> dict[str, float]:
    """What a version needs, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(source)}
    command = [sys.executable, "-c", OPENING, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def print_training(folder: Path, classes: int) -> None:
    """Take pictures of these classes from a table to answers, and print what each step costs."""
    write_pictures(folder / "pictures", classes)
    source, dataset, run = (str(folder / name) for name in ("pictures", "dataset", "run"))
    steps: dict[str, tuple[list[str], str]] = {
        "prepare": (["prepare", "csv", source, dataset], dataset),
        "train, one epoch": (
            ["train", "own_recordings", f"data.root={dataset}", f"run.dir={run}", *TRAINING],
            f"{run}/bundle",
        ),
        "evaluate --json": (["evaluate", f"{run}/bundle", dataset, "--json"], "scores.json"),
        "predict one picture": (["predict", f"{run}/bundle", f"{source}/0_test.png"], "answer"),
    }
    print(f"{classes:,} classes, {classes:,} clips to train with and to test with")
    print("| step | processor, s | peak, MB | written, MB |\n|---|---|---|---|")
    for name, (words, out) in steps.items():
        seconds, peak_mb = cost_of(words, folder / out)
        size = sum(path.stat().st_size for path in [folder / out, *(folder / out).rglob("*")])
        print(f"| {name} | {seconds:.1f} | {peak_mb:.0f} | {size / 1e6:.1f} |", flush=True)


def write_pictures(folder: Path, classes: int) -> None:
    """Two pictures of each class, and their table."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    rows = ["split,frame,label"]
    for number in range(classes):
        pattern = np.kron(generator.integers(20, 236, (4, 4, 3)), np.ones((8, 8, 1), int))
        for split in ("train", "test"):
            pixels = (pattern + generator.integers(-9, 10, pattern.shape)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}_{split}.png")
            rows.append(f"{split},{number}_{split}.png,class {number:05d}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")


def cost_of(words: Sequence[str], out: Path) -> tuple[float, float]:
    """Seconds of the processor and the peak in MB of a command, whose output goes to `out`."""
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen([sys.executable, "-m", "evlora", *words], stdout=printed)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"evlora {words[0]} failed")
        printed.seek(0)
        if not out.exists():
            out.write_bytes(printed.read())
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
