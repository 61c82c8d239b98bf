#!/bin/bash
# evutils turns lines of text that it does not understand into events of zeros.
#
# Its reader of text splits lines at commas. A comment becomes an event at (0, 0) at time 0, and in
# a file with blanks between the numbers, the form of the Event Camera Dataset, every line becomes
# one, without a word.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "evutils==0.3.18" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

from evutils.io import EventReader

rows = [(1086, 470, 320, 1), (1925, 29, 19, 0), (2056, 24, 350, 1)]


def read(name: str, first: str, gap: str) -> list[tuple[int, ...]]:
    path = Path(sys.argv[1]) / name
    path.write_text(first + "".join(gap.join(map(str, row)) + "\n" for row in rows))
    events = EventReader(path).read_all()
    columns = (events.t, events.x, events.y, events.p)
    return [tuple(map(int, row)) for row in zip(*columns, strict=True)]


print("evutils", version("evutils"))
print("written:           ", rows)
plain, comment = read("plain.csv", "", ","), read("comment.csv", "# from a camera\n", ",")
blanks = read("blanks.txt", "", " ")
print("commas:            ", plain)
print("commas, a comment: ", comment)
print("blanks:            ", blanks)
assert plain == rows
assert comment == [(0, 0, 0, 0), *rows], "evutils no longer makes an event of a comment"
assert {row[1:3] for row in blanks} == {(0, 0)}, "evutils no longer makes zeros of blanks"
PYTHON
"$folder/venv/bin/python" "$folder/check.py" "$folder"
