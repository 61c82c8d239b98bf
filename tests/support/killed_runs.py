"""Trains a run whose process is killed at random moments, until one ends; prints how many were.

Takes a file with the recipe's keys, the number of kills, a seed and the number of ranks, which are
killed together. The processes are forked from this one, which has imported everything: a start
takes a moment.
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
from forked_commands import environment, fork, free_port  # noqa: E402

import evlora  # noqa: E402
from evlora.training import run as running  # noqa: E402, F401


def start(settings: dict, count: int) -> list[int]:
    """Fork the ranks of a run."""

    def train() -> None:
        evlora.train("nano_photographs", overrides=settings, resume=True)

    port = free_port()
    places = [environment("torchrun", rank, count, port) for rank in range(count)]
    return [fork(train, place if count > 1 else {}) for place in places]


def codes_of(ranks: list[int]) -> set[int]:
    """Their exit codes; -9 of one that was killed."""
    return {os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks}


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())
    most, place = int(sys.argv[2]), random.Random(int(sys.argv[3]))
    count = int(sys.argv[4])
    folder = Path(settings["run.dir"])
    calm = {**settings, "run.dir": str(folder.with_name("calm"))}
    begun = time.monotonic()
    assert codes_of(start(calm, count)) == {0}
    took = time.monotonic() - begun
    killed = 0
    while True:
        ranks = start(settings, count)
        if killed < most:
            time.sleep(place.uniform(0.02, took))
            for rank in ranks:
                os.kill(rank, signal.SIGKILL)
        codes = codes_of(ranks)
        if -signal.SIGKILL in codes:
            killed += 1
            continue
        assert codes == {0}, f"a start after {killed} kills failed"
        if killed >= most:
            break
        # It was over before the kill: let the bundle be written again, in its place.
        (folder / "metrics.json").unlink()
        if place.random() < 0.3:
            (folder / "checkpoints" / "last.ckpt").unlink()
    print(killed)  # noqa: T201


if __name__ == "__main__":
    main()
