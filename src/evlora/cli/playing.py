"""The verb that plays a recording, in a terminal or into a file: play."""

import os
import shutil
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evlora.cli.arguments import Device, Weights
from evlora.cli.early import bundle_that_is_there
from evlora.cli.recordings import (
    ColumnsOption,
    FormatOption,
    FramesOption,
    HeightOption,
    RecordingPath,
    TopicsOption,
    UnitOption,
    WidthOption,
    counted,
    part_between,
)
from evlora.errors import RecordingError

if TYPE_CHECKING:
    from evlora.clips.playback import LiveAnswer
    from evlora.recordings import Recording
    from evlora.recordings.playing import Shown

TRUE_COLOUR = ("truecolor", "24bit")
"""What COLORTERM holds where a terminal has all colours."""
HOME, CLEAR, HIDE, SHOW = "\x1b[H", "\x1b[2J\x1b[H", "\x1b[?25l", "\x1b[?25h"
CLEAR_BELOW = "\x1b[J"
MOST_FPS = 240


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(play)


def play(
    recording: RecordingPath,
    *,
    out: Annotated[
        Path | None, typer.Option(help="Write it to this file: .mp4, .gif or .webp.")
    ] = None,
    fps: Annotated[float, typer.Option(min=0.1, help="Pictures per second.")] = 25.0,
    slow: Annotated[
        float, typer.Option(min=0.001, help="Times slower than recorded; 0.5 is twice as fast.")
    ] = 1.0,
    window_ms: Annotated[
        float | None,
        typer.Option(min=0.001, help="What an event image shows; by default each event once."),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Write the labels of this trained recognizer under it.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Play from this time on, such as 1.5s or 300ms.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Play up to this time.")] = None,
    frames: FramesOption = None,
    format: FormatOption = None,
    width: WidthOption = None,
    height: HeightOption = None,
    columns: ColumnsOption = None,
    unit: UnitOption = None,
    topics: TopicsOption = None,
    weights: Weights = None,
    device: Device = "auto",
) -> None:
    """Play a recording in the terminal, or into a file.

    Frames stand beside event images.
    """
    from evlora.recordings import open_recording
    from evlora.recordings.parts import part_of
    from evlora.recordings.playing import play as pictures_of
    from evlora.recordings.rendering import ANIMATION_SUFFIXES, require_suffix

    if fps > MOST_FPS:
        raise RecordingError(f"--fps: expected at most {MOST_FPS}, got {fps:g}")
    if out is not None:
        require_suffix(out, ANIMATION_SUFFIXES, "animation")
    elif not sys.stdout.isatty():
        raise RecordingError(
            "play: expected a terminal to play in, got a pipe or a file; name a file with "
            "--out, such as --out play.mp4"
        )
    part = part_between(start, end)
    opened = open_recording(
        recording,
        frames=frames,
        format=format,
        width=width,
        height=height,
        columns=columns,
        unit=unit,
        topics=topics,
    )
    if part is not None:
        opened = part_of(opened, part)
    answers = [] if bundle is None else _answers(bundle, opened, weights=weights, device=device)
    window_us = None if window_ms is None else max(1, round(1000 * window_ms))
    pictures = pictures_of(opened, rate_hz=fps, slow=slow, window_us=window_us)
    if out is None:
        _play_here(pictures, answers, fps)
        return
    from evlora.recordings.playing import with_strip
    from evlora.recordings.rendering import save_animation

    drawn = (with_strip(shown, _label_at(answers, shown.time_us)) for shown in pictures)
    save_animation(counted(drawn, "pictures"), out, pictures_per_second=fps)


def _answers(
    bundle: Path, recording: "Recording", *, weights: Path | None, device: str
) -> "list[LiveAnswer]":
    bundle_that_is_there(bundle)
    from evlora.bundle import load_bundle
    from evlora.devices import device_named
    from evlora.live import predict_live

    recognizer = load_bundle(bundle, weights=weights, device=device_named(device))
    return list(counted(predict_live(recognizer, recording, speed=0), "answers"))


def _label_at(answers: "Sequence[LiveAnswer]", time_us: int) -> str:
    """The latest answer by then; nothing before the first."""
    number = bisect_right(answers, time_us, key=lambda answer: answer.time_us) - 1
    return "" if number < 0 else f"{answers[number].label}  {answers[number].confidence:.0%}"


def _play_here(
    pictures: "Iterator[Shown]", answers: "Sequence[LiveAnswer]", rate_hz: float
) -> None:
    """Draw each picture in its time; those whose time is over are passed by."""
    from evlora.escaping import in_line
    from evlora.recordings.playing import half_blocks

    is_true_colour = os.environ.get("COLORTERM", "").lower() in TRUE_COLOUR
    begun = time.monotonic()
    size = None
    sys.stdout.write(HIDE)
    try:
        for number, shown in enumerate(pictures):
            due = begun + number / rate_hz
            if number and due + 1 / rate_hz < time.monotonic():
                continue
            time.sleep(max(0.0, due - time.monotonic()))
            before, size = size, shutil.get_terminal_size()
            drawn = half_blocks(
                shown.image,
                columns=size.columns,
                rows=max(1, size.lines - 2),
                is_true_colour=is_true_colour,
            )
            label = _label_at(answers, shown.time_us)
            line = f"{shown.elapsed_us / 1e6:9.3f} s   {in_line(label)}"[: size.columns]
            begin = HOME if size == before else CLEAR
            sys.stdout.write(f"{begin}{drawn}\n{line}\x1b[K{CLEAR_BELOW}")
            sys.stdout.flush()
    finally:
        sys.stdout.write(f"\x1b[0m{SHOW}\n")
        sys.stdout.flush()
