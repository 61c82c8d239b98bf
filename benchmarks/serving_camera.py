"""A camera before `evlora serve`: which rates hold, and for how long.

A camera sends moments at one rate after the other. A rate holds if none of its moments is skipped
and half of the answers come within one moment's time. `measure_vit_tiny` looks for the highest one
of ViT-Tiny at 224 px, keeps it up for a minute, and compares the labels of a recording that is sent
moment by moment with those of `evlora predict --live`.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from websockets.sync.client import ClientConnection, connect

import evlora
from evlora.bundle import save_bundle
from evlora.clips.playback import schedule
from evlora.exporting.checking import generated_recording
from evlora.recipe import build
from evlora.serving.live import HEADER

MOMENTS = 16
"""Frames of each recording."""
RAW_EVENTS, RAW_PICTURE = 0, 3
VIT_TINY: dict[str, Any] = {"backbone.name": "vit_tiny_patch16_224", "backbone.weights": "random"}
NETWORKS: dict[str, dict[str, Any]] = {
    "events alone": {"clip.modalities": ["event"], "model.network": "single_stream"},
    "VELoRA, frames and events": {},
}
TINY_RATES_HZ = (5, 7, 10, 15, 20, 30, 40)
LONGEST = "events alone"
TRIAL_S, WANTED_HZ = 3, 30
WINDOW_MS = 10
EXACT = 1e-4
"""How far probabilities may lie apart: sums of float32 in calls of different sizes."""


@contextmanager
def serving(
    bundle: Path, folder: Path, *, decoders: int = 1, limits: str = ""
) -> Generator[tuple[psutil.Process, tuple[str, int]]]:
    """A service in a process of its own, and its address."""
    words = (sys.executable, "-m", "evlora", "serve", str(bundle), "--port", "0", "--device", "cpu")
    log = folder / f"log-{time.monotonic_ns()}"
    with log.open("w") as text:
        process = subprocess.Popen(
            [*words, "--decoders", str(decoders)],
            env={**os.environ, "EVLORA_LIMITS": limits},
            stderr=text,
        )
    try:
        found = None
        while found is None:
            if process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.1)
            found = re.search(r"running on http://(\S+):(\d+)", log.read_text(), re.IGNORECASE)
        yield psutil.Process(process.pid), (found[1], int(found[2]))
    finally:
        process.terminate()
        process.wait()


def measure_vit_tiny(folder: Path, held_s: float) -> None:
    """Print, for each network, which rates hold, how the highest one goes on, and the labels.

    Args:
        folder: Takes bundles and logs.
        held_s: How long the highest rate of `LONGEST` is kept up; of others a third of it.
    """
    for name, keys in NETWORKS.items():
        torch.manual_seed(0)
        recognizer = build("velora_vitb16_clip", num_classes=10, overrides={**VIT_TINY, **keys})
        with torch.no_grad():
            for parameter in recognizer.trained_tensors().values():
                parameter.add_(0.05 * torch.randn_like(parameter))
        place = folder / name.split(",", maxsplit=1)[0].replace(" ", "-")
        bundle = save_bundle(recognizer, place)
        print(f"\nViT-Tiny, 8 moments of 224 px, {name}")
        with serving(bundle, folder) as (_, address):
            require_labels_of_command(address, bundle, recognizer)
            has_pictures = "rgb" in recognizer.clip_config.modalities
            held = measure_camera(address, TINY_RATES_HZ, TRIAL_S, has_pictures=has_pictures)
            if held:
                best_hz = min(max(held), WANTED_HZ)
                seconds = held_s if name == LONGEST else held_s / 3
                print(f"\nthe highest of these, at most {WANTED_HZ} /s, for {seconds:g} s:")
                measure_camera(address, [best_hz], seconds, has_pictures=has_pictures)


def require_labels_of_command(
    address: tuple[str, int], bundle: Path, recognizer: evlora.Recognizer
) -> None:
    """Compare the answers for a recording, sent moment by moment, with those of the command.

    Raises:
        SystemExit: A label differs, or a probability by more than sums in another order do.
    """
    recording = generated_recording(0, frames=MOMENTS)
    window_ms, has_pictures = [], "rgb" in recognizer.clip_config.modalities
    if not has_pictures:
        window_ms = ["--window-ms", str(WINDOW_MS)]
        recording = evlora.Recording(recording.events, None, "generated", None)
    file = bundle.with_suffix(".npz")
    evlora.write_recording(recording, file)
    words = [sys.executable, "-m", "evlora", "predict", str(bundle), str(file), "--live"]
    words += ["--speed", "0", "--json", *window_ms]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    wanted = [(one["label"], one["confidence"]) for one in lines]
    plan = schedule(
        recording,
        recognizer.clip_config,
        window_us=None if has_pictures else 1000 * WINDOW_MS,
    )
    events = recording.events
    assert events is not None
    got: list[tuple[str, float]] = []
    with connect(f"ws://{address[0]}:{address[1]}/live", proxy=None) as socket:
        size = {"width": events.width, "height": events.height}
        socket.send(json.dumps({**size, "top": 1, "stride": plan.stride}))
        for number, (start_us, end_us) in enumerate(plan.moments.windows_us.tolist()):
            part = events.between(start_us, end_us)
            length_us = end_us - start_us
            socket.send(HEADER.pack(RAW_EVENTS, length_us, start_us) + records_of(part).tobytes())
            if recording.frames is not None:
                picture = recording.frames[number].tobytes()
                socket.send(HEADER.pack(RAW_PICTURE, length_us, end_us) + picture)
            answer = json.loads(socket.recv(timeout=60))
            if "error" in answer:
                raise SystemExit(answer["error"])
            got += [(one["label"], one["probability"]) for one in answer["labels"]]
    near = len(got) == len(wanted) and all(
        mine[0] == theirs[0] and abs(mine[1] - theirs[1]) < EXACT
        for mine, theirs in zip(got, wanted, strict=True)
    )
    if not near:
        raise SystemExit(f"expected the answers of the command, {wanted}, got {got}")
    print(f"{len(got)} answers to a recording: labels as by `evlora predict --live`, ", end="")
    print(f"{len({label for label, _ in got})} different ones")


def records_of(events: evlora.EventStream) -> np.ndarray:
    """Events as the messages have them."""
    records = np.zeros(len(events), [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "<u4")])
    records["t"], records["x"], records["y"] = events.t_us, events.x, events.y
    records["p"] = events.polarity
    return records


def measure_camera(
    address: tuple[str, int],
    rates_hz: Sequence[float],
    seconds: float,
    *,
    has_pictures: bool = True,
) -> list[float]:
    """Print a table of rates, up to the first two that do not hold.

    Returns:
        Those that hold.
    """
    print("\n| moments /s | answers /s | skipped | latency p50 | p99 | holds |")
    print("|---|---|---|---|---|---|")
    held: list[float] = []
    failed = 0
    for rate_hz in rates_hz:
        with connect(f"ws://{address[0]}:{address[1]}/live", proxy=None) as socket:
            count = round(rate_hz * seconds)
            found = camera(socket, rate_hz, count, has_pictures=has_pictures)
        latencies_ms, skipped, spent_s = found
        p50, p99 = np.percentile(latencies_ms, [50, 99])
        holds = not skipped and statistics.median(latencies_ms) < 1e3 / rate_hz
        print(f"| {rate_hz:g} | {len(latencies_ms) / spent_s:.1f} | {skipped} | ", end="")
        print(f"{p50:.1f} ms | {p99:.1f} ms | {'yes' if holds else 'no'} |", flush=True)
        held += [rate_hz] if holds else []
        failed += not holds
        if failed == 2:
            break
    return held


def camera(
    socket: ClientConnection, rate_hz: float, count: int, *, has_pictures: bool
) -> tuple[list[float], int, float]:
    """Send moments at a rate: latencies of the answers in ms, moments skipped, and the time.

    One moment is answered before, whose time is that of opening.
    """
    recording = generated_recording(0, frames=MOMENTS)
    events, frames = recording.events, recording.frames
    assert events is not None
    assert frames is not None
    parts = np.array_split(records_of(events), MOMENTS)
    step_us = round(1e6 / rate_hz)

    def send(number: int) -> None:
        part = parts[number % MOMENTS].copy()
        part["t"] = number * step_us + np.arange(len(part)) * step_us // (len(part) + 1)
        socket.send(HEADER.pack(RAW_EVENTS, step_us, number * step_us) + part.tobytes())
        if has_pictures:
            picture = frames[number % MOMENTS].tobytes()
            socket.send(HEADER.pack(RAW_PICTURE, 0, (number + 1) * step_us) + picture)

    def send_all() -> None:
        begun = time.perf_counter()
        for number in range(count):
            time.sleep(max(0, begun + number / rate_hz - time.perf_counter()))
            send(number + 1)

    socket.send(json.dumps({"width": events.width, "height": events.height}))
    send(0)
    socket.recv(timeout=60)
    sender = threading.Thread(target=send_all)
    begun = time.perf_counter()
    sender.start()
    latencies_ms: list[float] = []
    skipped = 0
    while len(latencies_ms) + skipped < count:
        answer = json.loads(socket.recv(timeout=60))
        if "error" in answer:
            raise SystemExit(answer["error"])
        latencies_ms.append(answer["latency_ms"])
        skipped += answer["dropped_moments"]
    seconds = time.perf_counter() - begun
    sender.join()
    return latencies_ms, skipped, seconds
