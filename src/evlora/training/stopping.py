"""A run that is asked to stop: it writes a checkpoint and ends with the code of its signal.

SIGTERM is what schedulers, containers and `kill` send; SIGUSR1 is what SLURM sends ahead of the
time limit where a job asks for it (`#SBATCH --signal=USR1@120`): there the job is queued again.
"""

import os
import signal
import subprocess
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from evlora.ranks import is_first_rank

EXIT_CODE = 128 + signal.SIGTERM
STOPPING = ("SIGTERM", "SIGUSR1")  # the second is not on Windows


class RunStopped(SystemExit):
    """A run was asked to stop; the code of the process is 143 in rank 0, as after SIGTERM."""

    def __init__(self) -> None:
        # Lightning kills rank 0 where a process that it started ends with another code than 0.
        super().__init__(EXIT_CODE if is_first_rank() else 0)


class StopSignals:
    """Takes the signals that ask a run to stop, while the context is entered.

    Between `wait` and `end_now` a signal is noted, for whoever stops the run at a moment at which
    it can be resumed; before and after it ends the run at once.

    Args:
        report: Takes a line about the signal.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self.report = report
        self._before: dict[signal.Signals, Any] = {}
        self._received: signal.Signals | None = None
        self._is_waiting = False
        self._owner = os.getpid()

    def __enter__(self) -> Self:
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def is_received(self) -> bool:
        """Whether a signal was noted."""
        return self._received is not None

    def wait(self) -> None:
        """Note signals from now on."""
        self._take()  # Lightning has put its own handlers over these when training starts
        self._is_waiting = True

    def end_now(self) -> None:
        """End the run at once when a signal comes from now on."""
        self._is_waiting = False

    def stop(self, how: str) -> RunStopped:
        """Report that the run stops, queue its job again where SLURM wants that, and end it.

        Args:
            how: What was written before.
        """
        name = "a signal to another rank" if self._received is None else self._received.name
        self.report(f"stopped by {name}: {how}; the same command with --resume continues")
        if name == "SIGUSR1" and "SLURM_JOB_ID" in os.environ and is_first_rank():
            self.report(_queued_again())
        return RunStopped()

    def _take(self) -> None:
        for name in STOPPING:
            number = getattr(signal, name, None)
            if number is None:
                continue
            try:
                former = signal.signal(number, self._receive)
            except ValueError:  # only the main thread may; then the signals do what they did
                return
            self._before.setdefault(number, former)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            return  # a process that reads clips; the one that trains has the signal as well
        self._received = signal.Signals(number)
        if not self._is_waiting:
            raise self.stop("nothing was written since the last checkpoint")


def _queued_again() -> str:
    """Let SLURM queue this job again, and return what came of it."""
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, text=True)  # noqa: S603, S607 - the scheduler's own command, and its own name of the job
    except (OSError, subprocess.CalledProcessError) as error:
        return f"warning: job {job} could not be queued again: {error}"
    return f"job {job} is queued again"
