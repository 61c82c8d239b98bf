"""What runs in a decoder's process: uploads and a camera's messages in, images of clips out.

Nothing that a client sent is decoded anywhere else. The process has bounds of memory, writes no
file, and is killed by the service when it takes too long.
"""

import gc
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from evlora.clips import ClipConfig
from evlora.errors import EvloraError, RecordingWarning
from evlora.escaping import in_line
from evlora.limits import VARIABLE, limits, raising
from evlora.processes import begin_process
from evlora.recordings import Recording
from evlora.serving.camera import Camera
from evlora.serving.drawing import Drawing, clips_by, moment_times
from evlora.serving.refusals import Kind
from evlora.serving.uploaded import advice_for_uploads, open_upload
from evlora.serving.wire import Bytes, Message, receive, send

Answer = tuple[dict[str, Any], dict[str, Bytes]]


def run_decoder(connection: "Connection[Any, Any]", raised_limits: str) -> None:
    """The process: answers until the service ends.

    Args:
        connection: To the service.
        raised_limits: What the service has in EVLORA_LIMITS.
    """
    begin_process()
    gc.freeze()  # a search through what is shared with the server would copy all of it
    os.environ[VARIABLE] = raised_limits
    confine()
    answer_requests(connection)


def confine() -> None:
    """Bound this process: memory beyond what it has by now, no core dump, no byte written."""
    if sys.platform != "linux":
        return  # only time is bounded
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + limits().decoder_bytes
    for kind, bound in (
        (resource.RLIMIT_AS, most),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(kind, (bound, bound))


def answer_requests(connection: "Connection[Any, Any]") -> None:
    """Answer one request after the other, until the other side ends."""
    decoding = _Decoding()
    while True:
        try:
            request = receive(connection, most_bytes=limits().live_message_bytes)
        except (EOFError, OSError):
            return
        send(connection, *_answered(decoding, request))


def _answered(decoding: "_Decoding", request: Message) -> Answer:
    """The answer, or why there is none; each error is one sentence without a place in it."""
    folder = request.about.get("folder")
    try:
        return decoding.do[request.about["do"]](request)
    except (EvloraError, MemoryError) as error:
        if not _is_of_memory(error):
            return _refused(advice_for_uploads(str(error)), "unreadable", folder), {}
        most = limits().decoder_bytes
        reason = (
            f"expected a file that is decoded in {most:,} bytes of memory, this one asks for more; "
            f"upload a shorter part, or {raising('decoder_bytes')}"
        )
        kind = "too_large"
    except Exception:
        traceback.print_exc()  # for the service's own log
        reason, kind = "the file could not be read; it is damaged: copy it again", "unreadable"
    return _refused(reason, kind, folder), {}


def _is_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, also where a reader took that for damage."""
    return error is not None and (
        isinstance(error, MemoryError) or _is_of_memory(error.__cause__ or error.__context__)
    )


def _refused(reason: str, kind: Kind, folder: str | None) -> dict[str, Any]:
    return {"error": _without_place(reason, folder), "kind": kind}


def _without_place(text: str, folder: str | None) -> str:
    """A sentence in which files have the names that they were stored under, without a folder."""
    return in_line(text if folder is None else text.replace(f"{folder}{os.sep}", ""))


class _Decoding:
    """What a decoder can do, by name, and the camera that it follows."""

    def __init__(self) -> None:
        self.do: dict[str, Callable[[Message], Answer]] = {
            "nothing": lambda _: ({}, {}),
            "recording": _recording,
            "camera": self._open_camera,
            "message": self._take_message,
        }
        self._camera: Camera | None = None

    def _open_camera(self, request: Message) -> Answer:
        about = request.about
        self._camera = Camera(
            ClipConfig.model_validate(about["settings"]),
            width=about["width"],
            height=about["height"],
            simulate=about["simulate"],
        )
        return {}, {}

    def _take_message(self, request: Message) -> Answer:
        assert self._camera is not None  # it was opened first
        about = request.about
        moment = self._camera.take(
            about["kind"],
            request.arrays["payload"],
            t_us=about["t_us"],
            length_us=about["length_us"],
            is_skipped=about["is_skipped"],
        )
        return ({}, {}) if moment is None else ({"t_us": moment.t_us}, moment.images)


def _recording(request: Message) -> Answer:
    """The clips of an uploaded recording, and what it is."""
    about = request.about
    folder = Path(about["folder"])
    frames = about["frames"]
    begun = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RecordingWarning)
        recording = open_upload(
            folder / about["recording"],
            frames=None if frames is None else folder / frames,
            **about["options"],
        )
        read = time.perf_counter()
        clips = clips_by(Drawing(**about["drawing"]), without=about["without"])
        images = clips.of(recording, middle=about["middle"])
        times_us = moment_times(recording, clips.settings) if about["middle"] else []
        span_us = _span_us(recording)
    drawn = time.perf_counter()
    texts = [str(one.message) for one in caught if issubclass(one.category, RecordingWarning)]
    return {
        "recording": _contents(recording, span_us),
        "warnings": [_without_place(text, about["folder"]) for text in texts],
        "times_us": [None if t_us is None else t_us - span_us[0] for t_us in times_us],
        "timing_ms": {"reading": 1e3 * (read - begun), "drawing": 1e3 * (drawn - read)},
    }, images


def _span_us(recording: Recording) -> tuple[int, int | None]:
    """Where the recording begins on its clock, and how long it is where something states that."""
    events, frames = recording.events, recording.frames or recording.event_images
    starts = [events.first_us] if events else []
    ends = [events.last_us] if events else []
    if frames is not None and frames.start_us is not None and frames.end_us is not None:
        starts.append(int(frames.start_us[0]))
        ends.append(int(frames.end_us[-1]))
    return (min(starts), max(ends) - min(starts)) if starts else (0, None)


def _contents(recording: Recording, span_us: tuple[int, int | None]) -> dict[str, Any]:
    """What a recording holds, as the service describes it."""
    events, frames = recording.events, recording.frames or recording.event_images
    seen = events if events is not None else frames
    assert seen is not None  # clips were made of it
    return {
        "format": recording.format,
        "width": seen.width,
        "height": seen.height,
        "events": 0 if events is None else len(events),
        "frames": 0 if frames is None else len(frames),
        "duration_us": span_us[1],
    }
