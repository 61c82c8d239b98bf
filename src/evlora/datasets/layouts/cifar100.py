"""CIFAR-100: 60,000 photographs of 32×32 px, which become PNG files of the prepared dataset.

Both releases are read (https://www.cs.toronto.edu/~kriz/cifar.html). `cifar-100-binary` comes
first: each picture is 3,074 bytes, one of the coarse class, one of the fine class, then the red,
green and blue planes. `cifar-100-python` is pickled; torchvision reads it, which unpickles a file
only when its MD5 sum is that of the release.
"""

from pathlib import Path

import numpy as np

from evlora.config import Config
from evlora.datasets.layouts.releases import SplitPictures, folder_above, write_pictures
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import require_folder, wrong_tree
from evlora.datasets.manifest import Manifest
from evlora.errors import DatasetError
from evlora.untrusted import read_text

BINARY_FOLDER = "cifar-100-binary"
PYTHON_FOLDER = "cifar-100-python"
PYTHON_FILES = ("train", "test", "meta")
CLASSES = 100
SIDE_PX = 32
RECORD_BYTES = 2 + 3 * SIDE_PX * SIDE_PX
OFFICIAL_COUNTS = {"train": 50_000, "test": 10_000}
EXPECTED_TREE = """\
cifar-100-binary/      (or cifar-100-python)
  fine_label_names.txt (or meta)
  test.bin             (or test)
  train.bin            (or train)"""
CURE = (
    "unpack cifar-100-binary.tar.gz or cifar-100-python.tar.gz of "
    "https://www.cs.toronto.edu/~kriz/cifar.html there"
)


class Options(Config):
    """CIFAR-100 has nothing to choose."""


def collect(source: Path, folder: Path, options: Options, progress: Progress | None) -> Manifest:
    """Write the pictures into `folder` and return their manifest.

    Raises:
        DatasetError: No release is there, or it is damaged.
    """
    del options  # there are none
    source = require_folder(source)
    for name, read in ((BINARY_FOLDER, _read_binary), (PYTHON_FOLDER, _read_python)):
        root = folder_above(source, name)
        if root is not None:
            labels, parts = read(root)
            samples = write_pictures(parts, labels, folder, progress)
            break
    else:
        raise wrong_tree(
            source, EXPECTED_TREE, f"neither {BINARY_FOLDER} nor {PYTHON_FOLDER}", CURE
        )
    notes = tuple(
        f"{root / name}: {len(part.images)} pictures in {part.split}; the release has "
        f"{OFFICIAL_COUNTS[part.split]:,}"
        for part in parts
        if len(part.images) != OFFICIAL_COUNTS[part.split]
    )
    return Manifest(
        "cifar100", folder, labels, samples, notes, split_source=f"{name}, train and test"
    )


def _read_binary(root: Path) -> tuple[tuple[str, ...], list[SplitPictures]]:
    where = root / BINARY_FOLDER
    missing = [
        name
        for name in ("train.bin", "test.bin", "fine_label_names.txt")
        if not (where / name).is_file()
    ]
    if missing:
        raise wrong_tree(root, EXPECTED_TREE, f"no {missing[0]} in {BINARY_FOLDER}", CURE)
    names = where / "fine_label_names.txt"
    labels = tuple(read_text(names, DatasetError).split())
    if len(set(labels)) != CLASSES:
        raise DatasetError(f"{names}: expected {CLASSES} names, got {len(set(labels))}; {CURE}")
    return labels, [_read_part(where / f"{split}.bin", split) for split in OFFICIAL_COUNTS]


def _read_part(path: Path, split: str) -> SplitPictures:
    data = np.fromfile(path, np.uint8)
    if not data.size or data.size % RECORD_BYTES:
        raise DatasetError(
            f"{path}: expected pictures of {RECORD_BYTES} bytes, got {data.size} bytes, which is "
            f"{'none' if not data.size else 'no multiple'}; the file is cut, {CURE}"
        )
    records = data.reshape(-1, RECORD_BYTES)
    targets = records[:, 1].astype(np.int64)
    if targets.max() >= CLASSES:
        number = int(np.argmax(targets >= CLASSES))
        raise DatasetError(
            f"{path}: picture {number}: expected a fine class below {CLASSES}, got "
            f"{targets[number]}; this is not CIFAR-100's binary release, {CURE}"
        )
    planes = records[:, 2:].reshape(-1, 3, SIDE_PX, SIDE_PX)
    return SplitPictures(split, np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), targets)


def _read_python(root: Path) -> tuple[tuple[str, ...], list[SplitPictures]]:
    from torchvision.datasets import CIFAR100

    missing = [name for name in PYTHON_FILES if not (root / PYTHON_FOLDER / name).is_file()]
    if missing:
        raise wrong_tree(root, EXPECTED_TREE, f"no {missing[0]} in {PYTHON_FOLDER}", CURE)
    try:
        train, test = CIFAR100(root, train=True), CIFAR100(root, train=False)
    except RuntimeError as error:
        raise DatasetError(
            f"{root / PYTHON_FOLDER}: expected files with the MD5 sums of the release, got others; "
            f"a pickle that is not known is not opened. {CURE[0].upper()}{CURE[1:]}"
        ) from error
    parts = [
        SplitPictures(split, part.data, np.asarray(part.targets, np.int64))
        for split, part in (("train", train), ("test", test))
    ]
    return tuple(train.classes), parts
