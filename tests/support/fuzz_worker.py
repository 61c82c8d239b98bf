"""Opens what is named on standard input and states of each whether the rules were kept.

A process of its own, so that a library that ends the process, or never returns, is seen from
outside. One line in: a JSON object with path, format, width and height of a recording, or with the
`border` that it comes in by: recipe, bundle, dataset, table or checkpoint. One line out: `read`
with what was read, `refused` with the error, or `broken` with the rule that was.
"""

import contextlib
import json
import resource
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np
import scipy.io  # noqa: F401  (imported here, since its seconds are not the file's)

import evlora.datasets
import evlora.recipe
import evlora.training.checkpoints
from evlora.errors import EvloraError, RecordingError, RecordingWarning
from evlora.recordings import EventStream, iterate_windows, open_recording

MEMORY_BYTES, MOST_TAKEN_BYTES = 6 << 30, 3 << 29
"""Addresses that the process may have, and memory that one input may take."""
SHORTEST_WINDOW_US, MOST_WINDOWS = 10_000, 1000


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(outcome(json.loads(line))) + "\n")
        sys.stdout.flush()


def outcome(asked: dict[str, object]) -> list[str]:
    path, border = Path(str(asked.pop("path"))), str(asked.pop("border", "recording"))
    refusal = RecordingError if border == "recording" else EvloraError
    before = forget_peak_memory()
    try:
        found = opened(path, asked) if border == "recording" else str(BORDERS[border](path))
        result = ["read", found]
    except refusal as error:
        result = ["refused", str(error)]
        if not str(error):
            result = ["broken", "an error without a message"]
    except Exception:
        result = ["broken", traceback.format_exc()]
    taken = peak_memory() - before
    return result if taken <= MOST_TAKEN_BYTES else ["broken", f"took {taken >> 20} MB"]


def forget_peak_memory() -> int:
    """The memory in use now; from here on the peak is counted, where Linux does."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) << 10
    return 0


def prepared(path: Path) -> dict[str, int]:
    """The counts of the dataset of a table, which lies in a folder with its files."""
    with tempfile.TemporaryDirectory() as folder:
        return evlora.datasets.prepare("csv", path, Path(folder) / "out").counts


BORDERS = {
    "recipe": evlora.recipe.load_recipe,
    "bundle": lambda path: evlora.load_bundle(path).labels,
    "dataset": lambda path: evlora.datasets.read_manifest(path).counts,
    "table": prepared,
    "checkpoint": lambda path: list(evlora.training.checkpoints.read_checkpoint(path)),
}


def opened(path: Path, asked: dict[str, object]) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recording = open_recording(path, **asked)
    said = tuple(str(one.message) for one in caught if one.category is RecordingWarning)
    if said != recording.warnings:
        raise AssertionError(f"warned of {said}, the recording states {recording.warnings}")
    if recording.events is None and recording.frames is None:
        raise AssertionError("neither events nor frames")
    if recording.events is not None:
        check(recording.events)
        check_windows(path, asked, recording.events)
    if recording.frames is not None:
        for index in {0, len(recording.frames) - 1}:
            try:
                recording.frames.take([index])
            except RecordingError as error:
                said += (str(error),)
    return f"{0 if recording.events is None else len(recording.events)} events; {said}"


def check(events: EventStream) -> None:
    if len(events) and (events.x.max() >= events.width or events.y.max() >= events.height):
        raise AssertionError("an event lies outside the sensor")
    if (np.diff(events.t_us) < 0).any():
        raise AssertionError("time runs backwards")


def check_windows(path: Path, asked: dict[str, object], whole: EventStream) -> None:
    count, last_us = 0, None
    # Damaged clocks spread a file over hours: not a window for each of its events.
    span_us = int(whole.t_us[-1]) - int(whole.t_us[0]) if len(whole) else 0
    duration_us = max(SHORTEST_WINDOW_US, span_us // MOST_WINDOWS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordingWarning)
        for window in iterate_windows(path, duration_us=duration_us, **asked):
            check(window.events)
            count += len(window.events)
            if last_us is not None and window.events.first_us < last_us:
                raise AssertionError("a window begins before the last one ended")
            last_us = window.events.last_us
            if not window.start_us <= window.events.first_us <= last_us < window.end_us:
                raise AssertionError("a window holds events of another")
    if count > len(whole):
        raise AssertionError(f"windows hold {count} events, the whole only {len(whole)}")


if __name__ == "__main__":
    main()
