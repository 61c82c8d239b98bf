"""Several processes at work, which end with the one that started them."""

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext


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
