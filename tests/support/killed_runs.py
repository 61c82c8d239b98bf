"""Trains a run whose process is killed at random moments, until one ends; prints how many were.

Takes a file with the recipe's keys, the number of kills and a seed. The processes are forked from
this one, which has imported everything: a start takes a moment.
"""

import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import lightning.pytorch.loggers  # noqa: E402, F401 - imported before the forks
import torch  # noqa: E402

import evlora  # noqa: E402
from evlora.training import run as running  # noqa: E402, F401


def start(settings: dict) -> int:
    """Fork a process that trains."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        torch.set_num_threads(1)
        evlora.train("nano_photographs", overrides=settings, resume=True)
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())
    most, place = int(sys.argv[2]), random.Random(int(sys.argv[3]))
    folder = Path(settings["run.dir"])
    calm = {**settings, "run.dir": str(folder.with_name("calm"))}
    begun = time.monotonic()
    _, status = os.waitpid(start(calm), 0)
    assert status == 0
    took = time.monotonic() - begun
    killed = 0
    while True:
        child = start(settings)
        if killed < most:
            time.sleep(place.uniform(0.02, took))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
            continue
        assert status == 0, f"a start after {killed} kills failed"
        if killed >= most:
            break
        # It was over before the kill: let the bundle be written again, in its place.
        (folder / "metrics.json").unlink()
        if place.random() < 0.3:
            (folder / "checkpoints" / "last.ckpt").unlink()
    print(killed)  # noqa: T201


if __name__ == "__main__":
    main()
