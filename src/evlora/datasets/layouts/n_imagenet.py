"""N-ImageNet (Kim et al., ICCV 2021): ImageNet before a moving Samsung DVS Gen3, 640×480, `.npz`.

The tree and the lists are those of the README and the loader of its authors,
82magnolia/n_imagenet at 211a880 (`README.md`, `real_cnn_model/data/imagenet.py`): one structured
array `event_data` with x, y, t and p. The lists hold the paths of their author's machine, of which
the last three parts name a sample. The mini release has 100 of the classes in the same tree. Of
the variants the README states that they hold validation files alone in a like tree; folders whose
names begin with `extracted_val` are taken for them, which is not certain, and such a folder's name
becomes the column `variant`.
"""

from pathlib import PurePosixPath

from evlora.datasets.layouts import declared
from evlora.datasets.layouts.pairing import PictureOptions, by_name
from evlora.datasets.layouts.published_splits import NamedSplit

BY = "N-ImageNet's authors (82magnolia/n_imagenet)"


class Options(PictureOptions, declared.Options):
    """Which split is taken, and ImageNet's pictures."""

    key_of = by_name


def _variant(path: PurePosixPath) -> tuple[tuple[str, str], ...]:
    variant = path.parts[0].removeprefix("extracted_val").lstrip("_")
    return (("variant", variant),) if path.parts[0] != variant and variant else ()


RELEASE = declared.Release(
    layout="n_imagenet",
    dataset="N-ImageNet",
    expected_tree="""\
train_list.txt, val_list.txt       (if there)
extracted_train/
  n01440764/
    n01440764_10026.npz
extracted_val/                     (variants: their folders)
  n01440764/
    ILSVRC2012_val_….npz
    …""",
    suffixes=(".npz",),
    advice="name the folder that holds extracted_train and extracted_val, unpacked",
    sensor_px=(640, 480),
    columns_of=_variant,
    splits={
        "official": NamedSplit(
            by=f"lists train_list.txt, val_list.txt of {BY}; val is test here",
            lists={"train": ("train_list.txt",), "test": ("val_list.txt",)},
            parts=3,
        ),
        "folders": NamedSplit(
            by=f"folders extracted_train/, extracted_val/ of {BY}; val is test here",
            folders={"extracted_train": "train", "extracted_val.*": "test"},
        ),
    },
)
collect = RELEASE.collect
