"""ASL-DVS (Bi et al., ICCV 2019): 24 letters of sign language, DAVIS240C, `.mat`.

Each letter is an archive that unpacks into a folder of its name, with `ts`, `x`, `y` and `pol` in
each file. fangwei123456/spikingjelly at afb1322 (`spikingjelly/datasets/asl_dvs.py`) turns rows and
columns around, jackd/events-tfds at 1ac16a3 does not; here they are turned. The files are written
anew as `.npz` for that. Their authors (PIX2NVS/NVS2Graph at 3f70541) publish no split: the first
four of five subjects train in some works, 80 % at random in others.
"""

from evlora.datasets.layouts import declared
from evlora.datasets.layouts.mat_events import upright

Options = declared.Options
RELEASE = declared.Release(
    layout="asl_dvs",
    dataset="ASL-DVS",
    expected_tree="""\
a/
  a_0001.mat
  a_0002.mat
b/
  …""",
    suffixes=(".mat",),
    advice="name the folder that holds the folders a to y, unpacked",
    classes=tuple("abcdefghiklmnopqrstuvwxy"),
    read=upright(is_mirrored=True),
)
collect = RELEASE.collect
