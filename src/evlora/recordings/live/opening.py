"""From `-`, an address, a camera or a growing file to a stream of moments."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Literal, TypedDict

from evlora.errors import RecordingError
from evlora.recordings.live.byte_sources import (
    Buffered,
    ByteSource,
    GrowingFile,
    Socket,
    StandardInput,
)
from evlora.recordings.live.cutting import Cutter, FrameCutter, WindowCutter
from evlora.recordings.live.decoding import Decoded, Piece, decoded
from evlora.recordings.live.devices import Device
from evlora.recordings.live.stream import Feed, LiveStream

STANDARD_INPUT = "-"
TCP, LOCAL, CAMERA = "tcp://", "unix:", "camera:"


def is_stream(source: str) -> bool:
    """Whether this names a pipe, a socket or a camera rather than a file."""
    return source == STANDARD_INPUT or source.startswith((TCP, LOCAL, CAMERA))


def open_stream(
    source: str | Path,
    *,
    frames: str | None = None,
    window_us: int | None = None,
    window: Literal["frame", "exposure", "segment"] = "frame",
    stride: int = 1,
    wants: tuple[str, ...] = ("rgb", "event"),
    keeps_all: bool = False,
    format: str | None = None,
    width: int | None = None,
    height: int | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> LiveStream:
    """The moments of what is still being recorded.

    Args:
        source: `-` for standard input; `tcp://HOST:PORT` or `unix:PATH` for iniVation's network
            stream, or any server that sends AEDAT 4, EVT 2.0 or EVT 3.0; `camera:` for a camera
            that is plugged in (`camera:dv`, `camera:neuromorphic` for one of the drivers); any
            other text is a file that grows.
        frames: Where the frames come from, if not from `source`; a camera of iniVation sends each
            kind on a port of its own.
        window_us: Length of a moment; by default each frame is one.
        window: Which events belong to a frame; see `choose_moments`.
        stride: Frames from a moment of a clip to the next one.
        wants: What is used: `rgb`, `event`, or both.
        keeps_all: Skip nothing: what writes has to wait. For a file in a pipe, not for a camera.
        format: aedat4, evt2 or evt3, where there is no header.
        width: Columns of the sensor, where nothing states them.
        height: Rows of the sensor.
        report: Takes a line about a connection that was lost or came back.

    Returns:
        Moments to iterate over; close it, or use it in a `with` statement.

    Raises:
        RecordingError: Nothing is there, it cannot be read, it lacks what is wanted, or there are
            no frames and no `window_us`.
    """
    if keeps_all and frames is not None:
        raise RecordingError(
            "stream: expected one source where nothing may be skipped, got two; two sources "
            "cannot wait for each other"
        )
    stopping = Event()
    options: _Options = {"format": format, "width": width, "height": height}
    named = [str(source), *([] if frames is None else [frames])]
    opened: list[_Bytes | Device] = []
    try:
        for name in named:
            one = _source(name, stopping, options)
            opened.append(one)
            _open_first(one)
        feeds = _feeds(opened, wants)
        cutter = _cutter(feeds, opened, window_us=window_us, window=window, stride=stride)
    except BaseException:
        stopping.set()
        for one in opened:
            one.close()
        raise
    return LiveStream(feeds, cutter, stopping=stopping, keeps_all=keeps_all, report=report)


class _Options(TypedDict):
    """What the caller states of a stream."""

    format: str | None
    width: int | None
    height: int | None


class _Bytes:
    """A source of bytes with its decoder."""

    def __init__(self, source: ByteSource, options: _Options) -> None:
        self.name = source.name
        self.is_retried = source.is_retried
        self._source = source
        self._options = options
        self._decoded: Decoded | None = None
        self.size: tuple[int, int] | None = None
        self.has_frames = False

    def open(self) -> None:
        """Open it and read its header; see `Source`."""
        self._source.open()
        found = decoded(Buffered(self._source), self.name, **self._options)
        if self._decoded is not None and found.size != self.size:
            raise RecordingError(
                f"{self.name}: expected the sensor of {self.size} as before, got {found.size}; "
                "begin again for another camera"
            )
        self._decoded, self.size, self.has_frames = found, found.size, found.has_frames

    def pieces(self) -> Iterator[Piece]:
        """See `Source`."""
        assert self._decoded is not None  # opened before
        return self._decoded.pieces

    def close(self) -> None:
        """See `Source`."""
        self._source.close()


def _source(name: str, stopping: Event, options: _Options) -> _Bytes | Device:
    if name == STANDARD_INPUT:
        return _Bytes(StandardInput(), options)
    if name.startswith(CAMERA):
        return Device(name.removeprefix(CAMERA), stopping)
    if name.startswith(TCP):
        host, colon, port = name.removeprefix(TCP).rpartition(":")
        if not (host and colon and port.isdecimal() and 0 < int(port) < 1 << 16):
            raise RecordingError(f"{name}: expected tcp://HOST:PORT, such as tcp://127.0.0.1:7777")
        return _Bytes(Socket(name, (host.strip("[]"), int(port)), stopping), options)
    if name.startswith(LOCAL):
        path = name.removeprefix(LOCAL)
        return _Bytes(Socket(name, path.removeprefix("//"), stopping), options)
    return _Bytes(GrowingFile(Path(name), stopping), options)


def _open_first(source: _Bytes | Device) -> None:
    try:
        source.open()
    except OSError as error:
        raise RecordingError(
            f"{source.name}: nothing answers there ({error.strerror or error}); start the camera's "
            "program first, or check the name"
        ) from error


def _feeds(opened: list[_Bytes | Device], wants: tuple[str, ...]) -> list[Feed]:
    """Which source gives what: the first that has it, frames named apart before others."""
    gives_frames = next((one for one in reversed(opened) if one.has_frames), None)
    gives_events = next((one for one in opened if one.size is not None), None)
    names = " and ".join(one.name for one in opened)
    if "event" in wants and gives_events is None and "rgb" not in wants:
        raise RecordingError(f"{names}: expected events, got frames alone; name another port")
    if "rgb" in wants and gives_frames is None and "event" not in wants:
        raise RecordingError(f"{names}: expected frames, got events alone; name their port")
    return [
        Feed(
            one,
            gives_events="event" in wants and one is gives_events,
            gives_frames="rgb" in wants and one is gives_frames,
        )
        for one in opened
    ]


def _cutter(
    feeds: list[Feed],
    opened: list[_Bytes | Device],
    *,
    window_us: int | None,
    window: Literal["frame", "exposure", "segment"],
    stride: int,
) -> Cutter:
    sizes = [one.size for one, feed in zip(opened, feeds, strict=True) if feed.gives_events]
    size = sizes[0] if sizes else None
    if window_us is not None and size is not None:
        return WindowCutter(window_us, size=size)
    if not any(feed.gives_frames for feed in feeds):
        raise RecordingError(
            f"{opened[0].name}: expected the length of a moment where there are no frames; give "
            "--window-ms (window_us in Python), such as 33"
        )
    return FrameCutter(window=window, stride=stride, size=size)
