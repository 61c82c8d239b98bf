"""What a person sees where the system refuses, and after Ctrl-C: one line, and what to do."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Command


def raising(error: BaseException) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> None:
        raise error

    return call


@pytest.mark.parametrize(
    ("words", "place", "next_step"),
    [
        (["inspect", "x.bs2"], "evlora.recordings.open_recording", "run it again"),
        (["evaluate", "b", "d"], "evlora.bundle.load_bundle", "run it again"),
        (["train", "demo"], "evlora.training.run.train", "with --resume continues"),
        (["compare", "demo"], "evlora.comparison.compare", "the same command continues"),
    ],
)
def test_an_interruption_is_one_line_with_what_to_do_next(
    words: list[str],
    place: str,
    next_step: str,
    evlora: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place, raising(KeyboardInterrupt()))
    monkeypatch.setattr("evlora.training.folder.require_places", lambda recipe: None)
    monkeypatch.setattr("evlora.bundle_place.require_bundle", lambda bundle: None)
    result = evlora(*words)
    assert result.returncode == 130
    assert result.stderr.strip().startswith("interrupted; ")
    assert next_step in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


READS_SLOWLY = """
import time
from evlora.cli.main import run
from evlora.recordings.readers import table

def read_slowly(path):
    print("reading", flush=True)
    time.sleep(60)

table.named_by_header = read_slowly
run()
"""
"""The command, with a file that takes its time."""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_signal_ends_the_command_with_130_and_a_line(tmp_path: Path) -> None:
    path = tmp_path / "waits.csv"
    path.touch()
    process = subprocess.Popen(
        [sys.executable, "-c", READS_SLOWLY, "inspect", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert shown.strip() == "interrupted; nothing was left half-written; run it again"


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "make room on this disk"),
        (errno.EROFS, "choose a folder that can be written to"),
        (errno.EACCES, "choose a path that you may read and write"),
        (errno.ENOTDIR, "check the path"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    number: int, cure: str, evlora: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError(number, os.strerror(number), "out/x.npz")
    monkeypatch.setattr("evlora.recordings.open_recording", raising(error))
    result = evlora("inspect", "x.npz")
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: out/x.npz: {os.strerror(number)}; {cure}")


def test_a_file_in_place_of_a_folder_is_one_line(
    evlora: Command, tmp_path: Path, tiny_dataset: Path
) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "file/inside"):
        trained = evlora("train", "demo", f"run.dir={tmp_path / name}", f"data.root={tiny_dataset}")
        assert trained.returncode == 2
        assert trained.stderr.startswith(f"error: {tmp_path / name}: ")
        assert len(trained.stderr.splitlines()) == 1
        assert trained.stderr.rstrip().endswith(("choose another", "choose another run.dir"))
    recording = next((tiny_dataset / "recordings" / "test").glob("*.npz"))
    converted = evlora("convert", recording, tmp_path / "file" / "x.csv")
    assert converted.returncode == 2
    assert converted.stderr.splitlines()[-1].startswith("error: ")
    prepared = evlora("prepare", "generated", tmp_path / "file" / "data", "train=2", "test=2")
    assert prepared.returncode == 2
    assert "Traceback" not in prepared.stderr


def test_an_option_may_begin_with_the_home_folder(
    evlora: Command,
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    recording = next((tiny_dataset / "recordings" / "test").glob("*.npz"))
    assert evlora("inspect", recording, "--out=~/shown.png").returncode == 0
    assert (tmp_path / "shown.png").is_file()


INTERRUPTED_AT_IMPORT = """
import sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "evlora.cli.printing":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from evlora.__main__ import start
start()
"""


def test_a_command_that_is_interrupted_while_it_is_imported_is_a_line_too() -> None:
    command = [sys.executable, "-c", INTERRUPTED_AT_IMPORT, "inspect", "x.npz"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 130
    assert ended.stderr == "interrupted; nothing had begun; run it again\n"
