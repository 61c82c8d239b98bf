#!/bin/bash
# tonic's averaged time surfaces (HATS) of the same events depend on the type of their columns and
# on where their clock begins.
#
# ToAveragedTimesurface subtracts columns as they come: unsigned ones, the type in which the aedat
# package and Prophesee's files give them, wrap around below zero, and all neighbours to the left
# and above are missing. It takes the times as float32 before it subtracts them: on a clock of
# µs since 1970, the clock of AEDAT 4 files, 134 s are one step, and no neighbour is ever older.
# By the paper that it names (Sironi et al. 2018) the surface is a mean of exp(-(t - t_j) / tau), a
# matter of differences: neither may change it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "tonic==1.7.0" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
from importlib.metadata import version

import numpy as np
from tonic import transforms

print("tonic", version("tonic"))
tau = 1_000
to_surface = transforms.ToAveragedTimesurface(
    sensor_size=(4, 1, 2), cell_size=4, surface_size=3, time_window=10_000, tau=tau
)
x, t = np.array([1, 2, 1, 2]), np.array([0, 1_000, 2_000, 3_000])


def surface(columns: str, start_us: int) -> np.ndarray:
    fields = [("x", columns), ("y", columns), ("t", "i8"), ("p", bool)]
    events = np.zeros(4, np.dtype(fields))
    events["x"], events["t"] = x, t + start_us
    return to_surface(events)[0, 0, 1].round(4)


expected = np.zeros(3)
for i in range(4):  # the mean over the events, each with itself and what came before
    for j in range(i + 1):
        expected[x[j] - x[i] + 1] += np.exp(-(t[i] - t[j]) / tau) / 4
epoch_us = 1_700_000_000_000_000
print("by the formula:                ", expected.round(4).tolist())
signed, unsigned = surface("i2", 0), surface("u2", 0)
since_1970 = surface("i2", epoch_us)
print("signed columns, clock from 0:  ", signed.tolist())
print("unsigned columns, clock from 0:", unsigned.tolist())
print("signed, µs since 1970:         ", since_1970.tolist())
assert np.allclose(signed, expected, atol=1e-3)
assert unsigned[0] == 0, "unsigned columns have their left neighbours now"
assert np.allclose(since_1970, [0.75, 1.5, 0.25]), "the clock may begin anywhere now"
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
