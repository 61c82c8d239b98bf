"""numpy archives, as `evlora.recordings.readers.npz` describes them; not compressed."""

from pathlib import Path
from typing import Any

import numpy as np

from evlora.recordings.recording import Recording

TRIGGER_FIELDS = ("trigger_t_us", "trigger_channel", "trigger_polarity")


def write(recording: Recording, path: Path) -> None:
    """Write events, frames and triggers; all frames are in memory while this runs."""
    arrays: dict[str, Any] = {}
    events, frames = recording.events, recording.frames
    if events is not None:
        arrays.update(t=events.t_us, x=events.x, y=events.y, p=events.polarity)
        arrays.update(width=np.int64(events.width), height=np.int64(events.height))
    if frames is not None:
        arrays["frames"] = frames.take(range(len(frames)))
        if frames.start_us is not None and frames.end_us is not None:
            arrays.update(frame_start_us=frames.start_us, frame_end_us=frames.end_us)
    if recording.triggers is not None:
        values = (getattr(recording.triggers, name) for name in ("t_us", "channel", "polarity"))
        arrays.update(zip(TRIGGER_FIELDS, values, strict=True))
    with path.open("wb") as file:
        np.savez(file, **arrays)
