"""The command line, run inside the test's own process."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from evlora.cli.main import run


class Result(NamedTuple):
    """As `subprocess.run` names it."""

    returncode: int
    stdout: str
    stderr: str


class Command:
    """Runs evlora without a process of its own, which spares the seconds that torch takes."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        *first: str | Path,
    ) -> None:
        """Words that stand before those of every call may be given."""
        self._monkeypatch, self._capsys, self._first = monkeypatch, capsys, first

    def __call__(self, *words: str | Path) -> Result:
        """What is printed, and the exit code."""
        line = ["evlora", *map(str, (*self._first, *words))]
        self._monkeypatch.setattr(sys, "argv", line)
        code = 0
        try:
            run()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Result(code, *self._capsys.readouterr())
