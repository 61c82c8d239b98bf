"""Datasets of real scenes with simulated events, from folders of videos or photographs.

Each video becomes one recording with its frames, scaled to a small sensor, and the events
that the simulator makes of them; several settings of the sensor give several datasets, so that no
result hangs on one of them. A photograph becomes a recording with the events of a window that moves
over it. `fusion_stages.py` measures on them.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evlora.datasets import prepare
from evlora.datasets.samples import SPLITS
from evlora.datasets.storage import is_prepared
from evlora.files import writing_file
from evlora.recordings import Recording, open_recording
from evlora.recordings.frames import FrameSequence
from evlora.recordings.simulator import LUMA, EventSimulator, SensorModel
from evlora.recordings.video_events import join_streams
from evlora.recordings.writers import write_recording
from moved_photographs import simulate

DEVELOPMENT = "development"
"""The split of further clips of held-out sources, which a development set alone has."""


@dataclass(frozen=True)
class HeldOut:
    """Which training clips are held out to choose on: all of some people or places."""

    source: re.Pattern[str]
    """What in a clip's path stands for its source, as its first group."""
    chosen: frozenset[str]
    """Those that are held out, of all classes: a source that stays with one class and is held out
    of another one makes that one look like the first, and accuracy falls below chance."""

    def holds(self, row: dict[str, str]) -> bool:
        """Whether the clip of this row is held out."""
        found = self.source.search(row["frame"])
        return found is not None and found[1] in self.chosen


def videos(
    source: Path, out: Path, *, threshold: float, held_out: HeldOut | None = None, fold: int = 0
) -> Path:
    """The dataset of a folder of videos, made where it is not there yet.

    Args:
        source: A folder with `index.csv`: columns split, frame (a video), label.
        out: Where recordings and dataset go.
        threshold: Of ON and OFF events, in log brightness.
        held_out: Makes a development set of the training clips alone, of which these are `test`;
            None for the dataset itself.
        fold: Its number, where several sources are held out in turn.

    Returns:
        The prepared dataset.
    """
    root = root_of(out, held_out, fold)
    if is_prepared(root):
        return root
    rows = chosen(source / "index.csv", held_out)
    for row in rows:
        path = out / "recordings" / f"{Path(row['frame']).with_suffix('')}.npz"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_recording(recorded(source / row["frame"], threshold=threshold), path)
        row["events"] = str(path.relative_to(out))
    return prepared(rows, root, ("split", "events", "label"))


def photographs(source: Path, out: Path, *, held_out: HeldOut | None = None, fold: int = 0) -> Path:
    """The dataset of photographs `source/SPLIT/CLASS/picture`, in the manner of `videos`."""
    root = root_of(out, held_out, fold)
    if is_prepared(root):
        return root
    index = out / "recordings" / "index.csv"
    if not index.is_file():
        simulate(source, index.parent)
    rows = chosen(index, held_out)
    for row in rows:
        row |= {name: f"{index.parent.name}/{row[name]}" for name in ("events", "frame")}
    return prepared(rows, root, ("split", "events", "frame", "label"))


def root_of(out: Path, held_out: HeldOut | None, fold: int) -> Path:
    """Where a dataset is, or a development set of it."""
    return out / ("dataset" if held_out is None else f"development_{fold}")


def chosen(index: Path, held_out: HeldOut | None) -> list[dict[str, str]]:
    """The rows of a table for the dataset itself, or for a development set of its training part."""
    with index.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if held_out is None:
        return [row for row in rows if row["split"] in SPLITS]
    return [
        row | {"split": "test" if held_out.holds(row) else "train"}
        for row in rows
        if row["split"] == "train" or (row["split"] == DEVELOPMENT and held_out.holds(row))
    ]


def prepared(rows: list[dict[str, str]], root: Path, columns: tuple[str, ...]) -> Path:
    """The dataset of these recordings, whose paths are those from the folder it is in."""
    table = root.with_name(f"{root.name}.csv")
    with writing_file(table) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    prepare("csv", table, root)
    return root


def recorded(video: Path, *, threshold: float) -> Recording:
    """A video as a sensor with frames, of half its width and height, would have recorded it."""
    frames = open_recording(video).frames
    assert frames is not None  # a video holds some
    assert frames.end_us is not None
    pixels = halved(frames.take(range(len(frames))))  # (T, H, W, 3)
    sensor = SensorModel(positive_threshold=threshold, negative_threshold=threshold)
    _, height, width, _ = pixels.shape
    simulator = EventSimulator(width=width, height=height, sensor=sensor)
    events = join_streams(
        simulator.push(image.astype(np.float64) @ np.array(LUMA), int(t_us))
        for image, t_us in zip(pixels, frames.end_us, strict=True)
    )
    return Recording(
        events, FrameSequence.from_images(pixels, start_us=frames.end_us), format="simulated"
    )


def halved(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images of half the height and width, each pixel the mean of four; shape (T, H, W, 3)."""
    images = images[:, : images.shape[1] // 2 * 2, : images.shape[2] // 2 * 2]
    rows = images[:, 0::2].astype(np.uint16) + images[:, 1::2]
    return ((rows[:, :, 0::2] + rows[:, :, 1::2] + 2) // 4).astype(np.uint8)
