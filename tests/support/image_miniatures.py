"""Miniatures of datasets of pictures, in the exact trees and list syntax of their releases."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import CIFAR100, SVHN

CIFAR100_NAMES = tuple(f"thing_{number:02d}" for number in range(100))


def picture(seed, *, height=32, width=32):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, 3), np.uint8)


def cifar100_binary(folder: Path) -> Path:
    """Two pictures of each class to train with and one to test with, as 3,074 bytes each."""
    where = folder / "cifar-100-binary"
    where.mkdir(parents=True)
    (where / "fine_label_names.txt").write_text("\n".join(CIFAR100_NAMES) + "\n\n")
    for split, count in (("train", 200), ("test", 100)):
        records = [
            bytes([number % 20, number % 100]) + picture(number).transpose(2, 0, 1).tobytes()
            for number in range(count)
        ]
        (where / f"{split}.bin").write_bytes(b"".join(records))
    return folder


def cifar100_python(folder: Path, monkeypatch) -> Path:
    """The same pickled; torchvision is given the sums of these files instead of the release's."""
    where = folder / "cifar-100-python"
    where.mkdir(parents=True)
    parts = {"meta": {"fine_label_names": list(CIFAR100_NAMES)}}
    for split, count in (("train", 200), ("test", 100)):
        flat = [picture(number).transpose(2, 0, 1).reshape(-1) for number in range(count)]
        parts[split] = {
            "data": np.stack(flat),
            "fine_labels": [number % 100 for number in range(count)],
        }
    for name, content in parts.items():
        (where / name).write_bytes(pickle.dumps(content))
    sums = {name: hashlib.md5((where / name).read_bytes()).hexdigest() for name in parts}
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": sums["meta"]})
    return folder


def svhn(folder: Path, monkeypatch) -> Path:
    """Twenty digits to train with, ten to test with, five extra ones; 0 is called 10 there."""
    folder.mkdir(parents=True, exist_ok=True)
    known = dict(SVHN.split_list)
    for split, count in (("train", 20), ("test", 10), ("extra", 5)):
        path = folder / f"{split}_32x32.mat"
        images = np.stack([picture(number) for number in range(count)], axis=-1)
        digits = np.array([[number % 10 or 10] for number in range(count)], np.uint8)
        savemat(path, {"X": images, "y": digits})
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        known[split] = [known[split][0], path.name, md5]
    monkeypatch.setattr(SVHN, "split_list", known)
    return folder


def food101(folder: Path) -> Path:
    """Two dishes, three photographs of each to train with and one to test with."""
    base = folder / "food-101"
    lists = {"train": {}, "test": {}}
    for label in ("apple_pie", "baby_back_ribs"):
        (base / "images" / label).mkdir(parents=True)
        for number in range(4):
            name = f"{label}/{1000 + number}"
            Image.fromarray(picture(number, height=40, width=30)).save(
                base / "images" / f"{name}.jpg"
            )
            lists["test" if number == 3 else "train"].setdefault(label, []).append(name)
    (base / "meta").mkdir()
    for split, listed in lists.items():
        (base / "meta" / f"{split}.json").write_text(json.dumps(listed))
        lines = [name for names in listed.values() for name in names]
        (base / "meta" / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


def image_folder(folder: Path) -> Path:
    """Two classes with folders for splits, one of them with a folder inside."""
    for path in (
        *("train/cat/1.png", "train/cat/more/2.JPEG", "train/dog/1.png", "train/dog/2.png"),
        *("val/cat/3.png", "val/dog/3.png"),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(len(path))).save(folder / path)
    return folder
