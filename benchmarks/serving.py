"""What a service answers under load, how fast, and in how much memory; and a camera's highest rate.

    python benchmarks/serving.py
    python benchmarks/serving.py --bundle run/bundle --requests 200 --rates 5 10 20

`evlora serve` runs as a process of its own. A number of requests come at once, one in five of them
damaged, empty, of another format, or too large. Every good answer is compared with
`evlora.predict`, and a bad request must be refused with its status and a reason: what is not as it
must be is printed and ends the run with an error. The same recognizer answers the same files one by
one through `evlora.predict` in this process, before the service and after it, without HTTP and
without another process. Memory is what the service and its decoders have to themselves; it is
measured after a tenth of the requests and at the end. The clients share the machine's cores with
the service.

A camera then sends moments at one rate after the other. A rate holds if none of its moments is
skipped and half of the answers come within one moment's time. Without `--bundle` the recognizer is
VELoRA on evlora-nano as in the demo, its trained numbers random: only time and agreement count.
"""

import argparse
import http.client
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch
from websockets.sync.client import ClientConnection, connect

import evlora
from evlora.bundle import save_bundle
from evlora.exporting.checking import generated_recording
from evlora.recipe import build
from evlora.serving.live import HEADER

FILES = 16
MOMENTS = 16
"""Frames of each recording."""
UPLOAD_BYTES = 4_000_000
"""The limit of the service that is measured, so that what is too large is quickly sent."""
EXACT = 1e-4
"""How far probabilities may lie apart: sums of float32 in calls of different sizes."""
RAW_EVENTS, RAW_PICTURE = 0, 3


class Question(NamedTuple):
    """A request, and what must come back."""

    body: bytes
    status: int
    shares: dict[str, float] | None


class Reply(NamedTuple):
    """How a request went: what is wrong with it, if anything, and how long it took."""

    question: Question
    wrong: str | None
    seconds: float


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--decoders", type=int, default=2)
    parser.add_argument("--rates", type=float, nargs="*", default=[10, 20, 30, 45, 60, 90, 120])
    parser.add_argument("--seconds", type=float, default=5, help="of each rate")
    options = parser.parse_args()
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"{torch.get_num_threads()} thread(s), Python {platform.python_version()}, ", end="")
    print(f"torch {torch.__version__}, load of the machine before {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = options.bundle or made_bundle(folder / "bundle")
        files = [folder / f"{number}.npz" for number in range(FILES)]
        for number, file in enumerate(files):
            evlora.write_recording(generated_recording(number, frames=MOMENTS), file)
        recognizer = evlora.load_bundle(bundle)
        found = [evlora.predict(recognizer, file) for file in files]
        expected = [{one.label: one.probability for one in ranked} for ranked in found]
        alone = [rate_alone(recognizer, files)]
        with serving(bundle, options.decoders, folder) as (service, address):
            asked = questions(files, expected, options.requests)
            rate = measure_requests(service, address, asked, at_once=options.at_once)
            alone.append(rate_alone(recognizer, files))
            print(f"one by one in Python, before and after: {alone[0]:.1f} and {alone[1]:.1f} /s")
            print(f"good requests of the service: {rate / statistics.mean(alone):.2f} × that")
            measure_camera(address, options.rates, options.seconds)


def made_bundle(folder: Path) -> Path:
    """A bundle of the demo's kind."""
    torch.manual_seed(0)
    recognizer = build("demo", num_classes=10)
    with torch.no_grad():
        for parameter in recognizer.trained_tensors().values():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return save_bundle(recognizer, folder)


def rate_alone(recognizer: evlora.Recognizer, files: Sequence[Path]) -> float:
    """Recordings a second, read, drawn and recognized one after the other."""
    begun = time.perf_counter()
    for _ in range(4):
        for file in files:
            evlora.predict(recognizer, file)
    return 4 * len(files) / (time.perf_counter() - begun)


@contextmanager
def serving(
    bundle: Path, decoders: int, folder: Path
) -> Generator[tuple[psutil.Process, tuple[str, int]]]:
    """A service in a process of its own, and its address."""
    words = (sys.executable, "-m", "evlora", "serve", str(bundle), "--port", "0", "--device", "cpu")
    log = folder / "log"
    with log.open("w") as text:
        process = subprocess.Popen(
            [*words, "--decoders", str(decoders)],
            env={**os.environ, "EVLORA_LIMITS": f"upload_bytes={UPLOAD_BYTES}"},
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


def questions(
    files: Sequence[Path], expected: Sequence[dict[str, float]], count: int
) -> list[Question]:
    """The requests in their order: four good ones, then a bad one."""
    random = np.random.default_rng(0)
    contents = [file.read_bytes() for file in files]
    asked: list[Question] = []
    for number in range(count):
        which = number % len(files)
        content = contents[which]
        if number % 5 < 4:
            asked.append(Question(form("a.npz", content), 200, expected[which]))
            continue
        cut = content[: int(random.integers(1, len(content) - 100))]
        bad = (
            ("a.npz", cut, 422),
            ("a.aedat4", random.bytes(20_000), 422),
            ("a.npz", bytes(UPLOAD_BYTES + 100_000), 413),
            ("a.npz", b"", 422),
            ("a.exe", content, 415),
        )
        name, damaged, status = bad[number // 5 % len(bad)]
        asked.append(Question(form(name, damaged), status, None))
    return asked


def form(name: str, content: bytes) -> bytes:
    """The body of a request with this file."""
    head = f'--x\r\nContent-Disposition: form-data; name="recording"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--x--\r\n"


def measure_requests(
    service: psutil.Process,
    address: tuple[str, int],
    asked: Sequence[Question],
    *,
    at_once: int,
) -> float:
    """Ask, and print how it went.

    Returns:
        Good requests a second.

    Raises:
        SystemExit: An answer was not as it must be.
    """
    first = len(asked) // 10
    replies = answered(address, asked[:first], at_once)
    memory = [memory_of(service)]
    begun = time.perf_counter()
    replies += (later := answered(address, asked[first:], at_once))
    seconds = time.perf_counter() - begun
    memory.append(memory_of(service))
    statuses = Counter(reply.question.status for reply in replies)
    print(f"{len(replies)} requests, {at_once} at once; expected statuses {dict(statuses)}")
    good_ms = sorted(1e3 * one.seconds for one in later if one.question.status == 200)
    p50, p99 = np.percentile(good_ms, [50, 99])
    rate = len(good_ms) / seconds
    print(f"good requests: p50 {p50:.0f} ms, p99 {p99:.0f} ms, {rate:.1f} /s; ", end="")
    print(f"with the bad ones {len(later) / seconds:.1f} /s")
    calls = metrics(address)
    size = calls["evlora_batch_recordings_sum"] / calls["evlora_batch_recordings_count"]
    print(f"recordings of a call of the network, mean: {size:.1f}")
    for name in memory[0]:
        before, after = (at[name] / 2**20 for at in memory)
        print(f"memory of the {name}: {before:.0f} MiB, then {after:.0f} ({after / before:.3f} ×)")
    if wrong := Counter(reply.wrong for reply in replies if reply.wrong):
        raise SystemExit(f"wrong: {dict(wrong)}")
    return rate


def answered(address: tuple[str, int], asked: Sequence[Question], at_once: int) -> list[Reply]:
    """The replies; each thread keeps its connection as long as the service does."""
    kept = threading.local()

    def ask(question: Question) -> Reply:
        begun = time.perf_counter()
        for attempt in range(2):  # a connection that was kept may have ended meanwhile
            connection = getattr(kept, "connection", None) or http.client.HTTPConnection(*address)
            kept.connection = connection
            try:
                connection.request("POST", "/predict?top=1000", question.body, KIND)
                reply = connection.getresponse()
                content = json.loads(reply.read())
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if attempt:
                    return Reply(question, repr(error), 0)
            else:
                seconds = time.perf_counter() - begun
                return Reply(question, fault(question, reply.status, content), seconds)
        raise AssertionError

    with ThreadPoolExecutor(at_once) as threads:
        return list(threads.map(ask, asked))


KIND = {"Content-Type": "multipart/form-data; boundary=x"}


def fault(question: Question, status: int, content: Any) -> str | None:
    """What is wrong with an answer."""
    if status != question.status:
        return f"{question.status} expected, got {status}: {content}"
    if question.shares is None:
        return None if content.get("error") else f"{status} without a reason"
    shares = {one["label"]: one["probability"] for one in content["labels"]}
    if shares.keys() != question.shares.keys():
        return "other labels"
    apart = max(abs(share - question.shares[label]) for label, share in shares.items())
    return None if apart < EXACT else f"probabilities {apart:.1g} apart"


def memory_of(service: psutil.Process) -> dict[str, int]:
    """Bytes that the service has to itself, and those of the processes below it."""
    below = [one.memory_full_info().uss for one in service.children(recursive=True)]
    return {"service": service.memory_full_info().uss, "decoders": sum(below)}


def metrics(address: tuple[str, int]) -> dict[str, float]:
    """The figures without labels at /metrics."""
    connection = http.client.HTTPConnection(*address)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    plain = [line.split() for line in lines if line[0] != "#" and "{" not in line]
    return {name: float(value) for name, value in plain}


def measure_camera(address: tuple[str, int], rates_hz: Sequence[float], seconds: float) -> None:
    """Print a table of rates, up to the first two that do not hold."""
    print("\n| moments /s | answers /s | skipped | latency p50 | p99 | holds |")
    print("|---|---|---|---|---|---|")
    failed = 0
    for rate_hz in rates_hz:
        with connect(f"ws://{address[0]}:{address[1]}/live", proxy=None) as socket:
            latencies_ms, skipped, spent_s = camera(socket, rate_hz, round(rate_hz * seconds))
        p50, p99 = np.percentile(latencies_ms, [50, 99])
        holds = not skipped and statistics.median(latencies_ms) < 1e3 / rate_hz
        print(f"| {rate_hz:g} | {len(latencies_ms) / spent_s:.1f} | {skipped} | ", end="")
        print(f"{p50:.1f} ms | {p99:.1f} ms | {'yes' if holds else 'no'} |", flush=True)
        failed += not holds
        if failed == 2:
            break


def camera(socket: ClientConnection, rate_hz: float, count: int) -> tuple[list[float], int, float]:
    """Send moments at a rate: latencies of the answers in ms, moments skipped, and the time.

    One moment is answered before, whose time is that of opening.
    """
    recording = generated_recording(0, frames=MOMENTS)
    events, frames = recording.events, recording.frames
    assert events is not None
    assert frames is not None
    records = np.zeros(len(events), [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "<u4")])
    records["x"], records["y"], records["p"] = events.x, events.y, events.polarity
    parts = np.array_split(records, MOMENTS)
    step_us = round(1e6 / rate_hz)

    def send(number: int) -> None:
        part = parts[number % MOMENTS].copy()
        part["t"] = number * step_us + np.arange(len(part)) * step_us // (len(part) + 1)
        socket.send(HEADER.pack(RAW_EVENTS, 0, number * step_us) + part.tobytes())
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


if __name__ == "__main__":
    main()
