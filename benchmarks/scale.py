"""What it costs to open an index of a million samples and to draw from it.

    python benchmarks/scale.py
    python benchmarks/scale.py --before ../before/src     # a checkout of an earlier version

The index is made for it: N samples of K classes, files not looked for. Each version opens it in a
process of its own, in turns: processor time and the peak of its memory are those of the process,
imports counted in memory and not in time. *Drawing* reads 10,000 samples of train in random order,
from the share of the second of two ranks.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

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
SPLITS = ("train",) * 8 + ("val", "test")


def main() -> None:
    """Make the index, open it with each version in turns, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="the folder src of another version")
    arguments = parser.parse_args()
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


if __name__ == "__main__":
    main()
