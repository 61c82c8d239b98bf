"""Food-101: photographs of 101 dishes, with the official lists of 750 and 250 of each.

torchvision reads the lists; the pictures stay where they are
(https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/).
"""

from pathlib import Path

from evlora.companions import visible
from evlora.config import Config
from evlora.datasets.layouts.releases import folder_above
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import require_folder, wrong_tree
from evlora.datasets.manifest import Manifest, Sample
from evlora.errors import DatasetError

FOLDER = "food-101"
SPLITS = ("train", "test")
EXPECTED_TREE = """\
food-101/
  images/
    apple_pie/
      1005649.jpg
      …
    …
  meta/
    test.json
    train.json"""
CURE = "unpack food-101.tar.gz of https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/ there"


class Options(Config):
    """Food-101 has nothing to choose."""


def collect(source: Path, folder: Path, options: Options, progress: Progress | None) -> Manifest:
    """The manifest of the folder `source`, which holds `food-101` or is it.

    Raises:
        DatasetError: The folder is not laid out so, or its lists and its pictures disagree.
    """
    del folder, options, progress  # nothing is made, and reading two lists takes no time
    source = require_folder(source)
    root = folder_above(source, FOLDER)
    if root is None:
        raise wrong_tree(source, EXPECTED_TREE, f"no folder {FOLDER}", CURE)
    base = root / FOLDER
    wanted = ("images", *(f"meta/{split}.json" for split in SPLITS))
    missing = [name for name in wanted if not (base / name).exists()]
    if missing:
        raise wrong_tree(root, EXPECTED_TREE, f"no {missing[0]} in {FOLDER}", CURE)
    samples: list[Sample] = []
    for split in SPLITS:
        samples += _listed(base, split)
    labels = tuple(sorted({sample.label for sample in samples}))
    folders = {entry.name for entry in visible(base / "images") if entry.is_dir()}
    notes = tuple(
        f"{base / 'images' / name}: a folder of no class in the lists was passed over"
        for name in sorted(folders - set(labels))
    )
    return Manifest(
        "food101",
        base.resolve(),
        labels,
        tuple(samples),
        notes,
        split_source="meta/train.json and meta/test.json",
    )


def _listed(base: Path, split: str) -> list[Sample]:
    from torchvision.datasets import Food101

    path = base / "meta" / f"{split}.json"
    try:
        # What this loader loads of a picture is its path.
        listed = Food101(base.parent, split=split, loader=Path)
    except (ValueError, AttributeError, TypeError) as error:
        raise DatasetError(
            f"{path}: expected an object that gives each class its list of pictures, could not "
            f"read it: {error}; {CURE}"
        ) from error
    samples: list[Sample] = []
    for number in range(len(listed)):
        picture, target = listed[number]
        label = listed.classes[target]
        if picture.parent.name != label:
            raise DatasetError(
                f"{path}: expected pictures of {label}, got "
                f"{picture.parent.name}/{picture.stem} among them; {CURE}"
            )
        relative = picture.relative_to(base).as_posix()
        samples.append(Sample(f"{label}/{picture.stem}", None, relative, label, split))
    return samples
