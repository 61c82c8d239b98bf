#!/bin/bash
# The AEDAT 4 files that evutils writes are opened neither by dv-processing, the format's own
# library, nor by the aedat package.
#
# The description of the streams is XML whose root is <dv version="2.0"> with <node
# name="outInfo"> in it; evutils writes <node name="info">, and reads it itself.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "evutils==0.3.18" "dv-processing==2.0.4" "aedat==2.3.0" \
  "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import aedat
import dv_processing as dv
import numpy as np
from evutils.io import EventReader, EventWriter
from evutils.types import EventArray

path = Path(sys.argv[1]) / "four.aedat4"
names = ("evutils", "dv-processing", "aedat")
print(", ".join(f"{name} {version(name)}" for name in names))
t = np.array([10, 20, 30, 40])
events = EventArray(t=t, x=np.array([1, 2, 3, 4]), y=np.array([5, 6, 7, 8]), p=np.array([0, 1, 0, 1]))
with EventWriter(path, width=640, height=480) as writer:
    writer.write(events)
data = path.read_bytes()
start = data.index(b"<?xml")
print("header:", data[start : start + 110].decode())
print("evutils reads times", EventReader(path).read_all().t.tolist())
refused = 0
for name, read in (("dv", lambda: dv.io.MonoCameraRecording(str(path))), ("aedat", lambda: aedat.Decoder(str(path)))):
    try:
        read()
    except BaseException as error:
        refused += 1
        print(f"{name}: {error}")
assert EventReader(path).read_all().t.tolist() == t.tolist()
assert refused == 2, "the file opens now"
PYTHON
"$folder/venv/bin/python" "$folder/check.py" "$folder"
