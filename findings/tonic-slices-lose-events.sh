#!/bin/bash
# tonic's slices by time lose events, with times in seconds all of them.
#
# A fixed number of bins divides the duration as whole numbers ("//"): in µs the last event and up to
# bins - 1 µs are lost; of times in seconds, as MVSEC and text files have them, the bins are 0 long
# in a recording shorter than their number in seconds, and the frames are empty, without a word.
# include_incomplete=True, which means to keep the last slice that is shorter, loses the last event
# where the duration is a multiple of the window: the example in SliceByTime's own description
# (times 0, 150, 299, 300, windows of 100, four slices with the event at 300 in the last) gives three.
# evio's frames hold every event.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "tonic==1.7.0" "evio==0.1.0" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
from importlib.metadata import version

import evio
import numpy as np
from tonic import slicers, transforms

print("tonic", version("tonic"), "evio", version("evio"))
size = (4, 1, 2)


def events(times: np.ndarray, dtype: str) -> np.ndarray:
    made = np.zeros(len(times), np.dtype([("x", "i2"), ("y", "i2"), ("t", dtype), ("p", bool)]))
    made["t"] = times
    return made


example = events(np.array([0, 150, 299, 300]), "i8")
slicer = slicers.SliceByTime(time_window=100, include_incomplete=True)
slices = [part["t"].tolist() for part in slicer.slice(example, None)[0]]
print("times 0, 150, 299, 300 in windows of 100:", slices)
assert sum(slices, []) == [0, 150, 299], "SliceByTime now keeps the last event"
whole = evio.from_arrays(*np.zeros((2, 4), int), example["t"], np.zeros(4))
kept = int(evio.representations.frames(whole, 100, size[:2]).sum())
print("events in evio's frames of 100:", kept, "of 4")
assert kept == 4

to_frames = transforms.ToFrame(sensor_size=size, n_time_bins=8)
times_us = np.arange(1_000) * 1_007
for unit, times, dtype in (("µs", times_us, "i8"), ("s", times_us / 1e6, "f8")):
    counted = to_frames(events(times, dtype)).sum(axis=(1, 2, 3)).tolist()
    print(f"1,000 events of about a second in 8 bins, times in {unit}: {counted}, sum {sum(counted)}")
    if unit == "s":
        assert sum(counted) == 0, "ToFrame now slices times in seconds"
    else:
        assert sum(counted) == 999, "ToFrame now counts the last event"
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
