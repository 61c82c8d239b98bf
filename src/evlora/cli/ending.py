"""SIGTERM, by which schedulers, containers and `kill` end a command, ends it as Ctrl-C does.

Python's default is to die at once: files that are half-written stay, and so do the processes and
semaphores of a pool, of which multiprocessing then warns.
"""

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """The command was asked to end by SIGTERM."""


@contextmanager
def ending_on_sigterm() -> Generator[None]:
    """Inside, SIGTERM raises Terminated in the main thread."""
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            raise Terminated
        signal.signal(number, signal.SIG_DFL)  # a process that was forked from this one
        os.kill(os.getpid(), number)

    try:
        former = signal.signal(signal.SIGTERM, end)
    except ValueError:  # only the main thread may; then the signal does what it did
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
