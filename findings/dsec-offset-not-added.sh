#!/bin/bash
# eventcv and evlib read DSEC's event files without the offset of their clock.
#
# DSEC states that t_offset must be added to the times of the events, and that only then are they
# in the clock of the images (https://dsec.ifi.uzh.ch/data-format/). Both readers take the layout
# without a word and return times from 0, so that no event falls into any image's exposure.
# evutils adds the offset. eventcv is given the unit, as it guesses that from the size of the times.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "eventcv==1.0.8" "evlib==0.13.2" "evutils==0.3.18" \
  "h5py==3.16.0" "hdf5plugin==7.1.0" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
import sys
from importlib.metadata import version

import eventcv
import evlib
import h5py
import numpy as np
from evutils.io import EventReader

path = sys.argv[1]
t = np.array([0, 1_000, 2_500, 1_200_000], np.uint32)
offset = 51_648_500_652
with h5py.File(path, "w") as file:
    for name, dtype in (("x", "u2"), ("y", "u2"), ("p", "u1")):
        file[f"events/{name}"] = np.array([1, 0, 1, 0], dtype)
    file["events/t"] = t
    file["ms_to_idx"] = np.searchsorted(t, np.arange(1_201) * 1_000).astype(np.uint64)
    file["t_offset"] = np.int64(offset)
names = ("eventcv", "evlib", "evutils")
print(", ".join(f"{name} {version(name)}" for name in names))
expected = (t.astype(np.int64) + offset).tolist()
print("in the clock of the images:", expected)
events = eventcv.load(path, time_unit="microseconds").numpy()
read = {"eventcv": events[:, 2].astype(int).tolist()}
table = evlib.load_events(path).collect()
read["evlib"] = table["t"].dt.total_microseconds().to_list()
read["evutils"] = EventReader(path).read_all().t.tolist()
for name in names:
    print(f"{name}:", read[name])
assert read["evutils"] == expected
assert read["eventcv"] == t.tolist(), "eventcv no longer returns the bare times"
assert read["evlib"] == t.tolist(), "evlib no longer returns the bare times"
PYTHON
"$folder/venv/bin/python" "$folder/check.py" "$folder/events.h5" 2> >(grep -v PyTorch >&2)
