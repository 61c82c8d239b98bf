"""One row per layout of a dataset on disk. A new dataset is its module and one row here."""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evlora.datasets.layouts.sensors import SensorOptions, require_sensors, with_sensor
from evlora.datasets.manifest import Manifest
from evlora.errors import DatasetError
from evlora.messages import explain, suggestion

RECORDINGS_FOLDER = "recordings"
"""Where a layout that makes its recordings itself puts them, inside the prepared dataset."""

Progress = Callable[[int, int], None]
"""Called with the number of samples done, and of all."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A way in which a dataset lies on disk, and the module that understands it.

    The module has `Options`, a Config, and `collect(source, folder, options, progress)`, which
    returns the manifest; `folder` is where it may write recordings that it makes itself.
    """

    name: str
    module: str
    has_source: bool
    description: str
    """What the command line prints about it."""
    dataset: str = ""
    """What the authors of a dataset call it; empty for layouts of people's own recordings."""
    labels_from: str = "names of folders"
    """Where the classes come from, unless the module finds them elsewhere."""

    def collect(
        self,
        source: Path | None,
        folder: Path,
        options: Mapping[str, Any],
        progress: Progress | None,
    ) -> Manifest:
        """The manifest of the dataset at `source`; see the module for what else may go wrong.

        Raises:
            DatasetError: There is no such option, or a recording does not state its sensor.
        """
        module = import_module(self.module)
        try:
            checked = module.Options(**options)
        except ValidationError as error:
            known = ", ".join(module.Options.model_fields) or "none"
            raise DatasetError(
                f"layout {self.name}: option {explain(error, module.Options)}; "
                f"its options are: {known}"
            ) from error
        manifest = _with_composed_labels(module.collect(source, folder, checked, progress))
        takes_size = isinstance(checked, SensorOptions)
        if takes_size:
            manifest = with_sensor(manifest, checked)
        require_sensors(manifest, takes_size=takes_size)
        return replace(
            manifest,
            dataset=manifest.dataset or self.dataset,
            label_source=manifest.label_source or self.labels_from,
        )


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "csv",
        "evlora.datasets.layouts.csv_layout",
        has_source=True,
        description="a table with the columns split, events, frame, event_images, label",
        labels_from="the table's column label",
    ),
    Layout(
        "class_tree",
        "evlora.datasets.layouts.class_tree",
        has_source=True,
        description="folders: class/sample or split/class/sample",
    ),
    Layout(
        "generated",
        "evlora.datasets.layouts.generated",
        has_source=False,
        description="digits in motion, made on the spot",
        labels_from="what was drawn",
    ),
    Layout(
        "hardvs",
        "evlora.datasets.layouts.hardvs",
        has_source=True,
        description="HARDVS: frames and event images, or compact events",
        dataset="HARDVS",
        labels_from="numbers in the lists",
    ),
    Layout(
        "pokerevent",
        "evlora.datasets.layouts.pokerevent",
        has_source=True,
        description="PokerEvent: raw recordings, or frames and event images",
        dataset="PokerEvent",
        labels_from="numbers in the lists",
    ),
    Layout(
        "nmnist",
        "evlora.datasets.layouts.nmnist",
        has_source=True,
        description="N-MNIST: Train and Test with .bin files",
        dataset="N-MNIST",
    ),
    Layout(
        "ncaltech101",
        "evlora.datasets.layouts.ncaltech101",
        has_source=True,
        description="N-Caltech101: .bin files",
        dataset="N-Caltech101",
    ),
    Layout(
        "ncars",
        "evlora.datasets.layouts.ncars",
        has_source=True,
        description="N-Cars: .dat files of cars and background",
        dataset="N-Cars",
    ),
    Layout(
        "dvs_gesture",
        "evlora.datasets.layouts.dvs_gesture",
        has_source=True,
        description="DVS-Gesture: recordings that are cut into gestures",
        dataset="DVS-Gesture",
        labels_from="numbers in the tables of labels",
    ),
    Layout(
        "dailydvs200",
        "evlora.datasets.layouts.dailydvs200",
        has_source=True,
        description="DailyDVS-200: .aedat4 files and lists",
        dataset="DailyDVS-200",
        labels_from="numbers in the lists",
    ),
    Layout(
        "celex_har",
        "evlora.datasets.layouts.celex_har",
        has_source=True,
        description="CeleX-HAR: event images",
        dataset="CeleX-HAR",
        labels_from="numbers in the lists",
    ),
    Layout(
        "n_imagenet",
        "evlora.datasets.layouts.n_imagenet",
        has_source=True,
        description="N-ImageNet: .npz files, its lists, mini and variants",
        dataset="N-ImageNet",
    ),
    Layout(
        "cifar10_dvs",
        "evlora.datasets.layouts.cifar10_dvs",
        has_source=True,
        description="CIFAR10-DVS: .aedat files",
        dataset="CIFAR10-DVS",
    ),
    Layout(
        "asl_dvs",
        "evlora.datasets.layouts.asl_dvs",
        has_source=True,
        description="ASL-DVS: .mat files, converted",
        dataset="ASL-DVS",
    ),
    Layout(
        "ucf101_dvs",
        "evlora.datasets.layouts.ucf101_dvs",
        has_source=True,
        description="UCF101-DVS: .mat files, converted",
        dataset="UCF101-DVS",
    ),
    Layout(
        "seact",
        "evlora.datasets.layouts.seact",
        has_source=True,
        description="SeAct: .aedat4 files of persons",
        dataset="SeAct",
    ),
    Layout(
        "paf",
        "evlora.datasets.layouts.paf",
        has_source=True,
        description="PAF, ten actions: .aedat files",
        dataset="PAF",
    ),
    Layout(
        "thu_eact50",
        "evlora.datasets.layouts.thu_eact50",
        has_source=True,
        description="THU-EACT-50: .csv files and lists, converted",
        dataset="THU-EACT-50",
    ),
    Layout(
        "thu_eact50_chl",
        "evlora.datasets.layouts.thu_eact50_chl",
        has_source=True,
        description="THU-EACT-50-CHL: .npy files and lists, converted",
        dataset="THU-EACT-50-CHL",
    ),
    Layout(
        "bullying10k",
        "evlora.datasets.layouts.bullying10k",
        has_source=True,
        description="Bullying10K: recordings in folders of classes",
        dataset="Bullying10K",
    ),
    Layout(
        "dvs_lip",
        "evlora.datasets.layouts.dvs_lip",
        has_source=True,
        description="DVS-Lip: .npy files of words",
        dataset="DVS-Lip",
    ),
    Layout(
        "image_folder",
        "evlora.datasets.layouts.image_folder",
        has_source=True,
        description="pictures: class/picture or split/class/picture",
    ),
    Layout(
        "cifar100",
        "evlora.datasets.layouts.cifar100",
        has_source=True,
        description="CIFAR-100, the binary or the python release",
        dataset="CIFAR-100",
        labels_from="the release's names of labels",
    ),
    Layout(
        "svhn",
        "evlora.datasets.layouts.svhn",
        has_source=True,
        description="SVHN, cropped digits",
        dataset="SVHN",
        labels_from="numbers in the release",
    ),
    Layout(
        "food101",
        "evlora.datasets.layouts.food101",
        has_source=True,
        description="Food-101",
        dataset="Food-101",
    ),
    Layout(
        "hmdb51",
        "evlora.datasets.layouts.hmdb51",
        has_source=True,
        description="HMDB51, official split 1, 2 or 3",
        dataset="HMDB51",
    ),
    Layout(
        "something_something_v2",
        "evlora.datasets.layouts.something_something",
        has_source=True,
        description="Something-Something v2",
        dataset="Something-Something v2",
        labels_from="labels/labels.json",
    ),
    Layout(
        "video_lists",
        "evlora.datasets.layouts.video_lists",
        has_source=True,
        description="videos with lists `path label`, as of Kinetics",
        labels_from="the lists",
    ),
    Layout(
        "generated_videos",
        "evlora.datasets.layouts.generated_videos",
        has_source=False,
        description="motions on video, made on the spot",
        labels_from="what was drawn",
    ),
)


def layout_named(name: str) -> Layout:
    """The row of this name.

    Raises:
        DatasetError: There is none.
    """
    for row in LAYOUTS:
        if row.name == name:
            return row
    nearest = suggestion(name, (row.name for row in LAYOUTS), listing="evlora prepare --list")
    raise DatasetError(f"no layout is called {name!r}; {nearest}")


def _with_composed_labels(manifest: Manifest) -> Manifest:
    """The manifest with each label in one form: macOS writes é as two characters, others as one.

    Two forms of a name would be two classes that look the same.
    """
    composed = {label: unicodedata.normalize("NFC", label) for label in manifest.labels}
    if all(label == new for label, new in composed.items()):
        return manifest
    samples = (replace(one, label=composed.get(one.label, one.label)) for one in manifest.samples)
    labels = tuple(dict.fromkeys(composed.values()))
    return replace(manifest, labels=labels, samples=tuple(samples))
