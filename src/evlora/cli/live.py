"""What `predict --live` shows: a line for every prediction, as it is made."""

import json
import statistics
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from evlora.cli.printing import echo

if TYPE_CHECKING:
    from evlora.answering import Precision
    from evlora.clips import Modality
    from evlora.clips.playback import LiveAnswer
    from evlora.recognizer import Recognizer
    from evlora.recordings import Recording


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

    window_us = None if window_ms is None else max(1, round(1000 * window_ms))
    width = max(map(len, (*recognizer.labels, "label")))
    latencies_ms: list[float] = []
    dropped = 0
    is_interrupted = False
    try:
        answers = predict_live(
            recognizer,
            recording,
            speed=speed,
            window_us=window_us,
            precision=precision,
            without=without,
        )
        for answer in answers:
            if not latencies_ms and not as_json:
                echo(f"{'time':>10}  {'label':<{width}}  confidence  {'latency':>10}  moments")
            latencies_ms.append(answer.latency_ms)
            dropped += answer.dropped
            echo(json.dumps(asdict(answer)) if as_json else _line(answer, width))
    except KeyboardInterrupt:
        is_interrupted = True
    if latencies_ms:
        echo(
            f"{len(latencies_ms)} answers, {dropped} moments skipped, "
            f"median latency {statistics.median(latencies_ms):.0f} ms",
            err=True,
        )
    elif not is_interrupted:
        echo(
            "no answer: the recording has fewer moments than the network answers to; "
            "give shorter windows with --window-ms, or predict it as a whole without --live",
            err=True,
        )
    if dropped:
        echo(
            "the recognizer is slower than the recording; slow it down with --speed, or show "
            "everything with --speed 0",
            err=True,
        )
    if is_interrupted:
        echo("interrupted", err=True)
        raise typer.Exit(130)


def _line(answer: "LiveAnswer", width: int) -> str:
    skipped = f"  {answer.dropped} skipped" if answer.dropped else ""
    return (
        f"{answer.elapsed_us / 1e6:8.3f} s  {answer.label:<{width}}  {answer.confidence:>10.1%}  "
        f"{answer.latency_ms:>7.0f} ms  {answer.moments:>7}{skipped}"
    )
