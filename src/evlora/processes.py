"""Several processes at work, which end with the one that started them."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection, get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext
from typing import TypeVar

AHEAD = 4
"""Jobs per process that may be done before their turn: a slow one must not fill the memory with
those behind it."""

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_context() -> BaseContext:
    """How processes are started.

    Not forked from this process: that copies its threads in the middle of work. A server that has
    imported torch once forks them, where there are such servers.
    """
    return get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")


def begin_to_preload(module: str) -> None:
    """Let the server of processes, where there is one, import a module, beside what is done here.

    Without effect once it has started: the processes import it themselves. To be called from the
    main thread.

    Args:
        module: One that all processes need, such as that of their work.
    """
    context = process_context()
    if context.get_start_method() == "forkserver":
        from multiprocessing import forkserver  # not on Windows

        context.set_forkserver_preload([module])
        # The server ignores Ctrl-C once it has imported; what starts it is what it inherits.
        former = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, former)


def start_processes(count: int, *, preload: str | None = None) -> ProcessPoolExecutor:
    """A pool of processes of one thread each, which ignore Ctrl-C and end with this one.

    Args:
        count: Of processes; they start when there is work for them.
        preload: A module that all of them need, such as the one of the work.
    """
    context = process_context()
    if preload is not None:
        context.set_forkserver_preload([preload])
    return ProcessPoolExecutor(count, mp_context=context, initializer=begin_process)


def outcomes_of(
    work: Callable[[Job], Outcome],
    jobs: Iterable[Job],
    *,
    workers: int,
    killed: Callable[[Job], Outcome],
    preload: str,
) -> Generator[Outcome]:
    """The outcomes of these jobs, in their order, worked on by several processes.

    Args:
        work: A function of a module, called in a process with each job.
        jobs: Taken from as needed.
        workers: Processes; 0 does the work in this one.
        killed: What stands for the outcome of a job that kills its process, such as one that
            needs too much memory.
        preload: See `start_processes`.
    """
    if not workers:
        yield from map(work, jobs)
        return
    remaining = iter(jobs)
    waiting: deque[tuple[Job, Future[Outcome]]] = deque()
    pool = start_processes(workers, preload=preload)
    try:
        while True:
            try:
                for job in islice(remaining, AHEAD * workers - len(waiting)):
                    waiting.append((job, Future()))  # so that no job is lost if submitting fails
                    waiting[-1] = (job, pool.submit(work, job))
                if not waiting:
                    return
                outcome = waiting[0][1].result()
            except BrokenProcessPool:
                # One of those in work killed its process. Each alone in a process shows which.
                suspects = [job for job, _ in waiting]
                waiting.clear()
                for job in suspects:
                    yield _outcome_alone(work, job, killed, preload)
                pool = start_processes(workers, preload=preload)
                continue
            waiting.popleft()
            yield outcome
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _outcome_alone(
    work: Callable[[Job], Outcome], job: Job, killed: Callable[[Job], Outcome], preload: str
) -> Outcome:
    with start_processes(1, preload=preload) as pool:
        try:
            return pool.submit(work, job).result()
        except BrokenProcessPool:
            return killed(job)


def begin_process() -> None:
    """Settle in a process that was started: one thread, no Ctrl-C, its end with the parent's."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its processes itself
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # this is a process that was started
    connection.wait([parent.sentinel])
    os._exit(1)
