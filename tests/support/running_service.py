"""A service as a process of its own, which tests ask over HTTP and send signals to."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil

TOKEN = "a token of thirty characters .."
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Running:
    """A service that runs, and what it has printed when it has ended."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process, self.url = process, url
        self.http = httpx2.Client(base_url=url, headers=HEADERS, timeout=60)

    def predict(self, path: Path, **options: Any) -> httpx2.Response:
        files = {"recording": (path.name, path.read_bytes())}
        return self.http.post("/predict", files=files, **options)

    def decoders(self) -> list[psutil.Process]:
        """The processes that decode: those below the server that forks them."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        servers = {one.pid for one in below if one.ppid() == self.process.pid}
        return [one for one in below if one.ppid() in servers]

    def end(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stderr is not None
        text = self.process.stderr.read()
        assert self.process.wait(30) == -signal.SIGTERM, text  # as who sent it expects
        return text


@contextmanager
def running(
    *words: str | Path, within: Sequence[str | Path] = (), **environment: str
) -> Generator[Running]:
    """A service with a token.

    Args:
        words: What follows `evlora serve`.
        within: A command that runs it, in its own process.
        environment: Added to this process's.
    """
    code = "from evlora.cli.main import run; run()"
    process = subprocess.Popen(
        [*within, sys.executable, "-c", code, "serve", *map(str, words), "--port", "0"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),  # the runner too, installed or not
            "EVLORA_TOKEN": TOKEN,
            **environment,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        printed: list[str] = []
        for line in process.stderr:
            printed.append(line)
            found = re.search(r"running on (http://\S+)", line, re.IGNORECASE)
            if found:
                break
        else:
            raise AssertionError("".join(printed))
        service = Running(process, found[1])
        with service.http:
            yield service
    finally:
        process.kill()
        sys.stdout.write(process.stderr.read())  # shown where a test fails
        process.wait()
        process.stderr.close()
