"""Pictures in folders named after classes, as torchvision's ImageFolder finds them.

`class/…/picture`, or `split/class/…/picture`: folders inside that of a class count as it. Without
folders for splits, a part of each class becomes the test split.
"""

from dataclasses import replace
from pathlib import Path

from evlora.companions import is_companion
from evlora.datasets.layouts.naming import class_order, split_name
from evlora.datasets.layouts.official_split import EvenSplit, split_evenly
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import folders, require_folder, require_no_circle, wrong_tree
from evlora.datasets.manifest import Manifest, Sample
from evlora.errors import DatasetError
from evlora.messages import listed
from evlora.recordings.readers.images import IMAGE_SUFFIXES

EXPECTED_TREE = """\
train/                 (or no splits)
  some_class/
    0001.jpg
    more/
      0002.png
  other_class/
    …
val/                   (where there is one)
  …
test/
  some_class/
    …"""
CURE = "lay the folder out like this"


class Options(EvenSplit):
    """What becomes of a tree without splits."""


def collect(source: Path, folder: Path, options: Options, progress: Progress | None) -> Manifest:
    """The manifest of the tree in the folder `source`.

    Raises:
        DatasetError: The folder is not laid out like this; the message shows both trees.
    """
    del folder, progress  # nothing is made, and listing folders takes no time
    source = require_folder(source)
    tops = folders(source)
    splits = [top for top in tops if split_name(top.name)]
    if splits and len(splits) < len(tops):
        others = ", ".join(top.name for top in tops if not split_name(top.name))
        raise wrong_tree(source, EXPECTED_TREE, f"{others} beside the splits", CURE)
    samples: list[Sample] = []
    passed_over: list[str] = []
    for root in splits or [source]:
        found, others = _pictures(root, source)
        split = split_name(root.name) if splits else "train"
        samples += [replace(sample, split=split or "train") for sample in found]
        passed_over += others
    notes: tuple[str, ...] = ()
    if passed_over:
        notes = (
            f"{source}: passed over {len(passed_over)} files that are no pictures, "
            f"such as {passed_over[0]}",
        )
    if not splits:
        reason = "no folders for splits"
        manifest = split_evenly("image_folder", source.resolve(), samples, options, reason=reason)
        return replace(manifest, notes=(*notes, *manifest.notes))
    _require_trained(samples, source)
    return Manifest(
        "image_folder",
        source.resolve(),
        class_order(sample.label for sample in samples),
        tuple(samples),
        notes,
        split_source=f"folders {', '.join(f'{split.name}/' for split in splits)}",
    )


def _pictures(root: Path, source: Path) -> tuple[list[Sample], list[str]]:
    """The pictures below the folders of classes in `root`, and the paths of other files there."""
    from torchvision.datasets import ImageFolder

    require_no_circle(root)
    others: list[str] = []

    def is_picture(path: str) -> bool:
        file = Path(path)
        if is_companion(file.relative_to(root).as_posix()):
            return False
        if file.suffix.lower() not in IMAGE_SUFFIXES:
            others.append(file.relative_to(source).as_posix())
            return False
        return True

    try:
        tree = ImageFolder(root, is_valid_file=is_picture, allow_empty=True)
    except FileNotFoundError:
        raise wrong_tree(
            source, EXPECTED_TREE, f"no folder of a class in {root.name}", CURE
        ) from None
    empty = set(range(len(tree.classes))) - set(tree.targets)
    names = [tree.classes[number] for number in sorted(empty)]
    names = [name for name in names if not is_companion(name)]
    if names:
        where = (root / names[0]).relative_to(source).as_posix()
        raise wrong_tree(source, EXPECTED_TREE, f"no picture in {where}", CURE)
    samples: list[Sample] = []
    for path, number in tree.samples:
        relative = Path(path).relative_to(source).as_posix()
        samples.append(Sample(relative, None, relative, tree.classes[number], ""))
    return samples, others


def _require_trained(samples: list[Sample], source: Path) -> None:
    """Check that no split holds a class that train lacks: its samples could never be right."""
    trained = {sample.label for sample in samples if sample.split == "train"}
    foreign = class_order(sample.label for sample in samples if sample.label not in trained)
    if trained and foreign:
        first = next(sample for sample in samples if sample.label == foreign[0])
        raise DatasetError(
            f"{source}: expected the classes of train in every split, got {listed(foreign)} "
            f"in {first.split} alone ({first.sample}); rename or remove these folders"
        )
