#!/bin/bash
# evutils' difference frame turns a pixel with more than 127 ON events into one with OFF events.
#
# frame_diff adds ON and subtracts OFF in numbers of 8 bits with a sign, and these wrap around: 128
# ON events give -128, 256 give nothing. That is reached within a window by flicker, hot pixels and
# any long window. histogram and voxel_histogram of the same library stop at their type's largest
# number, and evio counts in floating point. With dtype=np.int32 frame_diff is right.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "evutils==0.3.18" "evio==0.1.0" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
from importlib.metadata import version

import evio
import numpy as np
from evutils import dense

print("evutils", version("evutils"), "evio", version("evio"))
for n_on in (127, 128, 200, 256):
    zeros = np.zeros(n_on, int)
    events = evio.from_arrays(zeros, zeros, np.arange(n_on) * 100, np.ones(n_on))
    on = evio.representations.count_image(events, (1, 1))[1, 0, 0]
    difference = int(dense.frame_diff(events, 1, 1)[0, 0])
    counted = int(dense.histogram(events, 1, 1)[0, 0, 0])
    wide = int(dense.frame_diff(events, 1, 1, dtype=np.int32)[0, 0])
    print(f"{n_on} ON events: evio {on:g}, histogram {counted}, frame_diff {difference}, int32 {wide}")
    assert on == wide == n_on and counted == min(n_on, 255)
    assert difference == (n_on + 128) % 256 - 128, "frame_diff no longer wraps around"
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
