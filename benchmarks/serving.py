"""What a service answers under load, how fast, and in how much memory; and a camera's highest rate.

    python benchmarks/serving.py
    python benchmarks/serving.py --bundle run/bundle --requests 200 --rates 5 10 20
    python benchmarks/serving.py --services 2 --rates              # two behind nginx, no camera
    python benchmarks/serving.py --short       # requests, and a camera before ViT-Tiny: 3 minutes

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
With `--short` the camera is answered by ViT-Tiny instead, see `serving_camera.py`.
"""

import argparse
import http.client
import json
import os
import platform
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch

import evlora
from evlora.bundle import save_bundle
from evlora.exporting.checking import generated_recording
from evlora.recipe import build
from serving_camera import MOMENTS, measure_camera, measure_vit_tiny, serving
from serving_proxy import behind_nginx

FILES = 16
UPLOAD_BYTES = 4_000_000
"""The limit of the service that is measured, so that what is too large is quickly sent."""
BOUNDS = f"upload_bytes={UPLOAD_BYTES}"
EXACT = 1e-4
"""How far probabilities may lie apart: sums of float32 in calls of different sizes."""


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
    parser.add_argument("--services", type=int, default=1, help="behind nginx if several")
    parser.add_argument("--rates", type=float, nargs="*", default=[10, 20, 30, 45, 60, 90, 120])
    parser.add_argument("--seconds", type=float, default=5, help="of each rate")
    parser.add_argument("--held", type=float, default=60, help="seconds of ViT-Tiny's rate")
    parser.add_argument("--short", action="store_true", help="what a release is checked with")
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
        with ExitStack() as stack:
            started = [
                stack.enter_context(
                    serving(bundle, folder, decoders=options.decoders, limits=BOUNDS)
                )
                for _ in range(options.services)
            ]
            services, addresses = [one for one, _ in started], [one for _, one in started]
            address = addresses[0]
            if options.services > 1:
                address = stack.enter_context(behind_nginx(addresses, folder))
            asked = questions(files, expected, options.requests)
            rate = measure_requests(services, address, asked, at_once=options.at_once)
            alone.append(rate_alone(recognizer, files))
            print(f"one by one in Python, before and after: {alone[0]:.1f} and {alone[1]:.1f} /s")
            print(f"good requests of the service: {rate / statistics.mean(alone):.2f} × that")
            if options.rates and not options.short:
                measure_camera(address, options.rates, options.seconds)
        if options.short:
            measure_vit_tiny(folder, options.held)


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
    services: Sequence[psutil.Process],
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
    memory = [memory_of(services)]
    begun = time.perf_counter()
    replies += (later := answered(address, asked[first:], at_once))
    seconds = time.perf_counter() - begun
    memory.append(memory_of(services))
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


def memory_of(services: Sequence[psutil.Process]) -> dict[str, int]:
    """Bytes that the services have to themselves, and those of the processes below them."""
    own = [one.memory_full_info().uss for one in services]
    below = [
        one.memory_full_info().uss
        for service in services
        for one in service.children(recursive=True)
    ]
    return {"service": sum(own), "decoders": sum(below)}


def metrics(address: tuple[str, int]) -> dict[str, float]:
    """The figures without labels at /metrics."""
    connection = http.client.HTTPConnection(*address)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    plain = [line.split() for line in lines if line[0] != "#" and "{" not in line]
    return {name: float(value) for name, value in plain}


if __name__ == "__main__":
    main()
