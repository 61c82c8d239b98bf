"""Damaged files of every format: read in part with a warning, or refused with a reason.

None may take more than five seconds, end the process, give an event outside the sensor or one out
of order, or fail with anything but a RecordingError.
"""

import contextlib
import json
import queue
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from recording_samples import HEIGHT, SAMPLES, VARIANTS, WIDTH
from table_samples import TABLE_VARIANTS

LONGEST_S = 5.0
SHORT_RUN_FILES = 120
LONG_RUN_FILES = 20_000
REAL_SAMPLE_BYTES = 300_000
"""Longer samples are cut to this, so that a damage is near what is read."""
NEEDS_SIZE = ("npy",)
WORKER = Path(__file__).parents[1] / "support" / "fuzz_worker.py"


class Worker:
    """A process that opens files; a new one takes its place when it ends or hangs."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.answers: queue.Queue[str] = queue.Queue()
        self.listener = threading.Thread(target=self._listen, args=(self.process, self.answers))
        self.listener.start()
        # The first answer comes after the imports, whose time is not the file's.
        self.ask({"path": "no such file"}, longest_s=60)

    @staticmethod
    def _listen(process: subprocess.Popen[str], answers: "queue.Queue[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            answers.put(line)
        answers.put("")

    def ask(self, question: dict[str, object], longest_s: float = LONGEST_S) -> list[str]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        try:
            answer = self.answers.get(timeout=longest_s)
        except queue.Empty:
            self.end()
            self._start()
            return ["broken", f"took more than {longest_s} s"]
        if not answer:
            code = self.process.wait()
            self.end()
            self._start()
            return ["broken", f"the process ended with {code}"]
        return json.loads(answer)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.listener.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def samples_of(folder: Path, data_root: Path) -> list[tuple[str, str, bytes]]:
    """Format, suffix and bytes of every generated and every real sample."""
    folder.mkdir()
    samples = [
        (name, path.suffix, path.read_bytes())
        for name, make in SAMPLES.items()
        for path in [make(folder / name.replace(".", "_"))]
    ]
    for name, (format_, make) in {**TABLE_VARIANTS, **VARIANTS}.items():
        path = make(folder / name)
        samples.append((format_, path.suffix, path.read_bytes()))
    formats = {".aedat4": "aedat4", ".es": "es", ".dat": "dat", ".bin": "nmnist"}
    for path in sorted((data_root / "recordings").iterdir()):
        name = formats.get(path.suffix) or path.name.split("_")[1].removesuffix(".raw")
        samples.append((name, path.suffix, path.read_bytes()[:REAL_SAMPLE_BYTES]))
    return samples


def damaged(data: bytes, random_: random.Random) -> bytes:
    """The bytes with one to three damages of random kinds."""
    changed = bytearray(data)
    for _ in range(random_.choice((1, 1, 1, 2, 3))):
        if not changed:
            break
        at = random_.randrange(len(changed))
        kind = random_.randrange(9)
        if kind == 0:
            del changed[at:]
        elif kind == 1:
            for _ in range(random_.choice((1, 4, 64))):
                changed[random_.randrange(len(changed))] ^= 1 << random_.randrange(8)
        elif kind == 2:
            changed[at:at] = random_.randbytes(random_.randrange(1, 64))
        elif kind == 3:
            length = random_.randrange(1, 512)
            changed[at : at + length] = random_.randbytes(length)
        elif kind == 4:
            for _ in range(random_.choice((1, 3, 10))):
                changed[random_.randrange(min(512, len(changed)))] = random_.randrange(256)
        elif kind == 5:
            del changed[at : at + random_.randrange(1, 512)]
        elif kind == 6:
            fill = bytes([random_.choice((0x00, 0xFF, 0x80))])
            length = random_.randrange(1, 4096)
            changed[at : at + length] = fill * length
        elif kind == 7:
            other = random_.randrange(len(changed))
            changed[at : at + 256] = changed[other : other + 256]
        else:
            size = random_.choice((1, 2, 4, 8))
            value = random_.choice((0, 1, -1, 1 << (8 * size - 1), (1 << (8 * size - 1)) - 1))
            number = (value % (1 << 8 * size)).to_bytes(size, "little")
            changed[at : at + size] = number
    return bytes(changed)


def run(tmp_path: Path, data_root: Path, *, files: int, seed: int) -> dict[str, Counter[str]]:
    """Outcomes per format; the files that broke a rule stay in the folder."""
    random_ = random.Random(seed)
    samples = samples_of(tmp_path / "samples", data_root)
    counts: dict[str, Counter[str]] = {}
    broken: list[str] = []
    worker = Worker()
    try:
        for number in range(files):
            name, suffix, data = samples[number % len(samples)]
            path = tmp_path / f"damaged_{number}{suffix}"
            path.write_bytes(damaged(data, random_))
            question: dict[str, object] = {"path": str(path)}
            if random_.random() < 0.3:
                question["format"] = name
            if name in NEEDS_SIZE:
                question.update(width=WIDTH, height=HEIGHT)
            result, detail = worker.ask(question)
            counts.setdefault(name, Counter())[result] += 1
            if result == "broken":
                broken.append(f"{name}: {path}: {detail}")
            else:
                path.unlink()
    finally:
        worker.end()
    assert not broken, "\n".join([f"{len(broken)} of {files} files broke a rule", *broken])
    return counts


def test_damaged_files_of_every_format_keep_the_rules(tmp_path: Path, data_root: Path):
    counts = run(tmp_path, data_root, files=SHORT_RUN_FILES, seed=20)

    assert set(counts) == set(SAMPLES)
    assert sum(sum(count.values()) for count in counts.values()) == SHORT_RUN_FILES


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
def test_many_damaged_files_of_every_format_keep_the_rules(
    tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
):
    counts = run(tmp_path, data_root, files=LONG_RUN_FILES, seed=random.randrange(1 << 32))

    lines = [
        f"{name:8} {sum(count.values()):6} files: {dict(count)}" for name, count in counts.items()
    ]
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines, ""]))
