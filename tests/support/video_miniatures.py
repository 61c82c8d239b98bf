"""Miniatures of datasets of videos, in the exact trees and list syntax of their releases."""

import json
from pathlib import Path

import av
import numpy as np

HMDB51_CLASSES = ("brush_hair", "cartwheel")
HMDB51_PARTS = (1, 1, 2, 0)
SOMETHING_TEMPLATES = ("Moving something up", "Putting something into something")


def video(path: Path, *, seed=0, codec="mpeg4", frames=6) -> None:
    """A few frames of noise of 32×32 px."""
    generator = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=12)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(frames):
            image = generator.integers(0, 256, (32, 32, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def hmdb51(folder: Path) -> Path:
    """Four videos of each of two classes, in three splits that differ."""
    for label in HMDB51_CLASSES:
        names = [f"Some_#film({number})_{label}_u_cm_np1_ri_goo_0.avi" for number in range(4)]
        for number, name in enumerate(names):
            video(folder / "hmdb51_org" / label / name, seed=number)
        for split in (1, 2, 3):
            parts = [HMDB51_PARTS[(number + split - 1) % 4] for number in range(4)]
            lines = [f"{name} {part} \n" for name, part in zip(names, parts, strict=True)]
            path = folder / "testTrainMulti_7030_splits" / f"{label}_test_split{split}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(lines))
    return folder


def something_something(folder: Path) -> Path:
    """Six videos of two templates, and one whose label nobody published."""
    for number in range(1, 8):
        path = folder / "20bn-something-something-v2" / f"{number}.webm"
        video(path, seed=number, codec="libvpx-vp9")
    labels = folder / "labels"
    labels.mkdir()
    numbers = {label: str(number) for number, label in enumerate(SOMETHING_TEMPLATES)}
    (labels / "labels.json").write_text(json.dumps(dict(reversed(numbers.items()))))
    entries = {
        "train": [entry("1", "cup up", 0), entry("2", "pen into cup", 1), entry("3", "pen up", 0)],
        "validation": [entry("4", "pen up", 0), entry("5", "cup into box", 1)],
        "test": [{"id": "6"}],
    }
    for name, listed in entries.items():
        (labels / f"{name}.json").write_text(json.dumps(listed))
    (labels / "test-answers.csv").write_text(f"6;{SOMETHING_TEMPLATES[1]}\n")
    return folder


def entry(number, said, template):
    """One entry of a list: its template has brackets around what stands for a thing."""
    bracketed = SOMETHING_TEMPLATES[template].replace("something", "[something]")
    return {"id": number, "label": said, "template": bracketed, "placeholders": said.split()[:1]}


def video_lists(folder: Path) -> Path:
    """Three videos of each of two classes, with a list for each split."""
    lines = {"train": [], "val": [], "test": []}
    for label, name in enumerate(("abseiling", "air drumming")):
        for number, split in enumerate(lines):
            path = f"{split}/{name}/{number:04d}.mp4"
            video(folder / path, seed=number)
            lines[split].append(f"{path} {label}\n")
    for split, listed in lines.items():
        (folder / f"{split}.csv").write_text("".join(listed))
    return folder
