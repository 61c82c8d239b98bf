"""How far from the truth the offset between frames and events is found.

`python benchmarks/alignment.py DATA`, where DATA is a folder of videos in folders of classes.
Events are simulated from a video, the pair is put out of step by 5 to 50 ms either way, and the
offset is looked for: once with the frames that the events were made of, once without every second
one, so that half of the motion is unseen.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from evlora.recordings import FrameSequence, Recording, open_recording
from evlora.recordings.alignment import find_offset, shifted
from evlora.recordings.simulator import EventSimulator
from evlora.recordings.video_events import join_streams

OFFSETS_MS = (-50, -20, -5, 5, 10, 50)
FRAMES = 60


def pair_of(video: Path) -> Recording:
    """The video's first frames and events simulated from them, on one clock."""
    opened = open_recording(video).frames
    assert opened is not None
    assert opened.end_us is not None
    count = min(FRAMES, len(opened))
    images = opened.take(range(count))
    times_us = opened.end_us[:count]
    simulator = EventSimulator(width=opened.width, height=opened.height)
    parts = [simulator.push(image, t) for image, t in zip(images, times_us.tolist(), strict=True)]
    frames = FrameSequence.from_images(images, start_us=times_us)
    return Recording(join_streams(parts), frames, "simulated", video)


def every_second(recording: Recording) -> Recording:
    """The same events with half of the frames."""
    frames = recording.frames
    assert frames is not None
    assert frames.end_us is not None
    half = range(0, len(frames), 2)
    kept = FrameSequence.from_images(frames.take(half), start_us=frames.end_us[::2])
    return replace(recording, frames=kept)


def main() -> None:
    """Print a row for each video and each of the two ways."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--videos", type=int, default=2, help="of each class")
    asked = parser.parse_args()
    errors: dict[str, list[float]] = {"all frames": [], "every second": []}
    unknown = dict.fromkeys(errors, 0)
    print("| video | frames | correlation | largest error | seconds |")
    print("|---|---|---:|---:|---:|")
    folders = sorted(path for path in asked.data.iterdir() if path.is_dir())
    for video in (v for folder in folders for v in sorted(folder.iterdir())[: asked.videos]):
        pair = pair_of(video)
        for way, recording in (("all frames", pair), ("every second", every_second(pair))):
            begun = time.process_time()
            found = [(ms, find_offset(shifted(recording, 1000 * ms))) for ms in OFFSETS_MS]
            seconds = (time.process_time() - begun) / len(OFFSETS_MS)
            wrong = [abs(o.events_late_us / 1e3 - ms) for ms, o in found if o is not None]
            unknown[way] += len(found) - len(wrong)
            errors[way] += wrong
            correlation = np.mean([o.correlation for _, o in found if o is not None] or [np.nan])
            largest = f"{max(wrong):.1f} ms" if wrong else "not found"
            print(f"| {video.stem} | {way} | {correlation:.2f} | {largest} | {seconds:.1f} |")
            sys.stdout.flush()
    for way, wrong in errors.items():
        print(
            f"{way}: {len(wrong)} found, {unknown[way]} not; error median {np.median(wrong):.2f} "
            f"ms, 95th percentile {np.quantile(wrong, 0.95):.2f} ms, largest {max(wrong):.2f} ms"
        )


if __name__ == "__main__":
    main()
