"""How much memory a long recording needs on its way to clips.

    python benchmarks/long_recordings.py --events 100000000

Writes a recording piece by piece, then reads it in windows of time in a process of its own, makes
a clip of each window, and prints that process's largest resident memory as one JSON object.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WIDTH, HEIGHT = 346, 260
RATE_HZ = 1_000_000
PIECE_EVENTS = 1_000_000
CLIP_US = 2_000_000


def main() -> None:
    """Write, read in a new process, and print what it needed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--events", type=int, default=100_000_000)
    parser.add_argument("--read", type=Path, help="make clips of this file and print the numbers")
    options = parser.parse_args()
    if options.read is not None:
        print(json.dumps(make_clips(options.read)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.dat"
        write_dat(path, options.events)
        subprocess.run([sys.executable, __file__, "--read", str(path)], check=True)


def write_dat(path: Path, count: int) -> None:
    """Events at random places at a steady rate, as Prophesee's DAT of version 2."""
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(f"% Version 2\n% Width {WIDTH}\n% Height {HEIGHT}\n".encode())
        file.write(bytes([0x0C, 8]))
        for start in range(0, count, PIECE_EVENTS):
            stop = min(start + PIECE_EVENTS, count)
            words = np.empty((stop - start, 2), "<u4")
            words[:, 0] = np.arange(start, stop) * 1_000_000 // RATE_HZ
            words[:, 1] = random.integers(0, WIDTH, stop - start)
            words[:, 1] |= random.integers(0, HEIGHT, stop - start).astype(np.uint32) << 14
            words[:, 1] |= random.integers(0, 2, stop - start).astype(np.uint32) << 28
            file.write(words.tobytes())


def make_clips(path: Path) -> dict[str, float]:
    """Clips, events and seconds it took, and the largest resident memory in MB."""
    import torch

    from evlora.clips import ClipConfig, make_clip
    from evlora.recordings import Recording
    from evlora.recordings.windows import iterate_windows

    torch.set_num_threads(1)
    config = ClipConfig(modalities=("event",))
    clips = events = 0
    start = time.perf_counter()
    for window in iterate_windows(path, duration_us=CLIP_US):
        clip = make_clip(Recording(window.events, None, "dat"), config)
        assert clip.events is not None
        clips, events = clips + 1, events + len(window.events)
    seconds = time.perf_counter() - start
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"clips": clips, "events": events, "seconds": seconds, "peak_mb": peak_kb / 1024}


if __name__ == "__main__":
    main()
