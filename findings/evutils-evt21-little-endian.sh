#!/bin/bash
# evutils reads EVT 2.1 files with little-endian words as if their halves were exchanged.
#
# Prophesee's documentation states the order of the halves in the line
# "% format EVT21;endianness=little;..." (GenX320) or "endianness=legacy" (IMX636)
# (https://docs.prophesee.ai/stable/data/encoding_formats/evt21.html). evutils reads the legacy
# order alone and means to refuse the other, but looks for a line "% endianness little": the file
# is decoded without a word into events that nobody wrote.
# Three events in the order of the documentation are written in both ways.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "evutils==0.3.18" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from evutils.io import EventReader

# A time word of type 8, then positive words: 6 bits of time, column of 32 pixels, row, 32 pixels.
time_high = (8 << 28 | 5) << 32
rows = [(1 << 28 | 7 << 22 | 64 << 11 | row) << 32 | 1 << 3 for row in (10, 11, 12)]
words = np.array([time_high, *rows], "<u8")
expected = [[5 * 64 + 7, 67, row] for row in (10, 11, 12)]


def read(order: str) -> list[list[int]]:
    halves = words.view("<u4").reshape(-1, 2)
    data = halves if order == "little" else halves[:, ::-1]
    header = f"% evt 2.1\n% format EVT21;endianness={order};height=480;width=640\n% end\n"
    path = Path(sys.argv[1]) / f"{order}.raw"
    path.write_bytes(header.encode() + data.tobytes())
    events = EventReader(path).read_all()
    return np.stack([events.t, events.x, events.y], axis=1).astype(int).tolist()


print("evutils", version("evutils"))
print("written (t, x, y):     ", expected)
legacy, little = read("legacy"), read("little")
print("read, legacy order:    ", legacy)
print("read, little endian:   ", little[:4], f"({len(little)} events)")
assert legacy == expected
assert little != expected, "evutils now reads little-endian words"
PYTHON
"$folder/venv/bin/python" "$folder/check.py" "$folder"
