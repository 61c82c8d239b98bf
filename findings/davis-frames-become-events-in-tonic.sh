#!/bin/bash
# tonic takes the pixels of a DAVIS's frames for events, and opens no other AEDAT 2.0 file at all.
#
# In jAER's AEDAT 2.0 bit 31 of an address is 0 for events and 1 for the samples of the frames
# (DavisChip: ADDRESS_TYPE_MASK and ADDRESS_TYPE_APS are 0x80000000, ADDRESS_TYPE_DVS is 0).
# tonic.io.read_davis_346 does not look at it: a recording with frames, jAER's default, gets two
# "events" for every pixel of every frame. eventcv leaves the samples out; it is compared by number
# and time only, as it counts columns from the other side.
# read_dvs_128, read_dvs_ibm (the form of DVS-Gesture's own files), read_dvs_red and
# read_dvs_346mini take two values where the reader of the header gives three, and raise for any file.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "tonic==1.7.0" "eventcv==1.0.8" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import eventcv
import numpy as np
from tonic import io

width, height = 346, 260
rows = []


def write(x: int, y: int, low_bits: int, t: int) -> None:
    rows.append(((height - 1 - y) << 22 | (width - 1 - x) << 12 | low_bits, t))


write(5, 7, 1 << 11, 10)  # an ON event
for read in (0, 1):  # the reset read and the signal read of five pixels, 10 bits each
    for pixel in range(5):
        write(100 + pixel, 50, 1 << 31 | read << 10 | (500 - 200 * read), 20 + 5 * read + pixel)
write(300, 7, 0, 40)  # an OFF event
header = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.Davis346blue\r\n"
davis = Path(sys.argv[1]) / "davis.aedat"
davis.write_bytes(header + np.array(rows, ">u4").tobytes())
print("tonic", version("tonic"), "eventcv", version("eventcv"))
times = eventcv.load(str(davis)).numpy()[:, 2].astype(int).tolist()
events = io.read_davis_346(str(davis))[2]
print("written: 2 events, at 10 and 40 µs, and 10 samples of a frame")
print("eventcv:", len(times), "events, at", times, "µs")
print("tonic:  ", len(events), "events, at", events["t"].tolist(), "µs")
assert times == [10, 40]
assert len(events) == len(rows), "tonic now leaves the samples out"

dvs128 = Path(sys.argv[1]) / "dvs128.aedat"
dvs128.write_bytes(b"#!AER-DAT2.0\r\n" + np.array([[5 << 8 | 7 << 1 | 1, 10]], ">u4").tobytes())
for name in ("read_dvs_128", "read_dvs_ibm", "read_dvs_red", "read_dvs_346mini"):
    try:
        getattr(io, name)(str(dvs128))
    except ValueError as error:
        print(f"{name}: {error}")
    else:
        sys.exit(f"{name} opens the file now")
PYTHON
"$folder/venv/bin/python" "$folder/check.py" "$folder"
