"""Writing without leaving halves."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evlora.errors import EvloraError
from evlora.files import standing, writing_file, writing_folder


def test_a_file_has_its_name_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "result.json"
    with writing_file(target) as temporary:
        temporary.write_text("done")
        assert not target.exists()
    assert target.read_text() == "done"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_no_trace(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), writing_file(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("named", [None, "the temporary file", "another file"])
def test_an_error_of_the_disk_names_the_file_that_was_to_be_written(
    tmp_path: Path, named: str | None
) -> None:
    with (
        pytest.raises(OSError, match="No space left") as raised,
        writing_file(tmp_path / "x") as it,
    ):
        name = {None: (), "the temporary file": (str(it),)}.get(named, (named,))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *name)
    is_of_another = named == "another file"
    assert raised.value.filename == (named if is_of_another else str(tmp_path / "x"))


def test_an_error_leaves_the_old_folder_and_no_trace(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(ZeroDivisionError), writing_folder(target) as temporary:
        (temporary / "half").touch()
        raise ZeroDivisionError
    assert [p.name for p in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_written_can_be_read_by_all_whom_the_umask_lets(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    with writing_file(tmp_path / "file") as temporary:
        temporary.touch()
    with writing_folder(tmp_path / "folder") as temporary:
        (temporary / "private").touch(mode=0o600)
    for path in (tmp_path / "file", tmp_path / "folder" / "private"):
        assert path.stat().st_mode == plain.stat().st_mode


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").touch()
    with writing_folder(target) as temporary:
        (temporary / "new").touch()
    assert [p.name for p in target.iterdir()] == ["new"]


def test_a_folder_is_not_written_over_a_file(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.write_text("mine")
    with (
        pytest.raises(EvloraError, match="expected a folder to write to, found a file"),
        writing_folder(target),
    ):
        raise AssertionError
    assert target.read_text() == "mine"


def test_a_link_leads_to_the_new_folder(tmp_path: Path) -> None:
    (tmp_path / "disk" / "bundle").mkdir(parents=True)
    (tmp_path / "bundle").symlink_to(tmp_path / "disk" / "bundle")
    with writing_folder(tmp_path / "bundle") as temporary:
        (temporary / "new").touch()
    assert (tmp_path / "bundle").is_symlink()
    assert [p.name for p in (tmp_path / "bundle").iterdir()] == ["new"]
    assert [p.name for p in (tmp_path / "disk").iterdir()] == ["bundle"]


REPLACES_AND_IS_KILLED = """
import os, pathlib, shutil, signal, sys
from evlora import files

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

where, target = sys.argv[1], pathlib.Path(sys.argv[2])
if where == "before the exchange":
    files._exchange = die
if where == "after the exchange":
    shutil.rmtree = die
if where == "between two renames":
    files._exchange = lambda *_: False
    rename = pathlib.Path.rename
    def rename_and_die(path, name):
        rename(path, name)
        die()
    pathlib.Path.rename = rename_and_die
with files.writing_folder(target) as temporary:
    (temporary / "content").write_text("new")
"""


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="folders can be exchanged")
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("before the exchange", "old"),
        ("after the exchange", "new"),
        ("between two renames", "old"),
    ],
)
def test_a_kill_leaves_the_old_folder_or_the_new_one(
    tmp_path: Path, where: str, expected: str
) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "content").write_text("old")
    killed = subprocess.run(
        [sys.executable, "-c", REPLACES_AND_IS_KILLED, where, target], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert (standing(target) / "content").read_text() == expected
    with writing_folder(target) as temporary:  # and the next one is as good as any
        (temporary / "content").write_text("newest")
    assert standing(target) == target
    assert (target / "content").read_text() == "newest"


REPLACES_FOREVER = """
import pathlib, sys
from evlora.files import writing_folder

target = pathlib.Path(sys.argv[1])
while True:
    with writing_folder(target) as temporary:
        (temporary / "content").write_text("whole")
    print(flush=True)
"""


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="folders can be exchanged")
def test_a_folder_that_is_replaced_is_there_at_every_instant(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with subprocess.Popen(
        [sys.executable, "-c", REPLACES_FOREVER, target], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        looks = [target.is_dir() for _ in range(20_000)]
        writer.kill()
    assert all(looks)


def test_a_folder_is_replaced_where_the_system_cannot_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evlora.files._exchange", lambda *_: False)
    target = tmp_path / "bundle"
    for content in ("first", "second"):
        with writing_folder(target, durable=True) as temporary:
            (temporary / "content").write_text(content)
        assert (target / "content").read_text() == content
    assert list(tmp_path.iterdir()) == [target]


REPLACES_AND_COUNTS = """
import itertools, pathlib, sys
from evlora.files import writing_folder

target = pathlib.Path(sys.argv[1])
for number in itertools.count():
    with writing_folder(target) as temporary:
        for name in "abc":
            (temporary / name).write_text(str(number))
    print(flush=True)
"""
KILLS = int(os.environ.get("EVLORA_REPLACEMENTS", "20"))
"""Replacements that are killed; 500 in a long run."""


@pytest.mark.slow
@pytest.mark.timeout(max(300, 5 * KILLS))
@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="folders can be exchanged")
def test_a_folder_is_whole_after_each_of_many_kills(tmp_path: Path) -> None:
    place, target = random.Random(0), tmp_path / "bundle"
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", REPLACES_AND_COUNTS, target], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(place.uniform(0, 0.02))
            writer.kill()
        contents = {path.read_text() for path in standing(target).iterdir()}
        assert len(contents) == 1, contents
        assert len(list(standing(target).iterdir())) == 3
