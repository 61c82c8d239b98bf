"""What `predict --live` shows: a view that follows the answers, or a line for each of them."""

import json
import statistics
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from evlora.cli.printing import echo
from evlora.errors import RecordingError
from evlora.escaping import in_line

if TYPE_CHECKING:
    from evlora.answering import Precision
    from evlora.clips import Modality
    from evlora.clips.playback import LiveAnswer
    from evlora.recognizer import Recognizer
    from evlora.recordings import Recording

PRINTED = ("time_us", "elapsed_us", "label", "confidence", "latency_ms", "moments", "dropped")
"""What of an answer is an object's key with --json."""
LATENCIES_KEPT = 10_000
"""Of the latest answers, for the median at the end: a camera may run for months."""
TOO_FEW = (
    "no answer: the recording has fewer moments than the network answers to; give shorter windows "
    "with --window-ms, or predict it as a whole without --live"
)
SLOWER_THAN_RECORDED = (
    "the recognizer is slower than the recording; slow it down with --speed, or show everything "
    "with --speed 0"
)
SLOWER_THAN_CAMERA = (
    "the recognizer is slower than the camera; give longer windows with --window-ms, a smaller "
    "backbone, or --precision bf16"
)


def show_live(
    recognizer: "Recognizer",
    recording: "Recording",
    *,
    speed: float,
    window_ms: float | None,
    precision: "Precision",
    without: "Modality | None",
    as_json: bool,
) -> None:
    """Print the answers to a recording in its own time, and at the end what became of it.

    Raises:
        Exit: It was interrupted; the answers until then have been printed.
    """
    from evlora.live import predict_live

    answers = predict_live(
        recognizer,
        recording,
        speed=speed,
        window_us=in_us(window_ms),
        precision=precision,
        without=without,
    )
    title = "live" if recording.path is None else recording.path.name
    show_answers(
        answers,
        recognizer.labels,
        title=title,
        as_json=as_json,
        nothing=TOO_FEW,
        too_slow=SLOWER_THAN_RECORDED,
    )


def show_stream(
    recognizer: "Recognizer",
    source: str,
    *,
    frames: str | None,
    speed: float,
    window_ms: float | None,
    stride: int | None,
    precision: "Precision",
    without: "Modality | None",
    format: str | None,
    size: tuple[int | None, int | None],
    as_json: bool,
) -> None:
    """Print the answers to what is still being recorded, until it ends or is interrupted.

    Raises:
        RecordingError: The source cannot be read, or the speed is none that it can have.
        Exit: It was interrupted; the answers until then have been printed.
    """
    from evlora.live import StreamingRecognizer, predict_stream
    from evlora.recordings.live import open_stream

    if speed not in (0, 1):
        raise RecordingError(
            f"--speed: expected 1, or 0 to skip nothing, for what comes when it comes; got {speed}"
        )
    config = recognizer.clip_config.hiding(without)
    if stride is None:
        stride = config.stride if config.sampling == "dense" else 1
    stream = StreamingRecognizer(recognizer, stride=stride, precision=precision, without=without)
    with open_stream(
        source,
        frames=frames,
        window_us=in_us(window_ms),
        window=config.window,
        stride=stride,
        wants=tuple(name for name in config.modalities if name != without),
        keeps_all=speed == 0,
        format=format,
        width=size[0],
        height=size[1],
        report=lambda line: echo(line, err=True),
    ) as camera:
        show_answers(
            predict_stream(stream, camera),
            recognizer.labels,
            title=source,
            as_json=as_json,
            nothing="no answer: it ended before the network had enough moments",
            too_slow=SLOWER_THAN_CAMERA,
        )
        if camera.late_events:
            echo(f"{camera.late_events} events came too late for their moment", err=True)


def in_us(window_ms: float | None) -> int | None:
    """A window's length in µs, at least 1."""
    return None if window_ms is None else max(1, round(1000 * window_ms))


def show_answers(
    answers: "Iterator[LiveAnswer]",
    labels: Sequence[str],
    *,
    title: str,
    as_json: bool,
    nothing: str,
    too_slow: str,
) -> None:
    """Show answers as they come, and at the end how many there were.

    Args:
        answers: Each as soon as it is there.
        labels: Of the recognizer.
        title: Of the view.
        as_json: Print one object a line.
        nothing: What to print where there was no answer.
        too_slow: What to print where moments were skipped.

    Raises:
        Exit: It was interrupted; the answers until then have been printed.
    """
    latencies_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)
    count = dropped = 0
    is_interrupted = False
    try:
        with _shown(title, labels, as_json=as_json) as show:
            for answer in answers:
                count += 1
                latencies_ms.append(answer.latency_ms)
                dropped += answer.dropped
                show(answer)
    except KeyboardInterrupt:
        is_interrupted = True
    if count:
        echo(
            f"{count} answers, {dropped} moments skipped, "
            f"median latency {statistics.median(latencies_ms):.0f} ms",
            err=True,
        )
    elif not is_interrupted:
        echo(nothing, err=True)
    if dropped:
        echo(too_slow, err=True)
    if is_interrupted:
        echo("interrupted", err=True)
        raise typer.Exit(130)


def is_still_recorded(
    inputs: Sequence[str],
    *,
    live: bool,
    follows: bool,
    part: object,
    stated: tuple[int | None, str | None],
) -> bool:
    """Whether the input is a pipe, a socket, a camera, or a file that is followed.

    Args:
        inputs: Of `predict`.
        live: Whether --live is there.
        follows: Whether --follow is.
        part: What --from and --to name; None without them.
        stated: Values of --stride and --format.

    Raises:
        RecordingError: Options do not go together, or a folder is to be followed.
    """
    from evlora.recordings.live import is_stream

    found = [word for word in inputs if follows or is_stream(word)]
    if found and (not live or len(inputs) > 1 or part is not None):
        raise RecordingError(
            f"{found[0]}: expected --live, no other input, and no --from or --to, with what is "
            "still being recorded"
        )
    if follows and Path(inputs[0]).is_dir():
        raise RecordingError(f"{inputs[0]}: expected a file that grows for --follow, got a folder")
    if not found and stated != (None, None):
        raise RecordingError(
            "--stride and --format: expected what is still being recorded, such as - or --follow"
        )
    return bool(found)


def _shown(
    title: str, labels: Sequence[str], *, as_json: bool
) -> "AbstractContextManager[Callable[[LiveAnswer], None]]":
    """What shows an answer: a view in a terminal, else a line each."""
    if as_json or not sys.stdout.isatty():
        return nullcontext(_line_by_line(labels, as_json))
    from evlora.cli.live_view import LiveView

    return LiveView(title, labels)


def _line_by_line(labels: Sequence[str], as_json: bool) -> "Callable[[LiveAnswer], None]":
    width = max(map(len, (*map(in_line, labels), "label")))
    has_header = False

    def show(answer: "LiveAnswer") -> None:
        nonlocal has_header
        if as_json:
            echo(json.dumps({name: getattr(answer, name) for name in PRINTED}))
            return
        if not has_header:
            echo(f"{'time':>10}  {'label':<{width}}  confidence  {'latency':>10}  moments")
            has_header = True
        echo(_line(answer, width))

    return show


def _line(answer: "LiveAnswer", width: int) -> str:
    skipped = f"  {answer.dropped} skipped" if answer.dropped else ""
    return (
        f"{answer.elapsed_us / 1e6:8.3f} s  {in_line(answer.label):<{width}}  "
        f"{answer.confidence:>10.1%}  "
        f"{answer.latency_ms:>7.0f} ms  {answer.moments:>7}{skipped}"
    )
