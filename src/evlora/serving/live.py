"""A camera that is answered moment by moment, over a WebSocket.

Messages are taken in as they come. Where a newer moment is complete before an older one is worked
on, the older one is skipped and counted in the next answer: nothing queues up, however slow the
network, the line or the client is.
"""

import asyncio
import contextlib
import json
import struct
import time
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from pydantic import Field, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from evlora.config import Config
from evlora.errors import EvloraError
from evlora.escaping import in_line
from evlora.limits import limits, raising
from evlora.live import StreamingRecognizer
from evlora.messages import explain
from evlora.serving.authorization import WANTED, is_token
from evlora.serving.camera import EVENTS, EVT3_WORDS, PICTURES
from evlora.serving.decoders import FIRST_ANSWER_S, Decoder
from evlora.serving.predicting import ranked
from evlora.serving.recognizers import ServedBundle
from evlora.serving.refusals import Refusal
from evlora.serving.service import Service
from evlora.serving.shown import png_of_moment
from evlora.serving.wire import Bytes, Message

HEADER = struct.Struct("<B3xIq")
"""Kind, length of the window in µs (0: as it follows), time in µs."""
FIRST_MESSAGE_S = 10
REFUSED = 1008
CLOSE_CODES: dict[int, int] = {401: 4401, 429: 1013, 503: 1013}
"""Status → the WebSocket's code for it; 1013 is `try again later`."""


class Opening(Config):
    """The first message."""

    width: int = Field(ge=1, le=65535)
    height: int = Field(ge=1, le=65535)
    bundle: str | None = None
    token: str | None = None
    simulate: bool = False
    top: int = Field(default=5, ge=1, le=1000)
    pictures: bool = False
    stride: int = Field(default=1, ge=1, le=1000)


class Sent(NamedTuple):
    """A message of the camera."""

    kind: int
    length_us: int
    t_us: int
    payload: Bytes
    came_s: float


@dataclass(slots=True)
class Waiting:
    """Messages that nobody has worked on: those of the newest complete moment, and what follows."""

    ends_moment: tuple[int, ...]
    """Kinds of messages that complete a moment."""
    messages: deque[Sent] = field(default_factory=deque[Sent])
    skipped: deque[Sent] = field(default_factory=deque[Sent])
    """Of moments that were skipped, what must be decoded all the same: EVT3 has a state."""
    complete: int = 0
    """How many of the messages make up the complete moment."""
    dropped: int = 0
    """Moments skipped since the last answer."""
    bytes: int = 0
    has_news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, message: Sent) -> None:
        """Take a message in; a moment that it makes out of date is skipped.

        Raises:
            Refusal: Events without a picture fill the memory.
        """
        self.messages.append(message)
        self.bytes += len(message.payload)
        if message.kind in self.ends_moment:
            if self.complete:
                self.dropped += 1
                for _ in range(self.complete):
                    self._skip(self.messages.popleft())
            self.complete = len(self.messages)
            self.has_news.set()
        if self.bytes > limits().live_message_bytes:
            raise Refusal(
                413,
                f"expected at most {limits().live_message_bytes:,} bytes that wait for their "
                f"moment, got more; send pictures between the events, or "
                f"{raising('live_message_bytes')}",
            )

    def take(self) -> tuple[list[Sent], list[Sent], int]:
        """What is only to be decoded, the complete moment, and how many moments were skipped."""
        skipped, self.skipped = list(self.skipped), deque()
        moment = [self.messages.popleft() for _ in range(self.complete)]
        self.bytes = sum(len(one.payload) for one in self.messages)
        dropped, self.dropped, self.complete = self.dropped, 0, 0
        self.has_news.clear()
        return skipped, moment, dropped

    def _skip(self, message: Sent) -> None:
        if message.kind == EVT3_WORDS:
            self.skipped.append(message)
        else:
            self.bytes -= len(message.payload)


async def answer_camera(service: Service, socket: WebSocket, token: str | None) -> None:
    """Answer a camera until it goes."""
    await socket.accept()
    try:
        _require_same_host(socket)
        opening = await _opening(socket, token)
        with service.cameras.enter():
            name, served = service.shelf.named(opening.bundle)
            if not isinstance(served, ServedBundle):
                raise Refusal(
                    422, f"{name}: an exported file answers whole recordings; serve the bundle"
                )
            with _own_decoder(service) as decoder:
                await _Answering(service, served, opening, decoder).run(socket)
    except WebSocketDisconnect:
        return
    except (Refusal, EvloraError) as error:
        await _say(socket, error)


async def _opening(socket: WebSocket, token: str | None) -> Opening:
    """The first message.

    Raises:
        Refusal: It does not come, is none, or has another token.
    """
    try:
        async with asyncio.timeout(FIRST_MESSAGE_S):
            text = await socket.receive_text()
        opening = Opening.model_validate_json(text)
    except (TimeoutError, KeyError) as error:
        raise Refusal(400, "expected a first message of JSON with width and height") from error
    except ValidationError as error:
        raise Refusal(400, f"first message: {explain(error, Opening)}") from error
    if token is not None and not is_token(opening.token, token):
        raise Refusal(401, WANTED.replace("`Authorization: Bearer TOKEN`", "`token`"))
    return opening


def _require_same_host(socket: WebSocket) -> None:
    """Refuse what a page of another host has opened in somebody's browser."""
    origin = socket.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != socket.headers.get("host"):
        raise Refusal(403, "expected a page of this service, or a program, not another page")


@contextlib.contextmanager
def _own_decoder(service: Service) -> Generator[Decoder]:
    decoder = service.decoders.one_more()
    try:
        yield decoder
    finally:
        decoder.end()


async def _say(socket: WebSocket, error: Refusal | EvloraError) -> None:
    """Send why it ends, and end it."""
    status = error.status if isinstance(error, Refusal) else 422
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await socket.send_text(json.dumps({"error": in_line(error), "status": status}))
        await socket.close(CLOSE_CODES.get(status, REFUSED))


class _Answering:
    """A camera's messages on their way to answers."""

    def __init__(
        self, service: Service, served: ServedBundle, opening: Opening, decoder: Decoder
    ) -> None:
        self._service, self._served, self._decoder = service, served, decoder
        self._opening = opening
        self._takes_pictures = opening.simulate or "rgb" in served.settings.modalities
        self._picture_us: int | None = None
        self._waiting = Waiting(PICTURES if self._takes_pictures else EVENTS)
        self._stream: StreamingRecognizer | None = None

    async def run(self, socket: WebSocket) -> None:
        """Take messages in and answer moments, until the camera goes.

        Raises:
            Refusal: A message is none, or cannot be read.
            WebSocketDisconnect: The camera has gone.
        """
        await self._open()
        tasks = [
            asyncio.create_task(self._take_in(socket)),
            asyncio.create_task(self._answer(socket)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.exception()  # one reason is enough

    async def _open(self) -> None:
        opening, recognizer = self._opening, self._served.recognizer
        self._stream = await asyncio.get_running_loop().run_in_executor(
            self._service.network,
            lambda: StreamingRecognizer(
                recognizer, stride=opening.stride, precision=self._served.precision
            ),
        )
        about = {
            "do": "camera",
            "settings": self._served.drawing.settings,
            "width": opening.width,
            "height": opening.height,
            "simulate": opening.simulate,
        }
        await asyncio.to_thread(self._decoder.ask, about, seconds=FIRST_ANSWER_S)

    async def _take_in(self, socket: WebSocket) -> None:
        while True:
            try:
                content = await socket.receive_bytes()
            except KeyError as error:
                raise Refusal(
                    400, "expected binary messages after the first one, got text"
                ) from error
            if len(content) < HEADER.size:
                raise Refusal(
                    400, f"expected a header of {HEADER.size} bytes, got {len(content)} bytes"
                )
            kind, length_us, t_us = HEADER.unpack_from(content)
            if kind not in range(4):
                raise Refusal(400, f"expected a kind of message of 0 to 3, got {kind}")
            payload = np.frombuffer(content, np.uint8, offset=HEADER.size)
            if kind in PICTURES:
                length_us = self._since_last_picture(t_us, length_us)
            self._waiting.add(Sent(kind, length_us, t_us, payload, time.perf_counter()))

    def _since_last_picture(self, t_us: int, length_us: int) -> int:
        """How long the window of a picture is, also where the picture before it is skipped."""
        if not self._takes_pictures:
            raise Refusal(422, "expected events alone, as the recognizer takes, got a picture")
        before_us, self._picture_us = self._picture_us, t_us
        if before_us is None:
            return length_us
        if t_us <= before_us:
            raise Refusal(
                422,
                f"expected pictures in the order of time, got one of {t_us} µs after one of "
                f"{before_us} µs",
            )
        is_simulated = self._opening.simulate  # then the window is all since the last one drawn
        return length_us if length_us or is_simulated else t_us - before_us

    async def _answer(self, socket: WebSocket) -> None:
        while True:
            await self._waiting.has_news.wait()
            skipped, moment, dropped = self._waiting.take()
            self._service.metrics.moments.labels("skipped").inc(dropped)
            drawn = await asyncio.to_thread(self._drawn, skipped, moment)
            assert drawn is not None  # the last message completes it
            shares = await asyncio.get_running_loop().run_in_executor(
                self._service.network, self._pushed, drawn.arrays
            )
            self._service.metrics.moments.labels("answered").inc()
            answer: dict[str, Any] = {
                "t_us": drawn.about["t_us"],
                "labels": shares,
                "moments": 0 if self._stream is None else self._stream.moments,
                "latency_ms": 1e3 * (time.perf_counter() - moment[-1].came_s),
                "dropped_moments": dropped,
            }
            if self._opening.pictures and "event" in drawn.arrays:
                answer["event_image"] = png_of_moment(drawn.arrays["event"])
            await socket.send_text(json.dumps(answer))

    def _drawn(self, skipped: list[Sent], moment: list[Sent]) -> Message | None:
        """The moment as the network takes it."""
        height, width = self._served.settings.size_px
        answer = None
        for is_skipped, messages in ((True, skipped), (False, moment)):
            for one in messages:
                about = {
                    "do": "message",
                    "kind": one.kind,
                    "t_us": one.t_us,
                    "length_us": one.length_us,
                    "is_skipped": is_skipped,
                }
                answer = self._decoder.ask(
                    about, {"payload": one.payload}, most_bytes=3 * height * width
                )
        return answer

    def _pushed(self, images: dict[str, Bytes]) -> list[dict[str, Any]]:
        """The labels after this moment; none while there are too few."""
        assert self._stream is not None  # it was opened
        scores = self._stream.push(*self._served.moment(images))
        if scores is None:
            return []
        shares = self._served.shares(scores)
        return [one.model_dump() for one in ranked(self._served.labels, shares, self._opening.top)]
