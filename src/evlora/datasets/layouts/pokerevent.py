"""PokerEvent (Event-AHU): 114 patterns on playing cards, DVS346, 27,102 recordings.

As published: raw recordings with events and frames (`.aedat4`), or the pictures extracted from
them. Some classes are called alike: they are distinguished by their folders.
"""

from pathlib import Path

from evlora.datasets.layouts.official_split import ListOptions, Naming, split_officially
from evlora.datasets.layouts.sequences import Oddities, note_other_forms, sequences_in
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import release_and_root, require_folder, wrong_tree
from evlora.datasets.manifest import Manifest

EXPECTED_TREE = """\
train_label.txt, val_label.txt, test_label.txt
Poker_rgb_event/                   (pictures)
  some_class/
    dvSave-2022_…/
      dvSave-2022_…_aps/           (frames)
        00000000.png
        00000001.png
      dvSave-2022_…_dvs/           (events)
        00000000.png
        00000001.png
or Poker_Event/                    (raw)
  some_class/
    dvSave-2022_….aedat4"""

FORMS = ("Poker_rgb_event", "Poker_Event")


class Options(ListOptions):
    """Where the lists lie, and what is done without them."""


def collect(
    source: Path | None, folder: Path, options: Options, progress: Progress | None
) -> Manifest:
    """The manifest of the release in the folder `source`.

    Raises:
        DatasetError: The folder is not laid out so, or the lists contradict themselves or the
            folders.
    """
    del folder  # nothing is made
    source = require_folder(source)
    release, root = release_and_root(source, *FORMS)
    oddities = Oddities()
    note_other_forms(release, root, FORMS, oddities)
    found = sequences_in(
        root,
        release,
        suffixes=(".aedat4",),
        oddities=oddities,
        progress=progress,
    )
    if not found:
        raise wrong_tree(
            source,
            EXPECTED_TREE,
            "no recording and no pictures in the folder of a class",
            "name the folder that holds Poker_rgb_event or Poker_Event",
        )
    return split_officially(
        "pokerevent",
        release,
        found,
        Naming(),
        options=options,
        oddities=oddities,
        list_folders=(release, root),
    )
