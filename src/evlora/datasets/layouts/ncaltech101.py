"""N-Caltech101 (Orchard et al., Frontiers in Neuroscience 2015, 9:437): 101 objects, 240×180.

As its authors publish it, `.bin` files in folders of classes, there is no split: a part of each
class becomes the test split, or `split=eventbind` takes the lists of jiazhou-garland/EventBind at
2ac998d (`Dataloader/Caltech101/Caltech101_train.txt`, `Caltech101_val.txt`), which ship with
evlora. They name 8,709 recordings, with BACKGROUND_Google and without Faces.

EST's release (uzh-rpg/rpg_event_representation_learning at 0c265e6, `README.md`,
`utils/dataset.py`) has folders training, validation and testing with plain arrays of x, y, t and p.
`split=est` takes them as they are, `split=gep` trains with validation too, as GEP reports its
figures. These files are written anew as `.npz`.
"""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from evlora.datasets.layouts import declared
from evlora.datasets.layouts.official_split import EVEN
from evlora.datasets.layouts.pairing import PictureOptions, paired
from evlora.datasets.layouts.published_splits import NamedSplit, choose_split
from evlora.datasets.layouts.sequences import Oddities, sequences_in
from evlora.datasets.layouts.table import Progress
from evlora.datasets.layouts.trees import release_and_root, require_folder, wrong_tree
from evlora.datasets.manifest import Manifest
from evlora.errors import RecordingError
from evlora.recordings import EventStream, open_recording

EXPECTED_TREE = """\
Caltech101/
  accordion/
    image_0001.bin
    image_0002.bin
  airplanes/
    …
or N-Caltech101/       (EST's release)
  training/
    accordion/
      ….npy
  validation/
    …
  testing/
    …"""
SENSOR_PX = (240, 180)
EST_FOLDERS = {"training": "train", "validation": "val", "testing": "test"}
EST = "EST's release (uzh-rpg/rpg_event_representation_learning)"
SPLITS = {
    "eventbind": NamedSplit(
        by=(
            "EventBind's lists Caltech101_train.txt, Caltech101_val.txt (jiazhou-garland/EventBind "
            "2ac998d); val is test here"
        ),
        shipped="ncaltech101_eventbind_test.txt",
        counts={"train": 6968, "test": 1741},
    )
}


class Options(PictureOptions):
    """Which split is taken, and Caltech101's pictures (`101_ObjectCategories`)."""


def _class_in_est(path: PurePosixPath) -> str | None:
    return path.parts[1] if len(path.parts) == 3 and path.parts[0] in EST_FOLDERS else None


def read_est(path: Path) -> EventStream:
    """The events of a plain array x, y, t, p; whole times are µs, others seconds.

    Raises:
        RecordingError: It is no such array.
    """
    width, height = SENSOR_PX
    events = open_recording(path, columns="x,y,t,p", width=width, height=height).events
    if events is None:
        raise RecordingError(f"{path}: expected events, found none; get the file again")
    return events


EST_RELEASE = declared.Release(
    layout="ncaltech101",
    dataset="N-Caltech101",
    expected_tree=EXPECTED_TREE,
    suffixes=(".npy",),
    advice="name the folder that holds training, validation and testing, unpacked",
    roots=("N-Caltech101",),
    class_of=_class_in_est,
    splits={
        "est": NamedSplit(
            by=f"folders training/, validation/, testing/ of {EST}", folders=EST_FOLDERS
        ),
        "gep": NamedSplit(
            by=f"folders training/ with validation/ against testing/ of {EST}, as GEP takes them",
            folders={"training|validation": "train", "testing": "test"},
        ),
    },
    read=read_est,
)


def collect(
    source: Path | None, folder: Path, options: Options, progress: Progress | None
) -> Manifest:
    """The manifest of either release in the folder `source`.

    Raises:
        DatasetError: The folder is not laid out so, or there is no such split.
    """
    source = require_folder(source)
    if (release_and_root(source, "N-Caltech101")[1] / "testing").is_dir():
        paired(Manifest("ncaltech101", source, (), ()), options, is_converted=True)
        own = declared.Options(**options.model_dump(exclude={"pictures"}))
        return EST_RELEASE.collect(source, folder, own, progress)
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
    samples = {PurePosixPath(name): each.sample for name, each in found.items()}
    labels = dict.fromkeys(sorted(sample.label for sample in samples.values()))
    manifest = choose_split(
        Manifest("ncaltech101", release, tuple(labels), ()),
        samples,
        SPLITS,
        options=options,
        wanted=options.split or EVEN,
        list_folders=(release, root),
        oddities=oddities,
    )
    manifest = paired(manifest, options, is_converted=False)
    return replace(manifest, notes=(*manifest.notes, *oddities.notes()))
