#!/bin/bash
# expelliarmus moves the times of EVT 3.0 by 4,096 µs, and writes files that lose their clock.
#
# A time of EVT 3.0 is a high word of 12 bits and a low one of 12 bits
# (https://docs.prophesee.ai/stable/data/encoding_formats/evt3.html). Where the low part begins
# again and the high word goes up by one, expelliarmus adds the turn twice. What it writes holds
# one high word for the whole file, so that no other reader can find the times again.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "expelliarmus==1.1.12" "evt3==0.4.1" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import evt3
import numpy as np
from expelliarmus import Wizard

t = np.arange(0, 20_000, 1_000)
words = []
for t_us in t.tolist():  # time high, time low, row 5, column 7 and ON
    words += [8 << 12 | t_us >> 12, 6 << 12 | t_us & 0xFFF, 0 << 12 | 5, 2 << 12 | 1 << 11 | 7]
header = b"% evt 3.0\n% format EVT3;height=720;width=1280\n% end\n"
path, written = Path(sys.argv[1]) / "in.raw", Path(sys.argv[1]) / "out.raw"
path.write_bytes(header + np.array(words, "<u2").tobytes())
read = Wizard(encoding="evt3").read(str(path))
again = evt3.decode_file(str(path))
print("expelliarmus", version("expelliarmus"), "evt3", version("evt3"))
print("written:     ", t.tolist())
print("expelliarmus:", read["t"].tolist())
print("evt3:        ", again.timestamp.tolist())
assert again.timestamp.tolist() == t.tolist()
assert read["t"].tolist() != t.tolist(), "expelliarmus reads the times now"

events = np.zeros(len(t), read.dtype)
events["t"], events["x"], events["y"], events["p"] = t, 7, 5, 1
Wizard(encoding="evt3").save(str(written), events)
data = written.read_bytes()
body = np.frombuffer(data[data.rindex(b"% ") :].split(b"\n", 1)[1], "<u2")
highs = int(np.count_nonzero(body >> 12 == 8))
print("time high words that expelliarmus writes for", t[-1], "µs:", highs)
print("evt3 reads them as", evt3.decode_file(str(written)).timestamp.tolist())
assert highs == 1, "expelliarmus writes the clock now"
PYTHON
"$folder/venv/bin/python" "$folder/check.py" "$folder"
