#!/bin/bash
# eventcv reads the text that it wrote of a recording shorter than a second with times that are a
# thousand times too large.
#
# The text holds whole microseconds, and eventcv guesses their unit from their size: what ends below
# a million is taken for milliseconds. HDF5 of others, without a note of its own in it, fares the
# same. With time_unit="microseconds" the times are right.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "eventcv==1.0.8" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import eventcv
import numpy as np

folder = Path(sys.argv[1])
print("eventcv", version("eventcv"))
for last_us in (900_000, 1_100_000):
    t = np.linspace(1_000, last_us, 5).astype(np.int64)
    rows = np.stack([np.full(5, 639), np.full(5, 479), t, np.ones(5)], axis=1).astype(np.int64)
    stream = eventcv.from_numpy(rows, sensor_size=(640, 480), time_unit="us")
    for suffix in ("txt", "npz"):
        path = str(folder / f"{last_us}.{suffix}")
        eventcv.save(stream, path)
        read = eventcv.load(path).numpy()[:, 2].astype(np.int64)
        print(f"{suffix}: written {t.tolist()} µs, read {read.tolist()} µs")
        is_right = read.tolist() == t.tolist()
        if suffix == "txt" and last_us == 900_000:
            assert read.tolist() == (1000 * t).tolist(), "eventcv no longer multiplies"
        print("   ", "right" if is_right else f"wrong: {read[-1] / t[-1]:g} times")
PYTHON
"$folder/venv/bin/python" "$folder/check.py" "$folder"
