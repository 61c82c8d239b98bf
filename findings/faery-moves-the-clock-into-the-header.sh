#!/bin/bash
# The RAW and DAT files that faery writes begin at time 0 for every reader but faery.
#
# faery subtracts the first event's time from all and writes it into the header as "t0". Prophesee's
# formats have no such line (https://docs.prophesee.ai/stable/data/file_formats/raw.html and
# dat.html list the keys), and eventcv, evutils, evt3 and expelliarmus pass over it: after a
# conversion the events no longer lie on the clock of the frames, triggers or labels beside them.
# faery itself adds the line again, so that a round trip through it shows nothing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "faery==0.7.1" "eventcv==1.0.8" "evutils==0.3.18" "evt3==0.4.1" \
  "expelliarmus==1.1.12" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import eventcv
import evt3
import faery
import numpy as np
from evutils.io import EventReader
from expelliarmus import Wizard

folder = Path(sys.argv[1])
t = [6_400_001, 6_400_005, 6_900_000]
words = []  # EVT 2.0: the high part of the time, then an ON event at (10, 20)
for t_us in t:
    words += [8 << 28 | t_us >> 6, 1 << 28 | (t_us & 63) << 22 | 10 << 11 | 20]
source = folder / "source.raw"
header = b"% evt 2.0\n% format EVT2;height=480;width=640\n% end\n"
source.write_bytes(header + np.array(words, "<u4").tobytes())


def with_faery(path: Path) -> list[int]:
    return np.concatenate(list(faery.events_stream_from_file(str(path))))["t"].astype(int).tolist()


readers = {
    "faery": with_faery,
    "eventcv": lambda path: eventcv.load(str(path)).numpy()[:, 2].astype(int).tolist(),
    "evutils": lambda path: EventReader(path).read_all().t.tolist(),
}
evt2_or_dat = {"evt2": "evt2", "dat2": "dat"}
names = ("faery", "eventcv", "evutils", "evt3", "expelliarmus")
print(", ".join(f"{name} {version(name)}" for name in names))
print("source:", {name: read(source) for name, read in readers.items()})
for encoding, suffix in (("evt2", "raw"), ("evt3", "raw"), ("dat2", "dat")):
    path = folder / f"{encoding}.{suffix}"
    faery.events_stream_from_file(str(source)).to_file(str(path), version=encoding)
    line = next(line for line in path.read_bytes().split(b"\n") if b"t0" in line.lower())
    print(f"{path.name}, header line {line.decode()!r}:")
    times = {name: read(path) for name, read in readers.items()}
    if encoding == "evt3":
        times["evt3"] = evt3.decode_file(str(path)).timestamp.tolist()
    else:
        wizard = Wizard(encoding=evt2_or_dat[encoding])
        times["expelliarmus"] = wizard.read(str(path))["t"].tolist()
    for name, read in times.items():
        print(f"   {name}: {read}")
        expected = t if name == "faery" else [t_us - t[0] for t_us in t]
        assert read == expected, f"{name} gives other times now"
PYTHON
"$folder/venv/bin/python" "$folder/check.py" "$folder"
