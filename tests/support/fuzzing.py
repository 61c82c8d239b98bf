"""What tests with damaged inputs share: the damages, and a process that opens what they made."""

import contextlib
import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

LONGEST_S = 5.0
MARKS = (b"[", b"]", b"{", b"}", b":", b",", b"\n", b"-", b'"', b"'", b"&a ", b"*a", b"!!")
"""Of YAML, JSON and CSV."""
WORKER = Path(__file__).parent / "fuzz_worker.py"


class Outcome(NamedTuple):
    """What became of a damaged input."""

    result: str
    """`read`, `refused` or `broken`: a rule was."""
    detail: str
    taken_bytes: int
    """Memory at the peak beyond what was taken before."""
    seconds: float


class Worker:
    """A process that opens files; a new one takes its place when it ends or hangs."""

    def __init__(self, *first: dict[str, object]) -> None:
        """Sound inputs may be named, which are opened first: imports are not a damage's time."""
        self._first = first
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},  # the runner as well
            text=True,
        )
        self.answers: queue.Queue[str] = queue.Queue()
        self.listener = threading.Thread(target=self._listen, args=(self.process, self.answers))
        self.listener.start()
        # The first answer comes after the imports, whose time is not the file's.
        self.ask({"path": "no such file"}, longest_s=120)
        for question in self._first:
            found = self.ask(question, longest_s=120)
            if found.result != "read":
                self.end()
                raise AssertionError(f"{question} is not sound: {found.detail}")

    @staticmethod
    def _listen(process: subprocess.Popen[str], answers: "queue.Queue[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            answers.put(line)
        answers.put("")

    def ask(self, question: dict[str, object], longest_s: float = LONGEST_S) -> "Outcome":
        """Whether the rules were kept when this was opened, and what it cost."""
        begun = time.perf_counter()
        result, detail, taken_bytes = self._answer(question, longest_s)
        return Outcome(result, detail, taken_bytes, time.perf_counter() - begun)

    def _answer(self, question: dict[str, object], longest_s: float) -> tuple[str, str, int]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        try:
            answer = self.answers.get(timeout=longest_s)
        except queue.Empty:
            self.end()
            self._start()
            return "broken", f"took more than {longest_s} s", 0
        if not answer:
            code = self.process.wait()
            self.end()
            self._start()
            return "broken", f"the process ended with {code}", 0
        result, detail, taken_bytes = json.loads(answer)
        return result, detail, taken_bytes

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.listener.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


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


def damaged_text(data: bytes, random_: random.Random) -> bytes:
    """The bytes with marks of YAML, JSON or CSV put in, nested, or repeated."""
    at = random_.randrange(len(data) + 1)
    mark = random_.choice(MARKS) * random_.choice((1, 1, 2, 50, 5000))
    lines = data.splitlines(keepends=True)
    if random_.random() < 0.3 and lines:
        lines.insert(random_.randrange(len(lines)), random_.choice(lines))
        return b"".join(lines)
    return data[:at] + mark + data[at:]
