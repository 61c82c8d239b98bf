"""Live prediction from a socket that is cut: are the answers right, and does memory stay flat?

    python benchmarks/live_socket.py BUNDLE DATASET

Events of the dataset's test recordings, one after the other, are sent at their own time by
dv-processing's `NetworkWriter`, a process that is killed and started again twice. An answer is
right if the recognizer answers the same, to 1e-4, to the same windows of the file.
"""

import argparse
import itertools
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import cast

import numpy as np
import psutil

from evlora.bundle import load_bundle
from evlora.clips import Modality
from evlora.clips.playback import LiveAnswer
from evlora.datasets import Manifest, read_manifest
from evlora.datasets.opening import open_sample
from evlora.live import StreamingRecognizer, predict_stream
from evlora.recognizer import Recognizer
from evlora.recordings import EventStream
from evlora.recordings.live import LiveMoment, LiveStream, open_stream

WRITER = Path(__file__).parents[1] / "tests" / "support" / "dv_writer.py"
BEGUN_US = 1_700_000_000_000_000
"""Where the writer's clock begins."""
GAP_US = 1000
"""Between one recording and the next."""
PAUSE_S = 0.5
"""From a cut to the writer's return."""
LONGEST_WAIT_S = 30
"""For the last cut to be mended."""
SAME = 1e-4


def main() -> None:
    """Run it, and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("bundle", type=Path, help="of a recognizer that sees events")
    parser.add_argument("dataset", type=Path, help="a prepared dataset")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate-hz", type=float, default=30, help="moments a second")
    parser.add_argument("--cuts", type=int, default=2)
    options = parser.parse_args()
    found = measured(
        load_bundle(options.bundle),
        read_manifest(options.dataset),
        seconds=options.seconds,
        rate_hz=options.rate_hz,
        cuts=options.cuts,
    )
    print("\n".join(f"{name}: {value}" for name, value in found.items()))


@dataclass
class Watched:
    """A stream whose moments are noted while they are taken."""

    camera: LiveStream
    until: float
    """When it ends at the earliest, on the clock of `time.monotonic`."""
    cuts: int
    """How many of them must be mended before."""
    keeps_all: bool = False
    moments: list[tuple[tuple[int, int], int, bool]] = field(
        default_factory=list[tuple[tuple[int, int], int, bool]]
    )
    """Window, number of events, and whether the clock leapt before."""
    dropped: int = 0

    def __iter__(self) -> Iterator[LiveMoment]:
        for moment in self.camera:
            count = 0 if moment.events is None else len(moment.events)
            self.moments.append((moment.window_us, count, moment.is_after_leap))
            self.dropped += moment.dropped
            yield moment
            late_s = time.monotonic() - self.until
            if late_s > 0 and (self.camera.reconnections >= self.cuts or late_s > LONGEST_WAIT_S):
                return


def measured(
    recognizer: Recognizer, manifest: Manifest, *, seconds: float, rate_hz: float, cuts: int
) -> dict[str, str]:
    """Figures by name."""
    hidden: Modality | None = "rgb" if len(recognizer.clip_config.modalities) > 1 else None
    events = joined(manifest, seconds)
    stream = StreamingRecognizer(recognizer, without=hidden)
    for window_us in ((0, 33_000), (33_000, 66_000)):  # the first call of a network is slow
        stream.push(events=events.between(*window_us), window_us=window_us)
    stream.reset()
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        path = Path(folder) / "recording.npz"
        np.savez(
            path,
            t=events.t_us,
            x=events.x,
            y=events.y,
            p=events.polarity,
            width=events.width,
            height=events.height,
        )
        port = free.getsockname()[1]
        free.close()
        writer = Writer(port, path)
        lines: list[str] = []
        try:
            with open_stream(
                f"tcp://127.0.0.1:{port}",
                wants=("event",),
                window_us=round(1e6 / rate_hz),
                report=lines.append,
            ) as camera:
                watched = Watched(camera, time.monotonic() + seconds, cuts)
                writer.cut(every_s=seconds / (cuts + 1), times=cuts)
                answers, memory = answered(stream, watched)
                reconnections = camera.reconnections
        finally:
            writer.end()
    kinds = Counter(compared(recognizer, hidden, events, watched, answers))
    quarter = len(memory) // 4
    return {
        "seconds": f"{seconds:g}",
        "cuts that were mended": f"{reconnections} of {cuts}",
        "moments answered": str(len(answers)),
        "moments skipped": str(watched.dropped),
        "answers right": f"{kinds['right']} of {kinds['right'] + kinds['wrong']}",
        "answers beside a cut, not compared": str(kinds["cut"]),
        "median latency": f"{median(answer.latency_ms for answer in answers):.1f} ms",
        "memory after a quarter of the time, and at the end": (
            f"{memory[quarter]:.1f} MB, {memory[-1]:.1f} MB"
        ),
    }


def joined(manifest: Manifest, seconds: float) -> EventStream:
    """The test recordings' events one after the other, again from the first one at the end."""
    parts: list[EventStream] = []
    begun_us = 0
    for sample in itertools.cycle(manifest.split("test")):
        events = open_sample(sample, manifest.source).events
        assert events is not None
        parts.append(replace(events, t_us=events.t_us + begun_us - events.first_us))
        begun_us = parts[-1].last_us + GAP_US
        if begun_us > 1e6 * (seconds + LONGEST_WAIT_S):
            break
    columns = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("t_us", "x", "y", "polarity")
    )
    return EventStream.from_arrays(*columns, width=parts[0].width, height=parts[0].height)


class Writer:
    """dv-processing's writer as a process, which sends the file at its time."""

    def __init__(self, port: int, path: Path) -> None:
        self._words = [sys.executable, str(WRITER), str(port), "--recording", str(path)]
        self._words += ["--zero-s", str(time.time() + 1)]
        self._ended = Event()
        self._process = self._started()
        self._thread: Thread | None = None

    def cut(self, *, every_s: float, times: int) -> None:
        """Kill it and start it again, that often."""

        def run() -> None:
            for _ in range(times):
                if self._ended.wait(every_s):
                    return
                self._kill()
                if self._ended.wait(PAUSE_S):
                    return
                self._process = self._started()

        self._thread = Thread(target=run)
        self._thread.start()

    def end(self) -> None:
        """Kill it for good."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._kill()

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self._words, stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process.stdout as output:
            assert output.readline() == b"ready\n"
        return process

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()


def answered(stream: StreamingRecognizer, watched: Watched) -> tuple[list[LiveAnswer], list[float]]:
    """The answers, and the memory of this process in MB at each of them."""
    process = psutil.Process()
    answers: list[LiveAnswer] = []
    memory: list[float] = []
    for answer in predict_stream(stream, cast(LiveStream, watched)):
        answers.append(answer)
        memory.append(process.memory_info().rss / 1e6)
    return answers, memory


def compared(
    recognizer: Recognizer,
    hidden: Modality | None,
    events: EventStream,
    watched: Watched,
    answers: list[LiveAnswer],
) -> Iterator[str]:
    """Of each answer, whether it is right, wrong, or of windows that a cut left incomplete."""
    by_time = {answer.time_us: answer for answer in answers}
    latest: deque[tuple[int, int]] = deque(maxlen=recognizer.clip_config.frames)
    is_whole: deque[bool] = deque(maxlen=recognizer.clip_config.frames)
    for window_us, count, is_after_leap in watched.moments:
        if is_after_leap:
            latest.clear()
            is_whole.clear()
        window = (window_us[0] - BEGUN_US, window_us[1] - BEGUN_US)
        latest.append(window)
        is_whole.append(count == len(events.between(*window)))
        answer = by_time.get(window_us[1])
        if answer is None:
            continue
        if not all(is_whole):
            yield "cut"
            continue
        stream = StreamingRecognizer(recognizer, without=hidden)
        scores = None
        for one in latest:
            scores = stream.push(events=events.between(*one), window_us=one)
        assert scores is not None
        probabilities = (scores / recognizer.temperature).softmax(-1)
        place = stream.labels.index(answer.label)
        is_same = abs(float(probabilities[place]) - answer.confidence) < SAME
        is_first = float(probabilities.max()) - float(probabilities[place]) < SAME
        yield "right" if is_same and is_first else "wrong"


if __name__ == "__main__":
    main()
