"""A recording of events and frames that is as small as a test of whole datasets needs."""

from pathlib import Path

import numpy as np


def write_recording(path: Path, seed: int) -> None:
    """300 events and three frames in 30 ms, 20 × 16 pixels, as npz."""
    random = np.random.default_rng(seed)
    starts_us = np.array([0, 10_000, 20_000])
    np.savez(
        path,
        t=np.sort(random.integers(0, 30_000, 300)),
        x=random.integers(0, 20, 300),
        y=random.integers(0, 16, 300),
        p=random.random(300) < 0.5,
        width=np.asarray(20),
        height=np.asarray(16),
        frames=random.integers(0, 256, (3, 16, 20, 3), dtype=np.uint8),
        frame_start_us=starts_us,
        frame_end_us=starts_us + 5_000,
    )
