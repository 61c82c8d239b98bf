"""Recordings of photographs: the events of a window that moves over each, beside the picture.

`leaderboard.py` and `fusion_stages.py` measure on them.
"""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evlora.recordings import EventStream, Recording, write_recording
from evlora.recordings.simulator import EventSimulator
from evlora.recordings.video_events import join_streams

LARGEST_PX, MARGIN_PX = 128, 6
STEP_MS, DURATION_MS = 4, 200
CORNERS_PX = np.array([[0, 0], [6, 10], [12, 0], [0, 0]])
"""Where the window lies on the photograph at the beginning and after each of three movements."""


def simulate(source: Path, out: Path) -> None:
    """Write each photograph below `source/SPLIT/CLASS` with events of a camera that moves."""
    rows = [("split", "events", "frame", "label")]
    for path in sorted(source.glob("*/*/*")):
        name = path.relative_to(source).with_suffix("")
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as opened:
            photograph = opened.convert("RGB")
        photograph.thumbnail((LARGEST_PX, LARGEST_PX))
        photograph.save(out / name.with_suffix(".png"))
        events = moved(np.asarray(photograph.convert("L")))
        write_recording(Recording(events, None, "npz"), out / name.with_suffix(".npz"))
        split, label = name.parts[:2]
        events_path, frame_path = (name.with_suffix(suffix) for suffix in (".npz", ".png"))
        rows.append((split, events_path.as_posix(), frame_path.as_posix(), label))
    with (out / "index.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def moved(photograph: NDArray[np.uint8]) -> EventStream:
    """The events of a window that moves over a photograph, shape (H, W), in three movements."""
    padded = np.pad(photograph, MARGIN_PX, mode="edge")
    height, width = photograph.shape
    simulator = EventSimulator(width=width, height=height)
    times_ms = np.arange(0, DURATION_MS, STEP_MS)
    places = np.linspace(0, DURATION_MS, len(CORNERS_PX))
    columns = np.interp(times_ms, places, CORNERS_PX[:, 0]).round().astype(int)
    rows = np.interp(times_ms, places, CORNERS_PX[:, 1]).round().astype(int)
    return join_streams(
        simulator.push(padded[y : y + height, x : x + width], 1000 * int(ms))
        for ms, x, y in zip(times_ms, columns, rows, strict=True)
    )
