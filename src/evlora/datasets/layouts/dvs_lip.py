"""DVS-Lip (Tan et al., CVPR 2022): 100 words of 40 speakers, DAVIS346 cut to 128×128, `.npy`.

Structured arrays with t, x, y and p in folders of splits and words, as its authors' loader reads
them, tgc1997/event-based-lip-reading at a024650 (`utils/dataset.py`). The split is by speakers.
"""

from pathlib import PurePosixPath

from evlora.datasets.layouts import declared
from evlora.datasets.layouts.published_splits import NamedSplit

Options = declared.Options


def _word(path: PurePosixPath) -> str | None:
    return path.parts[1] if len(path.parts) == 3 and path.parts[0] in ("train", "test") else None


RELEASE = declared.Release(
    layout="dvs_lip",
    dataset="DVS-Lip",
    expected_tree="""\
DVS-Lip/
  train/
    accused/
      0.npy
      1.npy
  test/
    accused/
      …""",
    suffixes=(".npy",),
    advice="name the folder DVS-Lip, or the one around it, unpacked",
    sensor_px=(128, 128),
    roots=("DVS-Lip",),
    class_of=_word,
    splits={
        "official": NamedSplit(
            by="folders train/, test/ of DVS-Lip's authors (tgc1997/event-based-lip-reading)",
            folders={"train": "train", "test": "test"},
        )
    },
)
collect = RELEASE.collect
