"""A service in the test's own process; its decoders are threads, which spares torch's seconds."""

import json
import threading
from collections.abc import Iterable, Mapping
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from evlora.recordings import EventStream, FrameSequence, Recording, write_recording
from evlora.serving.app import create_app
from evlora.serving.decoders import NOTHING, Decoders, checked
from evlora.serving.decoding import answer_requests
from evlora.serving.live import HEADER
from evlora.serving.recognizers import open_shelf
from evlora.serving.wire import Bytes, Message, receive, send


class DecoderThread:
    """Answers as a decoder's process does, without its bounds."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        self._thread = threading.Thread(target=answer_requests, args=(theirs,), daemon=True)
        self._thread.start()

    def ask(
        self,
        about: Mapping[str, Any],
        arrays: Mapping[str, Bytes] = NOTHING,
        *,
        most_bytes: int = 0,
        seconds: float | None = None,
    ) -> Message:
        del seconds
        send(self._connection, about, arrays)
        return checked(receive(self._connection, most_bytes=most_bytes))

    def end(self) -> None:
        self._connection.close()
        self._thread.join()


def client_of(*places: str | Path, **options: Any) -> TestClient:
    """A client of a service; used as a context, which starts and ends it."""
    app = create_app(open_shelf(places), Decoders(1, DecoderThread), **options)
    return TestClient(app, raise_server_exceptions=False)


def recording_of(
    *, moments: int = 2, seed: int = 0, width: int = 40, height: int = 30
) -> Recording:
    """Noise: this many frames of 20 ms, and the events until the last of them."""
    random = np.random.default_rng(seed)
    count = 300 * moments
    ends = np.arange(1, moments + 1) * 20_000
    events = EventStream.from_arrays(
        np.sort(random.integers(0, ends[-1], count)),
        random.integers(0, width, count),
        random.integers(0, height, count),
        random.integers(0, 2, count),
        width=width,
        height=height,
    )
    images = random.integers(0, 256, (moments, height, width, 3), dtype=np.uint8)
    frames = FrameSequence.from_images(images, start_us=ends - 5000, end_us=ends)
    return Recording(events, frames, "made")


def written(folder: Path, **options: Any) -> Path:
    """Such a recording as a file."""
    path = folder / "recording.npz"
    write_recording(recording_of(**options), path)
    return path


def opening(**content: Any) -> str:
    """The first message of a camera."""
    return json.dumps({"width": 40, "height": 30, **content})


def raw_events(events: EventStream, t_us: int) -> bytes:
    """A message of raw events, as the contract lays them out."""
    records = np.zeros(len(events), [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "<u4")])
    records["t"], records["x"], records["y"] = events.t_us, events.x, events.y
    records["p"] = events.polarity
    return HEADER.pack(0, 0, t_us) + records.tobytes()


def raw_picture(image: Bytes, t_us: int) -> bytes:
    """A message of a picture's pixels."""
    return HEADER.pack(3, 0, t_us) + image.tobytes()


def moments_of(recording: Recording) -> Iterable[tuple[bytes, bytes]]:
    """The two messages of each of a recording's frames: its events, and the frame."""
    assert recording.events is not None
    assert recording.frames is not None
    assert recording.frames.end_us is not None
    before_us = 0
    for number, t_us in enumerate(recording.frames.end_us.tolist()):
        events = recording.events.between(before_us, t_us)
        yield raw_events(events, before_us), raw_picture(recording.frames[number], t_us)
        before_us = t_us
