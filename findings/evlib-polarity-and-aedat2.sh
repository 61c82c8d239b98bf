#!/bin/bash
# evlib gives the polarity of OFF as 0 from text and as -1 from all else, against its own
# description, and takes AEDAT 2.0 for AEDAT 3.1: no events, no error.
#
# load_events describes its polarity as "already converted to -1/1". From text in the form of the
# Event Camera Dataset (t x y p, https://rpg.ifi.uzh.ch/davis_data.html) OFF stays 0, so that
# polarity=-1 finds nothing and a signed sum counts ON alone; the same events from EVT 2.0 are right.
# (The text's times are cut to whole µs from floating point, so that 0.001001 s becomes 1,000 µs.)
# AEDAT 2.0 states its version in the first line ("#!AER-DAT2.0"); detect_format answers 3.1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "evlib==0.13.2" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import evlib
import numpy as np

folder = Path(sys.argv[1])
rows = [(1_001, 10, 20, 1), (1_002, 11, 21, 0), (1_005, 12, 22, 0)]  # t in µs, x, y, p
text, raw, aedat2 = folder / "events.txt", folder / "events.raw", folder / "events.aedat"
text.write_text("".join(f"{t / 1e6:.6f} {x} {y} {p}\n" for t, x, y, p in rows))
words = [8 << 28 | 1_001 >> 6] + [p << 28 | (t & 63) << 22 | x << 11 | y for t, x, y, p in rows]
header = b"% evt 2.0\n% format EVT2;height=480;width=640\n% end\n"
raw.write_bytes(header + np.array(words, "<u4").tobytes())
addresses = [(y << 8 | x << 1 | p, t) for t, x, y, p in rows]
first_lines = b"#!AER-DAT2.0\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n"
aedat2.write_bytes(first_lines + np.array(addresses, ">u4").tobytes())

print("evlib", version("evlib"))
print("written: polarities", [row[3] for row in rows], "times", [row[0] for row in rows], "µs")
read = {path.suffix: evlib.load_events(str(path)).collect() for path in (raw, text)}
for suffix, table in read.items():
    times = table["t"].dt.total_microseconds().to_list()
    print(f"{suffix}: polarities", table["polarity"].to_list(), "times", times, "µs")
off = {path.suffix: evlib.load_events(str(path), polarity=-1).collect().height for path in (raw, text)}
print("OFF events found with polarity=-1:", off)
assert off[".raw"] == 2 and read[".raw"]["polarity"].to_list() == [1, -1, -1]
assert off[".txt"] == 0 and read[".txt"]["polarity"].to_list() == [1, 0, 0], "text is right now"

found = evlib.detect_format(str(aedat2))
count = evlib.load_events(str(aedat2)).collect().height
print("AEDAT 2.0 is detected as", found[0], "and read as", count, "events of", len(rows))
assert found[0] == "AEDAT 3.1" and count == 0, "AEDAT 2.0 is no longer taken for 3.1"
PYTHON
"$folder/venv/bin/python" "$folder/check.py" "$folder" 2> >(grep -v PyTorch >&2)
