"""The processes that torchrun or srun has started for one command, which divide its work.

They meet in a store of torch, which rank 0 or torchrun holds, and exchange JSON. Nothing waits in a
collective call: each process shows there that it is alive, and what it failed of, so that the
others end as well, however long the work of one of them takes.
"""

import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from evlora.ranks import AllRanksError, OneRankError, Place, launched

Value = TypeVar("Value")
MEETING_S = 600
"""How long processes wait for others to start."""
BEAT_S, SILENT_S = 0.5, 60.0
"""How often a process shows that it is alive, and after which time without it is taken for dead."""
CHUNK = 1 << 22
"""Characters of one entry; torch's store takes up to 8 MB."""
FAILED = "failed"


class Store(Protocol):
    """What is used of torch's stores."""

    def set(self, key: str, value: str, /) -> None: ...  # noqa: D102
    def get(self, key: str, /) -> bytes: ...  # noqa: D102
    def check(self, keys: list[str], /) -> bool: ...  # noqa: D102


class Ranks:
    """One process alone: all work is its own. `RankGroup` divides work among several."""

    rank = 0
    size = 1

    def gather(self, work: Callable[[], Value]) -> list[Value]:
        """What this work returns in each of the processes, in the order of their ranks.

        Args:
            work: Returns something that JSON can hold.

        Raises:
            OneRankError: In rank 0, where another process has failed.
            AllRanksError: In the others, where any has.
        """
        return [work()]

    def first(self, work: Callable[[], Value]) -> Value | None:
        """What this work returns in rank 0; the others wait for its end, and return None.

        Raises:
            AllRanksError: In the others, where it has failed.
        """
        return work()

    def places(self, count: int, *, stretch: int = 1) -> list[int]:
        """Which of `count` pieces of work are this process's: every N-th stretch of them."""
        starts = range(self.rank * stretch, count, self.size * stretch)
        return [place for start in starts for place in range(start, min(start + stretch, count))]

    def in_order(self, of_ranks: list[list[Value]], *, stretch: int = 1) -> list[Value]:
        """The results for the pieces that `places` gave to each rank, in their order."""
        ordered: list[Value] = []
        for turn in range(math.ceil(max(map(len, of_ranks)) / stretch)):
            for results in of_ranks:
                ordered += results[turn * stretch : (turn + 1) * stretch]
        return ordered


ALONE = Ranks()


class RankGroup(Ranks):
    """Several processes, of which this is one.

    Args:
        store: Where they meet.
        place: This one's.
    """

    def __init__(self, store: Store, place: Place) -> None:
        self.rank, self.size, _ = place
        self._store = store
        self._step = 0
        self._is_working = threading.Event()
        self._is_over = threading.Event()
        self._seen: dict[int, tuple[bytes, float]] = {}
        self._beats = threading.Thread(target=self._beat, daemon=True)
        self._beats.start()

    def gather(self, work: Callable[[], Value]) -> list[Value]:
        """See `Ranks`."""
        self._step += 1
        self._is_working.set()
        try:
            own = work()
        finally:
            self._is_working.clear()
        text = json.dumps(own)
        chunks = range(0, len(text), CHUNK)
        for number, start in enumerate(chunks):
            self._store.set(f"{self._step}/{self.rank}/{number}", text[start : start + CHUNK])
        self._store.set(f"{self._step}/{self.rank}", str(len(chunks)))
        return [own if rank == self.rank else self._result_of(rank) for rank in range(self.size)]

    def first(self, work: Callable[[], Value]) -> Value | None:
        """See `Ranks`; what the work returns stays in rank 0."""
        outcome: list[Value] = []

        def alone() -> None:
            if self.rank == 0:
                outcome.append(work())

        self.gather(alone)
        return outcome[0] if outcome else None

    def _result_of(self, rank: int) -> Any:
        key = f"{self._step}/{rank}"
        self._wait_for(key, rank)
        chunks = range(int(self._store.get(key)))
        return json.loads(b"".join(self._store.get(f"{key}/{number}") for number in chunks))

    def _wait_for(self, key: str, rank: int) -> None:
        while not self._store.check([key]):
            self.raise_failure()
            self._require_alive(rank)
            time.sleep(0.02)

    def raise_failure(self) -> None:
        """Raise what another process has failed of.

        Raises:
            OneRankError: In rank 0.
            AllRanksError: In the others.
        """
        if not self._store.check([FAILED]):
            return
        rank, message = json.loads(self._store.get(FAILED))
        if self.rank == 0:
            raise OneRankError(f"rank {rank}: {message}")
        raise AllRanksError(f"rank {rank} has ended the command; rank 0 reports why")

    def _require_alive(self, rank: int) -> None:
        """Check that a process has shown that it is alive, not long ago."""
        key = f"alive/{rank}"
        beat = self._store.get(key) if self._store.check([key]) else b""
        before, since = self._seen.get(rank, (None, 0.0))
        if beat != before:
            self._seen[rank] = beat, time.monotonic()
        elif time.monotonic() - since > SILENT_S:
            raise OneRankError(
                f"rank {rank} answers no more, since {SILENT_S:.0f} s; look for its message, then "
                "start the command again"
            )

    def _beat(self) -> None:
        """Show that this process is alive, and interrupt its work where another one has failed."""
        number = 0
        while not self._is_over.wait(BEAT_S):
            number += 1
            try:
                self._store.set(f"alive/{self.rank}", str(number))
                is_failed = self._store.check([FAILED])
            except RuntimeError:  # whoever holds the store has ended
                is_failed = True
            if is_failed:
                if self._is_working.is_set():
                    os.kill(os.getpid(), signal.SIGINT)  # which ends what the main thread waits for
                return

    def end(self) -> None:
        """Wait in rank 0 until the others are done: what they still report must not be lost."""
        self._store.set(f"done/{self.rank}", "")
        if self.rank == 0:
            for rank in range(1, self.size):
                self._wait_for(f"done/{rank}", rank)

    def fail(self, error: BaseException) -> None:
        """Let the others know that this process ends, and why."""
        if not self._store.check([FAILED]):
            message = str(error) or type(error).__name__
            self._store.set(FAILED, json.dumps([self.rank, message]))
        self._store.set(f"done/{self.rank}", "")
        keys = [f"done/{rank}" for rank in range(self.size)]
        until = time.monotonic() + 10 * BEAT_S
        while self.rank == 0 and not self._store.check(keys) and time.monotonic() < until:
            time.sleep(0.02)

    def close(self) -> None:
        """Show no more that this process is alive."""
        self._is_over.set()
        self._beats.join()


@contextmanager
def joined() -> Generator[Ranks]:
    """The processes of this command, `ALONE` where neither torchrun nor srun has started others.

    An error of one of them ends all; rank 0 raises it, the others AllRanksError.
    """
    place = launched()
    if place is None or place.size == 1:
        yield ALONE
        return
    group = RankGroup(_meeting_of(place), place)
    try:
        yield group
        group.end()
    except BaseException as error:
        _explain(group, error)
        raise
    finally:
        group.close()


def _explain(group: RankGroup, error: BaseException) -> None:
    """Raise what a user should know of an error in one of the processes.

    Raises:
        OneRankError: Another process has failed, or the one that holds the store has ended.
        AllRanksError: This is not rank 0, which reports why.
    """
    if isinstance(error, AllRanksError):
        with suppress(RuntimeError):
            group.fail(error)
        return
    try:
        if isinstance(error, KeyboardInterrupt):
            group.raise_failure()
        group.fail(error)
    except (OneRankError, AllRanksError) as failure:
        with suppress(RuntimeError):
            group.fail(failure)
        raise failure from None
    except RuntimeError as lost:
        raise OneRankError(
            f"rank {group.rank}: rank 0 has ended or cannot be reached; look for its message"
        ) from lost
    if group.rank != 0 and not isinstance(error, KeyboardInterrupt):
        raise AllRanksError("rank 0 reports why the command has ended") from error


def _meeting_of(place: Place) -> Any:
    """The store in which the processes meet."""
    from torch.distributed import rendezvous

    if "MASTER_ADDR" not in os.environ:
        from lightning.fabric.plugins.environments import SLURMEnvironment

        cluster = SLURMEnvironment(auto_requeue=False)
        os.environ |= {"MASTER_ADDR": cluster.main_address, "MASTER_PORT": str(cluster.main_port)}
    limit = timedelta(seconds=MEETING_S)
    store, *_ = next(rendezvous("env://", place.rank, place.size, timeout=limit))
    return store
