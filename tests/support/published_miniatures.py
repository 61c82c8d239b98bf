"""Miniatures of datasets that others publish, in the trees and list syntax of their loaders.

The loaders are named in the layouts. A new one is a row of `PUBLISHED`, which the contract test of
`miniatures.MINIATURES` takes too.
"""

import itertools
from pathlib import Path

import numpy as np
import recording_samples
from miniatures import EVENLY, TRAIN_AND_TEST, Miniature, events_npz, split_of, write_lists
from scipy.io import savemat


def est_ncaltech101(folder: Path) -> None:
    """EST's release: three folders, plain arrays of x, y, t in seconds, and p."""
    for split, count in (("training", 3), ("validation", 1), ("testing", 2)):
        for name, number in itertools.product(("accordion", "airplanes"), range(count)):
            path = folder / "N-Caltech101" / split / name / f"{name}_{number}.npy"
            plain_npy(path, number, np.float64, unit_us=1e6)


def plain_npy(path: Path, seed: int, dtype: type, *, unit_us: float = 1) -> None:
    """A plain array of x, y, t, p."""
    events = recording_samples.stream(200, seed, width=240, height=180)
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = (events.x, events.y, events.t_us / unit_us, events.polarity)
    np.save(path, np.stack(columns, axis=1).astype(dtype))


def n_imagenet(folder: Path, *, variants: tuple[str, ...] = ("",), with_lists: bool = True) -> None:
    """The lists have the paths of their author's machine."""
    dtype = [("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("p", "?")]
    tops = {"extracted_train": 4, **{f"extracted_val{variant}": 2 for variant in variants}}
    lines: list[tuple[str, str]] = []
    for (top, count), synset in itertools.product(tops.items(), ("n01440764", "n15075141")):
        for number in range(count):
            path = folder / top / synset / f"{synset}_{number}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            events = recording_samples.stream(200, number, width=640, height=480)
            array = np.zeros(len(events), dtype)
            array["x"], array["y"], array["t"] = events.x, events.y, events.t_us
            array["p"] = events.polarity
            np.savez(path, event_data=array)
            below = path.relative_to(folder).as_posix()
            lines.append((top[10:15], f"/data/Datasets/N_Imagenet/{below}"))
    if with_lists:
        write_lists(folder, {"train": "train_list.txt", "val": "val_list.txt"}, lines)


def cifar10_dvs(folder: Path) -> None:
    for name, number in itertools.product(("airplane", "automobile"), range(5)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        recording_samples.aedat2(folder / name / f"cifar10_{name}_{number}")


def mat_events(path: Path, seed: int) -> None:
    """Columns ts, x, y, pol of shape (N, 1), as PIX2NVS's datasets."""
    events = recording_samples.stream(200, seed, width=240, height=180)
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = {"ts": events.t_us, "x": events.x, "y": events.y, "pol": events.polarity}
    savemat(path, {k: v.astype(np.int32)[:, None] for k, v in fields.items()})


def asl_dvs(folder: Path) -> None:
    for letter, number in itertools.product("ay", range(5)):
        mat_events(folder / letter / f"{letter}_{number:04d}.mat", number)


def ucf101_dvs(folder: Path) -> None:
    for name, number in itertools.product(("Archery", "YoYo"), range(5)):
        mat_events(folder / name / f"v_{name}_g{number + 1:02d}_c01.mat", number)


def seact(folder: Path) -> None:
    lines: list[tuple[str, str]] = []
    for person, prefix in (("f1-zhou", ""), ("m3-xu", "xu")):
        for number, action in itertools.product(range(3), ("0000", "1020")):
            name = f"{prefix}{action}-2023_10_29_16_06_0{number}"
            path = folder / "DVS Semantic Action" / person / name
            path.parent.mkdir(parents=True, exist_ok=True)
            recording_samples.aedat4(path)
            lines.append((split_of(number + 2), f"/DVS Semantic Action/{person}/{name}.aedat4"))
    names = {"train": "SeAct_train.txt", "test": "SeAct_val.txt"}
    write_lists(folder, names, [("test" if s != "train" else s, line) for s, line in lines])


def paf(folder: Path) -> None:
    """Windows' paths, and one line twice."""
    lines: list[tuple[str, str]] = []
    for name, number in itertools.product(("arm crossing", "sit down"), range(3)):
        path = folder / "PAF" / name / f"chenjieneng_1.{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        made = recording_samples.davis_aedat2(path.with_name("made"))
        made.rename(path.with_name(f"{path.name}.aedat"))
        split = "train" if number else "test"
        lines.append((split, f"\\PAF\\{name}\\{path.name}.aedat"))
    names = {"train": "PAF_train.txt", "test": "PAF_val.txt"}
    write_lists(folder, names, [*lines, lines[-1]])


def thu_csv(path: Path, seed: int) -> None:
    """y, x, brightness, polarity, time, and every fourth row without a polarity."""
    events = recording_samples.stream(400, seed, width=160, height=160)
    polarity = np.where(events.polarity, 1, -1)
    polarity[::4] = 0
    brightness = np.full(len(events), 77)
    rows = np.stack([events.y + 320, events.x + 560, brightness, polarity, events.t_us], axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, rows, fmt="%d", delimiter=",")


def thu_eact50(folder: Path) -> None:
    lines: list[tuple[str, str]] = []
    for action, number in itertools.product(range(2), range(6)):
        path = f"data/A{action}P{number}C1.csv"
        thu_csv(folder / path, number)
        lines.append(("train" if number < 4 else "test", f"{path},{action}"))
    write_lists(folder, {"train": "train.txt", "test": "test.txt"}, lines)


def thu_eact50_chl(folder: Path) -> None:
    lines: list[tuple[str, str]] = []
    for action, number in itertools.product(range(2), range(6)):
        path = f"hall/A{action}P{number}.npy"
        plain_npy(folder / path, number, np.int64)
        where = f"/repository/DVS-action-data-npy/{path} {action}"
        lines.append(("train" if number < 4 else "test", where))
    write_lists(folder, {"train": "train.txt", "test": "test.txt"}, lines)


def bullying10k(folder: Path) -> None:
    for name, number in itertools.product(("handshake", "kicking"), range(5)):
        events_npz(folder / "Bullying10k_final" / name / "01" / f"{number:04d}.npz")


def dvs_lip(folder: Path) -> None:
    dtype = [("t", "<i4"), ("x", "i1"), ("y", "i1"), ("p", "i1")]
    for (split, count), word in itertools.product(
        {"train": 4, "test": 2}.items(), ("accused", "action")
    ):
        for number in range(count):
            events = recording_samples.stream(200, number, width=128, height=128)
            array = np.zeros(len(events), dtype)
            array["t"], array["x"], array["y"] = events.t_us, events.x, events.y
            array["p"] = events.polarity
            path = folder / "DVS-Lip" / split / word / f"{number}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, array)


PUBLISHED: dict[str, Miniature] = {
    "ncaltech101, EST's release": Miniature(
        "ncaltech101",
        est_ncaltech101,
        ("accordion", "airplanes"),
        "folders training/, validation/, testing/ of EST's release "
        "(uzh-rpg/rpg_event_representation_learning)",
        ("event",),
    ),
    "n_imagenet": Miniature(
        "n_imagenet",
        n_imagenet,
        ("n01440764", "n15075141"),
        "lists train_list.txt, val_list.txt of N-ImageNet's authors (82magnolia/n_imagenet); "
        "val is test here",
        ("event",),
        TRAIN_AND_TEST,
    ),
    "cifar10_dvs": Miniature(
        *("cifar10_dvs", cifar10_dvs, ("airplane", "automobile"), EVENLY, ("event",)),
        {"train": 8, "test": 2},
    ),
    "asl_dvs": Miniature(
        *("asl_dvs", asl_dvs, ("a", "y"), EVENLY, ("event",), {"train": 8, "test": 2})
    ),
    "ucf101_dvs": Miniature(
        *("ucf101_dvs", ucf101_dvs, ("Archery", "YoYo"), EVENLY, ("event",)),
        {"train": 8, "test": 2},
    ),
    "seact": Miniature(
        "seact",
        seact,
        ("clap", "run with a box"),
        "lists SeAct_train.txt, SeAct_val.txt of SeAct's authors (jiazhou-garland/ExACT); "
        "val is test here",
        counts={"train": 4, "test": 8},
    ),
    "paf": Miniature(
        "paf",
        paf,
        ("arm crossing", "sit down"),
        "ExACT's lists PAF_train.txt, PAF_val.txt (jiazhou-garland/ExACT); val is test here",
        ("event",),
        {"train": 4, "test": 2},
    ),
    "thu_eact50": Miniature(
        *("thu_eact50", thu_eact50, ("Walking", "Running"), "train.txt, test.txt", ("event",)),
        TRAIN_AND_TEST,
    ),
    "thu_eact50_chl": Miniature(
        "thu_eact50_chl",
        *(thu_eact50_chl, ("Walking", "Running"), "train.txt, test.txt", ("event",)),
        TRAIN_AND_TEST,
    ),
    "bullying10k": Miniature(
        *("bullying10k", bullying10k, ("handshake", "kicking"), EVENLY, ("event",)),
        {"train": 8, "test": 2},
    ),
    "dvs_lip": Miniature(
        "dvs_lip",
        dvs_lip,
        ("accused", "action"),
        "folders train/, test/ of DVS-Lip's authors (tgc1997/event-based-lip-reading)",
        ("event",),
        TRAIN_AND_TEST,
    ),
}
