"""The processes that decode uploads: each is bounded in time, and another one takes its place.

They are forked from a server that has imported what they need, so that a new one is there within
some hundredths of a second.
"""

import contextlib
import os
import queue
import signal
import threading
from asyncio import get_running_loop
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from tempfile import gettempdir
from typing import Any, Protocol

from evlora.errors import RunError
from evlora.limits import VARIABLE, limits, raising
from evlora.processes import process_context
from evlora.serving.refusals import STATUS, Refusal
from evlora.serving.wire import Bytes, Message, receive, send

ENDED_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)
FIRST_ANSWER_S = 120
"""How long the first process may take to import what it needs."""
NOTHING: Mapping[str, Bytes] = {}


class Decoder(Protocol):
    """Answers requests, one at a time."""

    def ask(
        self,
        about: Mapping[str, Any],
        arrays: Mapping[str, Bytes] = NOTHING,
        *,
        most_bytes: int = 0,
        seconds: float | None = None,
    ) -> Message:
        """The answer to a request.

        Args:
            about: The request.
            arrays: Bytes that belong to it.
            most_bytes: How large each array of the answer may be.
            seconds: How long it may take; the limit `decoder_seconds` by default.

        Raises:
            Refusal: There is none.
        """
        ...

    def end(self) -> None:
        """End it; nothing is asked any more."""
        ...


class DecoderProcess:
    """A decoder in a process of its own, started when there is something to decode."""

    def __init__(self, on_end: Callable[[str], None] = lambda _: None) -> None:
        """None started yet; `on_end` is called with the reason when one has ended in its work."""
        self._on_end = on_end
        self._process: Any = None
        self._connection: Any = None

    @property
    def pid(self) -> int | None:
        """The number of the process, while there is one."""
        return None if self._process is None else self._process.pid

    def ask(
        self,
        about: Mapping[str, Any],
        arrays: Mapping[str, Bytes] = NOTHING,
        *,
        most_bytes: int = 0,
        seconds: float | None = None,
    ) -> Message:
        """The answer to a request; see `Decoder`.

        Raises:
            Refusal: The process was too slow, has ended, or gave a reason.
        """
        allowed_s = limits().decoder_seconds if seconds is None else seconds
        if self._process is None or not self._process.is_alive():
            self._start()
        process: Any = self._process
        is_slow = threading.Event()

        def end_it() -> None:
            is_slow.set()
            process.kill()

        watch = threading.Timer(allowed_s, end_it)
        watch.start()
        try:
            send(self._connection, about, arrays)
            answer = receive(self._connection, most_bytes=most_bytes)
        except (EOFError, OSError, ValueError, KeyError, TypeError) as error:
            self._on_end("slow" if is_slow.is_set() else "ended")
            process.kill()
            process.join()
            self.end()
            raise _why_it_ended(process.exitcode, is_slow.is_set(), allowed_s) from error
        finally:
            watch.cancel()
        return checked(answer)

    def end(self) -> None:
        """Kill the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()  # last: whoever waits at it in a thread has seen its end
            self._process = None

    def _start(self) -> None:
        self.end()
        context = process_context()
        context.set_forkserver_preload(["evlora.serving.decoding"])
        from evlora.serving.decoding import run_decoder

        connection, theirs = Pipe()
        process: Any = context.Process(  # pyright: ignore[reportAttributeAccessIssue]
            target=run_decoder, args=(theirs, os.environ.get(VARIABLE, "")), daemon=True
        )
        try:
            process.start()
        except OSError as error:  # such as a folder for sockets with a name that is too long
            raise RunError(
                f"decoder: expected to start a process for uploads, got: {error}; the folder for "
                f"temporary files, {gettempdir()}, needs a short name and room: set TMPDIR"
            ) from error
        theirs.close()
        self._process, self._connection = process, connection  # one that has started


class Decoders:
    """Several decoders, each for one request at a time; further requests wait."""

    def __init__(self, count: int, make: Callable[[], Decoder] = DecoderProcess) -> None:
        """No process is started before `start`; `make` makes each of `count` decoders."""
        self.all = [make() for _ in range(count)]
        self._make = make
        self._free: queue.Queue[Decoder] = queue.Queue()
        for decoder in self.all:
            self._free.put(decoder)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decoder")

    async def start(self) -> None:
        """Start all of them, so that the first upload does not wait."""
        for decoder in self.all:
            await get_running_loop().run_in_executor(
                self._threads,
                lambda one=decoder: one.ask({"do": "nothing"}, seconds=FIRST_ANSWER_S),
            )

    async def ask(self, about: Mapping[str, Any], *, most_bytes: int) -> Message:
        """The answer of a decoder that is free; see `Decoder.ask`.

        Raises:
            Refusal: There is none.
        """
        return await get_running_loop().run_in_executor(
            self._threads, lambda: self._asked(about, most_bytes)
        )

    def one_more(self) -> Decoder:
        """A decoder for one camera, apart from the others; whoever takes it ends it."""
        return self._make()

    def end(self) -> None:
        """End all of them."""
        self._threads.shutdown(cancel_futures=True)
        for decoder in self.all:
            with contextlib.suppress(OSError):
                decoder.end()

    def _asked(self, about: Mapping[str, Any], most_bytes: int) -> Message:
        decoder = self._free.get()
        try:
            return decoder.ask(about, most_bytes=most_bytes)
        finally:
            self._free.put(decoder)


def _why_it_ended(code: int | None, is_slow: bool, allowed_s: float) -> Refusal:
    """The answer to the file that a process ended at."""
    if is_slow:
        return Refusal(
            STATUS["slow"],
            f"expected a file that is decoded within {allowed_s:g} s, this one takes longer; "
            f"upload a shorter part, or {raising('decoder_seconds')}",
        )
    if code in ENDED_FROM_OUTSIDE:
        return Refusal.for_now(
            STATUS["killed"],
            "the process that decoded this file was killed, perhaps for want of memory; try it "
            "again, or upload a shorter part",
        )
    return Refusal(
        STATUS["crashed"],
        "the process that decoded this file has crashed; the file is damaged: copy it again",
    )


def checked(answer: Message) -> Message:
    """The answer, if it is one.

    Raises:
        Refusal: It is a reason.
    """
    if "error" in answer.about:
        kind = answer.about.get("kind", "unreadable")
        raise Refusal(STATUS.get(kind, STATUS["unreadable"]), str(answer.about["error"]))
    return answer
