"""Opens what is named on standard input and states of each whether the rules were kept.

A process of its own, so that a library that ends the process, or never returns, is seen from
outside. One line in: a JSON object with path, format, width and height of a recording, or with the
`border` that it comes in by, one of `BORDERS`. One line out: `read` with what was read, `refused`
with the error, or `broken` with the rule that was; and the bytes of memory that it took.
"""

import contextlib
import functools
import json
import os
import resource
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io  # noqa: F401  # pyright: ignore[reportUnusedImport]  (its seconds are no file's)
import served
from starlette.testclient import TestClient

import evlora.datasets
import evlora.recipe
import evlora.training.checkpoints
import evlora_runtime
from evlora.clips import ClipConfig
from evlora.errors import EvloraError, RecordingError, RecordingWarning
from evlora.models import BackboneConfig
from evlora.models.backbone import build_backbone, weights_sha256
from evlora.packing import clip_dataset
from evlora.recordings import EventStream, iterate_windows, open_recording

MEMORY_BYTES, MOST_TAKEN_BYTES = 6 << 30, 3 << 29
"""Addresses that the process may have, and memory that one input may take."""
SHORTEST_WINDOW_US, MOST_WINDOWS = 10_000, 1000


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        answers.write(json.dumps(outcome(json.loads(line))) + "\n")
        answers.flush()


def outcome(asked: dict[str, object]) -> tuple[str, str, int]:
    path, border = Path(str(asked.pop("path"))), str(asked.pop("border", "recording"))
    refusal = RecordingError if border == "recording" else EvloraError
    before = forget_peak_memory()
    try:
        result, detail = "read", str(BORDERS[border](path, **asked))
    except refusal as error:
        result, detail = "refused", str(error)
        if not detail:
            result, detail = "broken", "an error without a message"
    except Exception:
        result, detail = "broken", traceback.format_exc()
    taken = peak_memory() - before
    if taken > MOST_TAKEN_BYTES:
        result, detail = "broken", f"took {taken >> 20} MB"
    return result, detail, taken


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


def answer_of_export(path: Path) -> list[str]:
    """The labels that an exported file gives for black pictures."""
    runner = evlora_runtime.load(path, threads=1)
    config = runner.clips
    moments = np.zeros((1, config.frames, 3, *config.size_px), np.uint8)
    shares = runner.model.probabilities([moments] * len(config.modalities), views=1)
    if shares.shape != (1, len(runner.labels)):
        raise AssertionError(f"{shares.shape} probabilities of {len(runner.labels)} labels")
    return list(runner.labels)


def first_packed_clip(path: Path) -> int:
    manifest = evlora.datasets.read_manifest(path)
    config = ClipConfig(frames=2, size=32)
    for split in manifest.splits:
        clips = clip_dataset(manifest, split, config)
        clips.set_epoch(0)
        clips[len(clips) - 1]
    return sum(manifest.counts.values())


def weights(path: Path) -> str:
    options: dict[str, Any] = {"patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 2}
    config = BackboneConfig(name="vit_tiny_patch16_224", weights=str(path), options=options)
    return weights_sha256(build_backbone(config, size=(32, 32)).state_dict())


def uploaded(path: Path, *, bundle: str, without: str) -> str:
    """The answer to a recording sent to a service, which keeps running from input to input.

    Raises:
        EvloraError: It is refused.
    """
    upload = {"recording": (path.name, path.read_bytes())}
    params = {"without": without} if without else {}
    answer = service_of(bundle).post("/predict", files=upload, params=params)
    return require_sound_answer(answer.status_code, answer.json())


def camera(path: Path, *, bundle: str) -> str:
    """The last answer to a camera's messages, each of them behind its length in four bytes.

    Raises:
        EvloraError: It is refused.
    """
    content, messages = path.read_bytes(), []
    while content:
        length = int.from_bytes(content[:4], "little")
        messages.append(content[4 : 4 + length])
        content = content[4 + length :]
    with service_of(bundle).websocket_connect("/live") as socket:
        opening, *others = messages or [b""]
        socket.send_text(opening.decode(errors="replace"))
        for message in (*others, b"the end"):  # no message, so that an error closes the socket
            socket.send_bytes(message)
        said: list[dict[str, object]] = []
        while (answer := socket.receive())["type"] != "websocket.close":
            said.append(json.loads(answer["text"]))
    if answer["code"] not in (1008, 1013):
        raise AssertionError(f"closed with {answer}")
    *_, last = said
    is_the_end = "header of 16 bytes, got 7" in str(last.get("error"))
    return require_sound_answer(200 if is_the_end else int(str(last["status"])), last)


def require_sound_answer(status: int, answer: dict[str, object]) -> str:
    if status != 200 and not (400 <= status < 500 and answer["error"]):
        raise AssertionError(f"answered with {status}: {answer}")
    if status != 200:
        raise EvloraError(str(answer["error"]))
    return str(answer)[:300]


@functools.cache
def service_of(bundle: str) -> TestClient:
    client = served.client_of(bundle)
    return client.__enter__()  # to the end of the process


def opened(path: Path, **asked: Any) -> str:
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


def check_windows(path: Path, asked: dict[str, Any], whole: EventStream) -> None:
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


BORDERS: dict[str, Callable[..., object]] = {
    "recording": opened,
    "recipe": evlora.recipe.load_recipe,
    "bundle": lambda path: evlora.load_bundle(path).labels,
    "dataset": lambda path: evlora.datasets.read_manifest(path).counts,
    "packed": first_packed_clip,
    "table": prepared,
    "checkpoint": lambda path: list(evlora.training.checkpoints.read_checkpoint(path)),
    "weights": weights,
    "exported": answer_of_export,
    "service": uploaded,
    "camera": camera,
}


if __name__ == "__main__":
    main()
