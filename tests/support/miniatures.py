"""A miniature of every layout of events: the exact tree and list syntax, tiny recordings.

`MINIATURES` is what the contract test takes from a folder to a training step. A new layout is one
row here.
"""

import csv
import itertools
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import recording_samples
from PIL import Image

SPLITS = {"train": 3, "val": 1, "test": 2}
"""Samples of each class, where a dataset has lists."""
PICTURE_PX = (24, 18)
PICTURES = 4


@dataclass(frozen=True)
class Miniature:
    """A small dataset in a layout, and what its manifest should say."""

    layout: str
    make: Callable[[Path], None]
    """Writes the tree into a folder that exists."""
    labels: tuple[str, ...]
    split_source: str
    modalities: tuple[str, ...] = ("rgb", "event")
    counts: dict[str, int] = field(
        default_factory=lambda: {split: 2 * count for split, count in SPLITS.items()}
    )


def pictures(folder: Path, *, step: int = 1, digits: int = 8, count: int = PICTURES) -> None:
    """Numbered pictures of noise."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(len(folder.name))
    width, height = PICTURE_PX
    for number in range(0, count * step, step):
        pixels = generator.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:0{digits}d}.png")


def events_npz(path: Path) -> None:
    """`t x y p` and no word of the sensor, as HARDVS's compact files."""
    events = recording_samples.stream(200)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, t=events.t_us, x=events.x, y=events.y, p=events.polarity.astype(np.uint8))


def sequences(classes: tuple[str, ...]) -> Iterator[tuple[str, str, int]]:
    """Class, sequence and number of the split's place, as many as `SPLITS` states."""
    for class_name in classes:
        for number in range(sum(SPLITS.values())):
            yield class_name, f"dvSave-2021_09_28_19_29_{number:02d}", number


def split_of(number: int) -> str:
    """The split of the sequence with this number in its class."""
    return [split for split, count in SPLITS.items() for _ in range(count)][number]


def write_lists(
    folder: Path,
    names: dict[str, str],
    lines: list[tuple[str, str]],
) -> None:
    """Split → list; lines are split and text."""
    for split, name in names.items():
        text = "".join(line + "\n" for where, line in lines if where == split)
        (folder / name).write_text(text, encoding="utf-8")


def label_lists(
    folder: Path, classes: tuple[str, ...], *, base: int, template: str = "{path} {frames} {label}"
) -> None:
    """`train_label.txt`, `val_label.txt` and `test_label.txt` of all sequences."""
    lines = [
        (
            split_of(number),
            template.format(
                path=f"{name}/{sequence}",
                frames=PICTURES,
                label=(int(name[-3:]) - 1 if name[-3:].isdecimal() else classes.index(name)) + base,
            ),
        )
        for name, sequence, number in sequences(classes)
    ]
    write_lists(folder, {split: f"{split}_label.txt" for split in SPLITS}, lines)


ACTIONS = ("action_001", "action_130")
ACTION_NAMES = ("L type clamp back", "Arm Circle")
LABEL_LISTS = "train_label.txt, val_label.txt, test_label.txt"


def hardvs_pictures(folder: Path, *, with_frames: bool = True, base: int = 0) -> None:
    for name, sequence, _ in sequences(ACTIONS):
        where = folder / "rawframes" / name / sequence
        pictures(where / f"{sequence}_dvs", step=5)
        if with_frames:
            pictures(where / f"{sequence}_aps", step=5)
    label_lists(folder, ACTIONS, base=base)
    (folder / "HARDVS_300_class.txt").write_text(
        "Action001-L type clamp back\nAction002 wink_ Blink an eye\nAction130- Arm Circle\n"
    )


def hardvs_events(folder: Path) -> None:
    hardvs_pictures(folder, with_frames=False, base=1)


def hardvs_compact(folder: Path) -> None:
    for name, sequence, _ in sequences(ACTIONS):
        events_npz(folder / "MINI_HARDVS_files" / name / f"{sequence}.npz")
    label_lists(folder, ACTIONS, base=0)


def hardvs_archives(folder: Path) -> None:
    hardvs_compact(folder)
    root = folder / "MINI_HARDVS_files"
    for name in ACTIONS:
        with zipfile.ZipFile(root / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted((root / name).iterdir()):
                archive.write(file, f"{name}/{file.name}")
                file.unlink()
        (root / name).rmdir()


CARDS = ("club_10", "heart_king")


def poker_pictures(folder: Path) -> None:
    for name, sequence, _ in sequences(CARDS):
        where = folder / "Poker_rgb_event" / name / sequence
        for ending in ("_dvs", "_aps"):
            pictures(where / f"{sequence}{ending}")
    label_lists(folder, CARDS, base=0, template="{path}\t{frames}\t{label}")


def poker_raw(folder: Path) -> None:
    for name, sequence, _ in sequences(CARDS):
        (folder / "Poker_Event" / name).mkdir(parents=True, exist_ok=True)
        recording_samples.aedat4(folder / "Poker_Event" / name / sequence)
    label_lists(folder, CARDS, base=0, template="{path} {label}")


def nmnist(folder: Path) -> None:
    for split, digit in itertools.product(("Train", "Test"), "07"):
        (folder / split / digit).mkdir(parents=True)
        for number in range(4 if split == "Train" else 2):
            path = recording_samples.nmnist(folder / split / digit / f"{number:05d}")
            path.rename(path.with_suffix(".bin"))


def ncars(folder: Path) -> None:
    """The header of its files states no size."""
    for split, name in itertools.product(("train", "test"), ("background", "cars")):
        (folder / f"n-cars_{split}" / name).mkdir(parents=True)
        for number in range(4 if split == "train" else 2):
            path = recording_samples.dat(folder / f"n-cars_{split}" / name / f"obj_{number:06d}_td")
            _, words = path.read_bytes().split(b"\x0c\x08", 1)
            path.write_bytes(b"% Data file containing events.\n% Version 2\n\x00\x08" + words)


def ncaltech101(folder: Path) -> None:
    for name in ("accordion", "airplanes"):
        (folder / "Caltech101" / name).mkdir(parents=True)
        for number in range(1, 6):
            path = recording_samples.nmnist(folder / "Caltech101" / name / f"image_{number:04d}")
            path.rename(path.with_suffix(".bin"))


def dvs_gesture(folder: Path) -> None:
    """Two gestures in each recording, of 200 ms in all."""
    trials = {
        "train": ("user01_fluorescent", "user01_led", "user02_natural"),
        "test": ("user24_fluorescent",),
    }
    for split, names in trials.items():
        for name in names:
            recording_samples.aedat3(folder / name)
            with (folder / f"{name}_labels.csv").open("w", newline="") as file:
                rows = [(1, 0, 90_000), (8, 95_000, 190_000)]
                csv.writer(file).writerows([("class", "startTime_usec", "endTime_usec"), *rows])
        (folder / f"trials_to_{split}.txt").write_text("".join(f"{n}.aedat\n" for n in names))


def dailydvs200(folder: Path) -> None:
    lines = []
    for action, number in itertools.product(range(2), range(sum(SPLITS.values()))):
        path = f"event_raw/11_11/{number}/C{action}P{number}M0S1_20231111_09_11_{number:02d}"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        recording_samples.aedat4(folder / path, with_frames=False)
        lines.append((split_of(number), f"{path}.aedat4 {action}"))
    write_lists(folder, {split: f"{split}.txt" for split in SPLITS}, lines)


CELEX_ACTIONS = ("action_001_pull_up_weeds", "action_002_take_somebody's_pulse")


def celex_har(folder: Path) -> None:
    lines = []
    for name, _, number in sequences(CELEX_ACTIONS):
        sequence = f"{name[:10]}_20220221_1109{number:05d}_EI_70M"
        pictures(folder / "rawframe" / name / sequence, digits=4)
        split = "test" if split_of(number) == "test" else "train"
        lines.append((split, f"{name}/{sequence} {PICTURES} {int(name[7:10]) - 1}"))
    write_lists(folder, {"train": "celex_train.txt", "test": "celex_test.txt"}, lines)


def class_tree(folder: Path) -> None:
    """`class/sample/{rgb,event}` with event images in one class and events in the other."""
    for number in range(5):
        pictures(folder / "drawn" / f"{number}" / "rgb")
        pictures(folder / "drawn" / f"{number}" / "event")
        pictures(folder / "recorded" / f"{number}" / "rgb")
        path = folder / "recorded" / f"{number}" / "event" / "events"
        path.parent.mkdir()
        recording_samples.aedat4(path, with_frames=False)
    (folder / "recorded" / "notes.txt").write_text("0 and 3 were recorded on a Monday\n")


def table(folder: Path) -> None:
    rows = [("split", "events", "frame", "event_images", "label")]
    for number in range(6):
        pictures(folder / f"{number}_rgb")
        pictures(folder / f"{number}_event")
        label, split = ("even", "odd")[number % 2], ("train" if number < 4 else "test")
        rows.append((split, "", f"{number}_rgb", f"{number}_event", label))
    with (folder / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


TRAIN_AND_TEST = {"train": 8, "test": 4}
EVENLY = "evenly chosen, seed 0"

MINIATURES: dict[str, Miniature] = {
    "hardvs, pictures": Miniature("hardvs", hardvs_pictures, ACTION_NAMES, LABEL_LISTS),
    "hardvs, event images": Miniature(
        "hardvs", hardvs_events, ACTION_NAMES, LABEL_LISTS, ("event",)
    ),
    "hardvs, compact events": Miniature("hardvs", hardvs_compact, ACTIONS, LABEL_LISTS, ("event",)),
    "hardvs, archives": Miniature("hardvs", hardvs_archives, ACTIONS, LABEL_LISTS, ("event",)),
    "pokerevent, pictures": Miniature("pokerevent", poker_pictures, CARDS, LABEL_LISTS),
    "pokerevent, raw": Miniature("pokerevent", poker_raw, CARDS, LABEL_LISTS),
    "nmnist": Miniature(
        "nmnist", nmnist, ("0", "7"), "folders Train/, Test/", ("event",), TRAIN_AND_TEST
    ),
    "ncars": Miniature(
        "ncars",
        ncars,
        ("background", "cars"),
        "folders n-cars_test/, n-cars_train/",
        ("event",),
        TRAIN_AND_TEST,
    ),
    "ncaltech101": Miniature(
        "ncaltech101",
        ncaltech101,
        ("accordion", "airplanes"),
        EVENLY,
        ("event",),
        {"train": 8, "test": 2},
    ),
    "dvs_gesture": Miniature(
        "dvs_gesture",
        dvs_gesture,
        (
            *("hand_clapping", "right_hand_wave", "left_hand_wave", "right_arm_clockwise"),
            *("right_arm_counter_clockwise", "left_arm_clockwise"),
            *("left_arm_counter_clockwise", "arm_roll", "air_drums", "air_guitar"),
            "other_gestures",
        ),
        "trials_to_train.txt, trials_to_test.txt",
        ("event",),
        {"train": 6, "test": 2},
    ),
    "dailydvs200": Miniature(
        "dailydvs200",
        dailydvs200,
        ("action_000", "action_001"),
        "train.txt, val.txt, test.txt",
        ("event",),
    ),
    "celex_har": Miniature(
        "celex_har",
        celex_har,
        CELEX_ACTIONS,
        "celex_train.txt, celex_test.txt",
        ("event",),
        TRAIN_AND_TEST,
    ),
    "class_tree": Miniature(
        "class_tree", class_tree, ("drawn", "recorded"), EVENLY, counts={"train": 8, "test": 2}
    ),
    "csv": Miniature(
        "csv", table, ("even", "odd"), "column split of index.csv", counts={"train": 4, "test": 2}
    ),
}
"""What is tested → the miniature; layouts whose data nobody publishes elsewhere included."""
