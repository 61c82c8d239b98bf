"""SVHN, the house numbers cut into digits of 32×32 px, which become PNG files.

torchvision reads the `.mat` files, and only when their MD5 sums are those of the release
(http://ufldl.stanford.edu/housenumbers/, format 2).
"""

from pathlib import Path

import numpy as np

from evlora.config import Config
from evlora.datasets.layouts.releases import SplitPictures, write_pictures
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import require_folder, wrong_tree
from evlora.datasets.manifest import Manifest
from evlora.errors import DatasetError

LABELS = tuple(map(str, range(10)))
EXPECTED_TREE = """\
train_32x32.mat
test_32x32.mat
extra_32x32.mat        (only for extra=true)"""
CURE = "put the files of format 2 from http://ufldl.stanford.edu/housenumbers/ there"


class Options(Config):
    """Which of the training pictures are taken."""

    extra: bool = False
    """Whether the 531,131 easier pictures of extra_32x32.mat join the training split."""


def collect(source: Path, folder: Path, options: Options, progress: Progress | None) -> Manifest:
    """Write the pictures into `folder` and return their manifest.

    Raises:
        DatasetError: A file is missing, or is not that of the release.
    """
    source = require_folder(source)
    names = ("train", "extra", "test") if options.extra else ("train", "test")
    for name in names:
        if not (source / f"{name}_32x32.mat").is_file():
            raise wrong_tree(source, EXPECTED_TREE, f"no {name}_32x32.mat", CURE)
    parts = [_read_part(source, name) for name in names]
    train, test = parts[:-1], parts[-1]
    joined = SplitPictures(
        "train",
        np.concatenate([part.images for part in train]),
        np.concatenate([part.targets for part in train]),
    )
    samples = write_pictures([joined, test], LABELS, folder, progress)
    files = ", ".join(f"{name}_32x32.mat" for name in names)
    return Manifest("svhn", folder, LABELS, samples, split_source=files)


def _read_part(source: Path, name: str) -> SplitPictures:
    from torchvision.datasets import SVHN

    try:
        part = SVHN(str(source), split=name)
    except RuntimeError as error:
        raise DatasetError(
            f"{source / name}_32x32.mat: expected the file with the MD5 sum of the release, got "
            f"another; it is damaged or of another format, {CURE}"
        ) from error
    images = np.ascontiguousarray(part.data.transpose(0, 2, 3, 1))
    return SplitPictures("test" if name == "test" else "train", images, part.labels)
