#!/bin/bash
# tonic's voxel grid counts OFF as ON when polarities are of its own type, and loses half of a bin.
#
# ToVoxelGrid sets the polarities that are 0 to -1. Those of type bool, which tonic's own readers
# and DVSGesture give, become True by that: the grid of OFF events equals that of ON events.
# The volume of Zhu et al., which it names as its source, scales the times to 0..B-1 for B bins,
# t* = (B - 1)(t - t1)/(tN - t1), https://arxiv.org/abs/1812.08156. tonic scales them to 0..B, so
# that the last event has no bin and those of the last bin lose weight. evio follows the paper: its
# grid sums to all events.
# Integers of 0 and 1 get their sign right in tonic, and uint8 raises.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "tonic==1.7.0" "evio==0.1.0" "numpy==2.4.6"
cat > "$folder/check.py" <<'PYTHON'
from importlib.metadata import version

import evio
import numpy as np
from tonic import transforms
from tonic.io import events_struct

bins, n_events = 5, 21
print("tonic", version("tonic"), "evio", version("evio"))
print("tonic's own type of events:", events_struct)
to_grid = transforms.ToVoxelGrid(sensor_size=(1, 1, 2), n_time_bins=bins)


def tonic_grid(polarity: int, dtype: type) -> np.ndarray:
    fields = [(name, events_struct[name]) for name in "xyt"] + [("p", dtype)]
    events = np.zeros(n_events, np.dtype(fields))
    events["t"], events["p"] = np.arange(n_events) * 1_000, polarity
    return to_grid(events).ravel().round(2)


on, off = tonic_grid(1, bool), tonic_grid(0, bool)
off_as_integers = tonic_grid(0, np.int8)
events = evio.from_arrays(*np.zeros((2, n_events), int), np.arange(n_events) * 1_000, np.zeros(n_events))
paper = evio.representations.voxel_grid(events, bins=bins, sensor_size=(1, 1)).ravel().round(2)
print(f"{n_events} OFF events, evio:   ", paper.tolist(), "sum", paper.sum().round(2))
print("tonic, polarities of int8:", off_as_integers.tolist(), "sum", off_as_integers.sum().round(2))
print("tonic, polarities of bool:", off.tolist())
print("ON events, tonic, bool:   ", on.tolist())
assert np.isclose(paper.sum(), -n_events, atol=0.05)
assert np.array_equal(off, on), "tonic now tells OFF from ON in polarities of bool"
assert off_as_integers.sum() > -n_events + 1, "tonic's grid now holds all events"
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
