"""Where bytes come from while they are written: standard input, a growing file, a socket."""

import os
import socket
from pathlib import Path
from threading import Event
from typing import Protocol

from evlora.errors import RecordingError

READ_BYTES = 1 << 16
"""Bytes that are taken at once: few enough that decoding begins early."""
LOOK_AGAIN_S = 0.02
"""How soon a file that has not grown is looked at again."""
CONNECT_S = 5.0
"""How long a connection may take to come about."""
KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
"""After 5 s of silence the other side is asked, and after 3 questions without an answer it is
gone: a camera whose cable was pulled does not close the connection."""


class ByteSource(Protocol):
    """Bytes in their order."""

    name: str
    """For messages."""
    is_retried: bool
    """Whether it may come back after it was lost."""
    has_end: bool
    """Whether it is a file, in the end: behind its packets there may be a table of them."""

    def open(self) -> None:
        """Begin at the beginning.

        Raises:
            OSError: There is nothing there.
        """
        ...

    def read(self) -> bytes:
        """At least one byte, as soon as there is one; none when no more will come.

        Raises:
            OSError: The connection is lost.
        """
        ...

    def close(self) -> None:
        """End it; may be called twice."""
        ...


class StandardInput:
    """What another program writes into a pipe."""

    name = "standard input"
    is_retried = False
    has_end = True

    def __init__(self, handle: int = 0) -> None:
        self._handle = handle

    def open(self) -> None:
        """Nothing to do, unless a person would have to type the events."""
        if os.isatty(self._handle):
            raise RecordingError(
                "standard input: expected events through a pipe, got a terminal; write "
                "`camera-program | evlora predict BUNDLE - --live`"
            )

    def read(self) -> bytes:
        """The next bytes; see `ByteSource`."""
        # Not sys.stdin: a thread that waits in it keeps the process from ending.
        return os.read(self._handle, READ_BYTES)

    def close(self) -> None:
        """Nothing to do: the pipe is not ours."""


class GrowingFile:
    """A file that a recorder is still writing; it ends when `stopping` is set."""

    is_retried = True
    has_end = True

    def __init__(self, path: Path, stopping: Event) -> None:
        self.name = str(path)
        self._path = path
        self._stopping = stopping
        self._handle: int | None = None

    def open(self) -> None:
        """Begin with the first byte of the file that has the name now."""
        self.close()
        self._handle = os.open(self._path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def read(self) -> bytes:
        """The next bytes; see `ByteSource`."""
        assert self._handle is not None  # opened before
        while not (data := os.read(self._handle, READ_BYTES)):
            if self._stopping.wait(LOOK_AGAIN_S):
                return b""
            if self._is_another_file():
                raise ConnectionError("another file has taken its name, or it was cut")
        return data

    def close(self) -> None:
        """Close the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _is_another_file(self) -> bool:
        assert self._handle is not None  # opened before
        ours, named = os.fstat(self._handle), self._path.stat()
        is_other = not os.path.samestat(ours, named)
        return is_other or named.st_size < os.lseek(self._handle, 0, os.SEEK_CUR)


class Socket:
    """A server over TCP, or a local socket."""

    is_retried = True
    has_end = False

    def __init__(self, name: str, address: tuple[str, int] | str, stopping: Event) -> None:
        self.name = name
        self._address = address
        self._stopping = stopping
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Connect."""
        self.close()
        if isinstance(self._address, tuple):
            connected = socket.create_connection(self._address, timeout=CONNECT_S)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEPALIVE.items():
                if hasattr(socket, option):
                    connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        else:
            connected = socket.socket(socket.AF_UNIX)
            connected.settimeout(CONNECT_S)
            try:
                connected.connect(self._address)
            except OSError:
                connected.close()
                raise
        connected.settimeout(0.2)  # so that `stopping` is seen
        self._socket = connected

    def read(self) -> bytes:
        """The next bytes; see `ByteSource`."""
        assert self._socket is not None  # opened before
        while not self._stopping.is_set():
            try:
                data = self._socket.recv(READ_BYTES)
            except TimeoutError:
                continue
            if not data:
                raise ConnectionError("the other side has closed it")
            return data
        return b""

    def close(self) -> None:
        """Disconnect."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Buffered:
    """The bytes of a source, as many at a time as a decoder asks for."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._held = bytearray()
        self.position = 0
        """Bytes that were handed out."""

    def peek(self, count: int) -> bytes:
        """The next bytes, which stay; fewer at the end."""
        while len(self._held) < count and (data := self._source.read()):
            self._held += data
        return bytes(self._held[:count])

    def exactly(self, count: int) -> bytes | None:
        """The next bytes; None where the end comes before them."""
        if len(self.peek(count)) < count:
            return None
        return self._handed_out(count)

    def some(self) -> bytes:
        """What is there, at least one byte; none at the end."""
        self.peek(1)
        return self._handed_out(len(self._held))

    @property
    def has_end(self) -> bool:
        """See `ByteSource`."""
        return self._source.has_end

    def held(self, count: int) -> bytes:
        """The next bytes that are there already, which stay; may be fewer."""
        return bytes(self._held[:count])

    @property
    def waiting(self) -> int:
        """Bytes that are there already."""
        return len(self._held)

    def _handed_out(self, count: int) -> bytes:
        taken = bytes(self._held[:count])
        del self._held[:count]
        self.position += count
        return taken
