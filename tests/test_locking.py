"""A lock that one process holds, and that ends with it."""

import subprocess
import sys
from pathlib import Path

import pytest

from evlora.errors import RunError
from evlora.locking import holding

HOLDS = """
import sys, time
from pathlib import Path
from evlora.errors import RunError
from evlora.locking import holding
with holding(Path(sys.argv[1]), refusal=RunError("taken")):
    print(flush=True)
    time.sleep(60)
"""


def test_a_lock_is_refused_until_its_owner_is_killed(tmp_path: Path) -> None:
    lock = tmp_path / "run" / ".lock"
    with subprocess.Popen([sys.executable, "-c", HOLDS, lock], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        taken = RunError("another process trains there")
        expected = rf"another process trains there \(process {owner.pid} on "
        with pytest.raises(RunError, match=expected), holding(lock, refusal=taken):
            raise AssertionError
        owner.kill()
    with holding(lock, refusal=RunError("taken")):
        assert lock.is_file()
    assert not lock.exists()
    assert lock.parent.is_dir()  # it was there before


def test_a_lock_cannot_be_taken_twice_by_one_process(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "run" / ".lock"
    with holding(lock, refusal=RunError("taken")):
        with pytest.raises(RunError, match="taken"), holding(lock, refusal=RunError("taken")):
            raise AssertionError
        assert lock.is_file()
    assert list(tmp_path.iterdir()) == []
