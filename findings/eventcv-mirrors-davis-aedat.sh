#!/bin/bash
# eventcv reads the columns of a DAVIS's AEDAT 2.0 file mirrored.
#
# jAER, the format's own program, counts the column of an event from the right
# (DavisBaseCamera: e.x = sx1 - ((data & XMASK) >>> XSHIFT)), and v2e writes it so
# (aedat2_output.py: flipx and flipy). eventcv turns the rows round and leaves the columns.
# Two events, one near each side, are written as v2e writes them; eventcv gives them exchanged.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "eventcv==1.0.8" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
import sys
from importlib.metadata import version

import eventcv
import numpy as np

width, height = 346, 260
t, x, y, polarity = np.array([10, 20]), np.array([5, 300]), np.array([7, 7]), np.array([1, 0])
address = (height - 1 - y) << 22 | (width - 1 - x) << 12 | polarity << 11
header = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.Davis346blue\r\n"
path = sys.argv[1]
with open(path, "wb") as file:
    file.write(header + np.stack([address, t], axis=1).astype(">u4").tobytes())
events = eventcv.load(path).numpy().astype(int)
print("eventcv", version("eventcv"))
print("written: x", x.tolist(), "y", y.tolist())
print("read:    x", events[:, 0].tolist(), "y", events[:, 1].tolist())
mirrored = events[:, 0].tolist() == (width - 1 - x).tolist()
assert mirrored, "eventcv no longer mirrors the columns"
assert events[:, 1].tolist() == y.tolist()
print("the columns are mirrored, the rows are right")
PYTHON
"$folder/venv/bin/python" "$folder/check.py" "$folder/two.aedat"
