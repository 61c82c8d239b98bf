"""SIGTERM: a command puts away what it holds, as after Ctrl-C, and ends with 143 and a line."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Command

from evlora.cli.ending import Terminated, ending_on_sigterm


def test_a_command_that_is_asked_to_end_is_a_line_and_143(
    evlora: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminate(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)  # the handler runs before this is over

    monkeypatch.setattr("evlora.recordings.open_recording", terminate)
    before = signal.getsignal(signal.SIGTERM)
    result = evlora("inspect", "x.bs2")
    assert result.returncode == 143
    assert result.stderr == "stopped by SIGTERM; nothing was left half-written; run it again\n"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_a_forked_process_ends_as_it_would_without() -> None:
    with ending_on_sigterm():
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


def test_it_is_an_interruption_for_whatever_handles_one() -> None:
    with ending_on_sigterm(), pytest.raises(KeyboardInterrupt) as raised:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert isinstance(raised.value, Terminated)


PREPARES_SLOWLY = """
import sys
from evlora.cli.main import run
from evlora.datasets.layouts import generated

def begin(options):
    print("begun", file=sys.stderr, flush=True)
    return options

begun = generated._written
generated._written = lambda places, folder, options: begun(places, folder, begin(options))
run()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_preparation_by_several_processes_leaves_nothing_behind(tmp_path: Path) -> None:
    words = ["prepare", "generated", str(tmp_path / "data"), "train=4000", "workers=2"]
    process = subprocess.Popen(
        [sys.executable, "-c", PREPARES_SLOWLY, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "begun\n"
    _until(lambda: any(tmp_path.rglob("*.npz")))
    process.send_signal(signal.SIGTERM)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 143
    assert shown.startswith("stopped by SIGTERM; the same command")
    assert len(shown.splitlines()) == 1  # no leaked semaphores
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def _until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so() and time.monotonic() < end:
        time.sleep(0.02)
