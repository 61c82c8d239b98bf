"""N-Caltech101 (Orchard et al., Frontiers in Neuroscience 2015, 9:437): 101 objects, `.bin` files.

There is no official split: a part of each class becomes the test split.
"""

from dataclasses import replace
from pathlib import Path

from evlora.datasets.layouts.official_split import EvenSplit, split_evenly
from evlora.datasets.layouts.sequences import Oddities, sequences_in
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import release_and_root, require_folder, wrong_tree
from evlora.datasets.manifest import Manifest

EXPECTED_TREE = """\
Caltech101/
  accordion/
    image_0001.bin
    image_0002.bin
  airplanes/
    …"""
SENSOR_PX = (240, 180)


class Options(EvenSplit):
    """How the test split is chosen."""


def collect(
    source: Path | None, folder: Path, options: Options, progress: Progress | None
) -> Manifest:
    """The manifest of the release in the folder `source`.

    Raises:
        DatasetError: The folder is not laid out so.
    """
    del folder  # nothing is made
    source = require_folder(source)
    release, root = release_and_root(source, "Caltech101")
    oddities = Oddities()
    found = sequences_in(
        root,
        release,
        suffixes=(".bin",),
        sensor_px=SENSOR_PX,
        oddities=oddities,
        progress=progress,
    )
    if not found:
        raise wrong_tree(
            source,
            EXPECTED_TREE,
            "no .bin file in the folder of a class",
            "name the folder that holds Caltech101, unpacked",
        )
    samples = [each.sample for each in found.values()]
    manifest = split_evenly(
        "ncaltech101", release, samples, options, reason="N-Caltech101 has none"
    )
    return replace(manifest, notes=(*manifest.notes, *oddities.notes()))
