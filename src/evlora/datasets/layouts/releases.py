"""What releases share: where they lie, pictures that come out of archives, lists that are wrong."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evlora.datasets.layouts.table import RECORDINGS_FOLDER, Progress
from evlora.datasets.manifest import Sample
from evlora.errors import DatasetError
from evlora.messages import itemized


@dataclass(frozen=True, slots=True, eq=False)
class SplitPictures:
    """The pictures of one split, as a release packs them into one file."""

    split: str
    images: NDArray[np.uint8]
    """Shape (n, H, W, 3), RGB."""
    targets: NDArray[np.int64]
    """Number of each picture's class, shape (n,)."""


def folder_above(source: Path, name: str) -> Path | None:
    """The folder that holds the folder `name`: `source`, or the one above where it is that folder.

    None where there is no such folder.
    """
    if (source / name).is_dir():
        return source
    return source.parent if source.resolve().name == name else None


def write_pictures(
    parts: Iterable[SplitPictures], labels: tuple[str, ...], folder: Path, progress: Progress | None
) -> tuple[Sample, ...]:
    """Write each picture as a PNG file below `folder`, in folders of splits and classes.

    Args:
        parts: The splits.
        labels: Names of the classes.
        folder: The dataset that is being prepared.
        progress: Called with the number of pictures written, and of all.

    Returns:
        One sample a picture, with the paths relative to `folder`.
    """
    from PIL import Image

    parts = list(parts)
    total = sum(len(part.images) for part in parts)
    samples: list[Sample] = []
    for part in parts:
        where = Path(RECORDINGS_FOLDER) / part.split
        for label in labels:
            (folder / where / label).mkdir(parents=True)
        for number, (image, target) in enumerate(zip(part.images, part.targets, strict=True)):
            label = labels[target]
            path = (where / label / f"{number:06d}.png").as_posix()
            Image.fromarray(image).save(folder / path, compress_level=1)
            name = f"{part.split}/{label}/{number:06d}"
            samples.append(Sample(name, None, path, label, part.split))
            if progress is not None:
                progress(len(samples), total)
    return tuple(samples)


def disagreement(source: Path, faults: Sequence[str], advice: str) -> DatasetError:
    """The error about lists that say other than the files, or than each other.

    Args:
        source: The folder that the user named.
        faults: Each with its list, its line and what is wrong; at least one.
        advice: What to do.
    """
    return DatasetError(f"{source}: the lists and the files disagree:{itemized(faults)}\n{advice}")
