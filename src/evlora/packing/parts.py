"""The part of a packing that one job does, in a folder of its own."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evlora.datasets.preparing import SETTINGS_FILE
from evlora.errors import DatasetError
from evlora.packing.journal import Journal
from evlora.packing.plan import LOCK_FILE, Plan, read_settings, require_same, write_settings


@dataclass(frozen=True, slots=True)
class JobPart:
    """One job of an array that packs together."""

    number: int = 1
    """From 1 to `total`."""
    total: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.total:
            raise DatasetError(
                f"part: expected i/n with i from 1 to n, such as 3/10, got {self.number}/"
                f"{self.total}"
            )

    @classmethod
    def parse(cls, text: str) -> "JobPart":
        """The part of a text such as `3/10`.

        Raises:
            DatasetError: It is none.
        """
        numbers = re.fullmatch(r"(\d+)/(\d+)", text)
        if numbers is None:
            raise DatasetError(f"part: expected i/n, such as 3/10, got {text!r}")
        return cls(*map(int, numbers.groups()))

    @classmethod
    def of_folder(cls, folder: Path) -> "JobPart | None":
        """The part whose work lies in this folder, if it is such a folder."""
        numbers = re.fullmatch(r"part-(\d+)-of-(\d+)", folder.name)
        return None if numbers is None else cls(*map(int, numbers.groups()))

    @property
    def folder(self) -> str:
        """Name of the folder of its work."""
        return f"part-{self.number}-of-{self.total}"

    def share(self, count: int) -> range:
        """The places of its samples among `count`."""
        return range(count * (self.number - 1) // self.total, count * self.number // self.total)


@contextmanager
def working_in(folder: Path, plan: Plan) -> Generator[Journal]:
    """The journal of a part, which no other process may write at the same time.

    Raises:
        DatasetError: Another process does, or the part was begun with other settings.
    """
    folder.mkdir(exist_ok=True)
    with _locked(folder):
        if (folder / SETTINGS_FILE).exists():
            begun = read_settings(folder)
            require_same(Plan(plan.manifest, begun), plan, folder)
        else:
            write_settings(plan.settings, folder)
        journal = Journal(folder)
        try:
            yield journal
        finally:
            journal.close()


def require_idle(work: Path) -> None:
    """Check that no process packs a part in this folder.

    Raises:
        DatasetError: One does.
    """
    for part in parts_in(work):
        with _locked(work / part.folder):
            pass


def parts_in(work: Path) -> list[JobPart]:
    """The parts whose work lies in this folder, in order."""
    found = [JobPart.of_folder(folder) for folder in work.glob("part-*")]
    return sorted((part for part in found if part is not None), key=lambda part: part.number)


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    import fcntl  # not on every system, and needed for packing alone

    with (folder / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatasetError(
                f"{folder}: another process is packing here; wait for it, or end it"
            ) from None
        yield
