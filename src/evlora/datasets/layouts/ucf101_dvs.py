"""UCF101-DVS (Bi et al., IEEE TIP 2020): UCF101's videos before a DAVIS240C, `.mat`.

Folders of classes with `ts`, `x`, `y` and `pol` in each file, as BIT-Vision/EventPretrain at
86ce263 (`dataset/finetune_cls/ft_ucf101_dvs_dataset.py`) and jackd/events-tfds at 1ac16a3 read
them; the latter turns the rows of HMDB-DVS, which was made the same way, so they are turned here,
which is not certain. The files are written anew as `.npz` for that; some hold no event. Its authors
(PIX2NVS/NVS_FeatureLearning) publish no lists. The groups `gNN` in the files' names, if they are
those of UCF101, are kept as the column `group`.
"""

import re
from pathlib import PurePosixPath

from evlora.datasets.layouts import declared
from evlora.datasets.layouts.mat_events import upright

Options = declared.Options


def _group(path: PurePosixPath) -> tuple[tuple[str, str], ...]:
    match = re.search(r"_(g\d+)_c\d+", path.name)
    return () if match is None else (("group", match[1]),)


RELEASE = declared.Release(
    layout="ucf101_dvs",
    dataset="UCF101-DVS",
    expected_tree="""\
ApplyEyeMakeup/
  v_ApplyEyeMakeup_g01_c01.mat
  v_ApplyEyeMakeup_g01_c02.mat
ApplyLipstick/
  …""",
    suffixes=(".mat",),
    advice="name the folder that holds the folders of classes, unpacked from all five archives",
    columns_of=_group,
    read=upright(is_mirrored=False),
)
collect = RELEASE.collect
