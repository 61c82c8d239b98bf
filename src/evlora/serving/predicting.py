"""From an upload to the answer: decode, draw, recognize, show."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from starlette.requests import Request

from evlora.serving.documents import (
    Contents,
    MomentAnswer,
    PredictAnswer,
    Ranked,
    Shown,
    Timing,
)
from evlora.serving.recognizers import Details, Probabilities, Served
from evlora.serving.refusals import STATUS, Refusal
from evlora.serving.service import Service
from evlora.serving.shown import png, png_of_moment, shown
from evlora.serving.uploads import Upload, own_folder, received
from evlora.serving.wire import Bytes, Message

MIDDLE = "middle_"


class Wishes(NamedTuple):
    """What a request asks for."""

    bundle: str | None
    top: int
    moments: bool
    pictures: bool
    relevance: bool
    without: Literal["rgb", "event"] | None
    options: dict[str, Any]
    """How to open the recording: what `open_recording` takes."""

    @property
    def wants_details(self) -> bool:
        """Whether more is asked for than labels."""
        return self.moments or self.pictures or self.relevance


async def predicted(service: Service, request: Request, wishes: Wishes) -> PredictAnswer:
    """The answer to a request.

    Raises:
        Refusal: There is none.
    """
    begun = time.perf_counter()
    name, served = service.shelf.named(wishes.bundle)
    with own_folder(service.uploads) as folder:
        upload = await received(request, folder)
        decoded = await _decoded(service, served, upload, wishes)
    views = {name: decoded.arrays[name] for name in served.settings.modalities}
    before = time.perf_counter()
    shares = await service.batchers[name].answer(views)
    details = Details([], None, [])
    whole = _middle(decoded.arrays, served)
    if wishes.moments or wishes.relevance:
        details = await asyncio.get_running_loop().run_in_executor(
            service.network,
            lambda: served.details(whole, moments=wishes.moments, relevance=wishes.relevance),
        )
    network_ms = 1e3 * (time.perf_counter() - before)
    about = decoded.about
    answer = PredictAnswer(
        bundle=name,
        labels=ranked(served.labels, shares, wishes.top),
        warnings=[*about["warnings"], *details.warnings],
        recording=Contents(**about["recording"]),
        timing_ms=Timing(**about["timing_ms"], network=network_ms, total=0),
    )
    if wishes.wants_details:
        await asyncio.to_thread(
            _add_details, answer, served, wishes, details, images=whole, times_us=about["times_us"]
        )
    answer.timing_ms.total = 1e3 * (time.perf_counter() - begun)
    return answer


def ranked(labels: Sequence[str], shares: Probabilities, top: int) -> list[Ranked]:
    """The most probable labels, those of equal probability in the order of the labels."""
    order = np.argsort(-shares, kind="stable")[:top]
    return [Ranked(label=labels[int(i)], probability=float(shares[i])) for i in order]


async def _decoded(service: Service, served: Served, upload: Upload, wishes: Wishes) -> Message:
    """The clips of an upload, whose shapes are those that the network takes."""
    height, width = served.settings.size_px
    shape = (served.settings.frames, 3, height, width)
    decoded = await service.decoders.ask(
        {
            "do": "recording",
            "folder": str(upload.folder),
            "recording": upload.recording,
            "frames": upload.frames,
            "options": wishes.options,
            "without": wishes.without,
            "drawing": served.drawing._asdict(),
            "middle": wishes.wants_details,
        },
        most_bytes=served.views * int(np.prod(shape)),
    )
    for name in served.settings.modalities:
        if decoded.arrays[name].shape != (served.views, *shape):
            raise Refusal(STATUS["crashed"], "the file could not be decoded; it is damaged")
    return decoded


def _middle(arrays: Mapping[str, Bytes], served: Served) -> dict[str, Bytes]:
    """The clip that one looks at, shape (T, 3, H, W) by modality."""
    return {
        name: arrays.get(f"{MIDDLE}{name}", arrays[name])[0] for name in served.settings.modalities
    }


def _add_details(
    answer: PredictAnswer,
    served: Served,
    wishes: Wishes,
    details: Details,
    *,
    images: Mapping[str, Bytes],
    times_us: Sequence[int | None],
) -> None:
    if wishes.moments:
        answer.moments = [
            MomentAnswer(
                t_us=t_us,
                labels=[] if shares is None else ranked(served.labels, shares, wishes.top),
            )
            for t_us, shares in zip(times_us, details.moments, strict=False)
        ]
    if wishes.pictures:
        answer.pictures = [
            picture
            for name, of_view in images.items()
            for picture in shown(name, map(png_of_moment, of_view), times_us)
        ]
    if wishes.relevance:
        answer.relevance = _relevance(served, details, times_us)


def _relevance(served: Served, details: Details, times_us: Sequence[int | None]) -> list[Shown]:
    if details.relevance is None:
        return []
    from evlora.report.relevance_pictures import overlays

    by_view = overlays(details.relevance, served.settings.size_px)
    return [
        picture
        for name, of_view in by_view.items()
        for picture in shown(name, map(png, of_view), times_us)
    ]
