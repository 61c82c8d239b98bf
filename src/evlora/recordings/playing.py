"""What `evlora play` draws: the frame beside the event image, moment after moment."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.escaping import in_line
from evlora.recordings.events import EventStream
from evlora.recordings.frames import FrameSequence, ImageArray
from evlora.recordings.recording import Recording
from evlora.recordings.rendering import draw_events

GAP_PX = 4
BACKGROUND = 16
"""Grey of what lies between and around the pictures."""
MOST_PICTURES = 100_000
STRIP_PX = 28
"""Height of the strip under the pictures, for the time and the label."""
LEAST_WIDTH_PX = 320
"""Narrower pictures are enlarged by whole pixels, so that the strip can be read."""
TEXT_PX = 15
LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture of a recording that is played."""

    time_us: int
    """Its end, on the recording's clock."""
    elapsed_us: int
    """The same, from the start of what is played."""
    image: ImageArray
    """uint8 RGB: the frame beside the event image, or the one of them that there is."""


def play(
    recording: Recording, *, rate_hz: float, slow: float = 1.0, window_us: int | None = None
) -> Iterator[Shown]:
    """The pictures of a recording at a rate, of what happened until each of them.

    Args:
        recording: Events, frames, or both; frames without times are spread over the events.
        rate_hz: Pictures per second of playing.
        slow: How many times slower than it was recorded; below 1 it is faster.
        window_us: Length of what an event image shows, up to the picture's time; by default the
            time from one picture to the next, so that each event is shown once.

    Raises:
        RecordingError: There is nothing to play, or more pictures than could be meant.
    """
    frames, events = _timed(recording, rate_hz / slow)
    start_us, end_us = _span(recording, frames, events)
    step_us = 1e6 / rate_hz / slow
    count = max(1, int(np.ceil((end_us - start_us) / step_us)))
    if count > MOST_PICTURES:
        raise RecordingError(
            f"{recording.path or 'recording'}: expected at most {MOST_PICTURES:,} pictures, got "
            f"{count:,}; play a part of it with --from and --to, or a lower --fps"
        )
    for number in range(1, count + 1):
        time_us = start_us + round(number * step_us)
        shown: list[ImageArray] = []
        if frames is not None:
            assert frames.start_us is not None  # timed above
            current = int(np.searchsorted(frames.start_us, time_us)) - 1
            shown.append(frames[max(current, 0)])
        if events is not None:
            since_us = time_us - (window_us or max(1, round(step_us)))
            shown.append(draw_events(events, start_us=since_us, end_us=time_us))
        yield Shown(time_us, time_us - start_us, side_by_side(shown))


def side_by_side(images: list[ImageArray]) -> ImageArray:
    """Images beside each other at one height, the highest one's, with a gap between them."""
    height = max(len(image) for image in images)
    row: list[ImageArray] = []
    for image in images:
        if row:
            row.append(np.full((height, GAP_PX, 3), BACKGROUND, np.uint8))
        row.append(_at_height(image, height))
    return np.concatenate(row, axis=1)


def with_strip(shown: Shown, text: str) -> ImageArray:
    """The picture with a strip under it: the time, and a text such as a label."""
    from PIL import Image, ImageDraw, ImageFont

    factor = -(-LEAST_WIDTH_PX // shown.image.shape[1])
    image = shown.image.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = image.shape[:2]
    canvas = Image.new("RGB", (width, height + STRIP_PX), (BACKGROUND,) * 3)
    canvas.paste(Image.fromarray(image), (0, 0))
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(TEXT_PX)
    middle = height + STRIP_PX / 2
    time = f"{shown.elapsed_us / 1e6:.3f} s"
    pen.text((6, middle), time, fill=(150, 150, 150), font=font, anchor="lm")
    room_px = width - 6 - pen.textlength(time, font=font) - 24
    line = _shortened(
        in_line(text)[:LONGEST_TEXT], lambda part: pen.textlength(part, font=font) <= room_px
    )
    pen.text((width - 6, middle), line, fill=(255, 255, 255), font=font, anchor="rm")
    return np.asarray(canvas)


def half_blocks(image: ImageArray, *, columns: int, rows: int, is_true_colour: bool) -> str:
    """The image for a terminal: each character shows two pixels, one above the other.

    Args:
        image: uint8 RGB, shape (H, W, 3).
        columns: Characters in a line that may be used.
        rows: Lines that may be used.
        is_true_colour: Whether the terminal has 16 million colours, or 256.

    Returns:
        Lines, each with its colours and their end.
    """
    from PIL import Image

    height, width = image.shape[:2]
    scale = min(columns / width, 2 * rows / height)
    size = (max(1, round(width * scale)), max(2, round(height * scale / 2) * 2))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)).astype(int)
    colour = _true_colour if is_true_colour else _of_256
    lines: list[str] = []
    for upper, lower in zip(small[0::2], small[1::2], strict=True):
        cells = [f"\x1b[38;{colour(a)};48;{colour(b)}m▀" for a, b in zip(upper, lower, strict=True)]
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


def _true_colour(pixel: NDArray[Any]) -> str:
    return f"2;{pixel[0]};{pixel[1]};{pixel[2]}"


def _of_256(pixel: NDArray[Any]) -> str:
    """The nearest of the 6 × 6 × 6 colours, or of the 24 greys where the pixel is grey."""
    red, green, blue = pixel.tolist()
    if max(red, green, blue) - min(red, green, blue) < 12:
        grey = round((red - 8) / 10)
        return f"5;{16 if grey < 0 else 231 if grey > 23 else 232 + grey}"
    levels = [round(max(value - 55, 0) / 40) for value in (red, green, blue)]
    return f"5;{16 + 36 * levels[0] + 6 * levels[1] + levels[2]}"


def _timed(recording: Recording, rate_hz: float) -> tuple[FrameSequence | None, EventStream | None]:
    events = recording.events if recording.events is not None and len(recording.events) else None
    frames = recording.frames if recording.frames is not None and len(recording.frames) else None
    if frames is None and events is None:
        raise RecordingError(
            f"{recording.path or 'recording'}: expected events or frames to play, got neither"
        )
    if frames is not None and not frames.is_timed:
        if events is not None:
            frames = frames.spread_over(events.first_us, events.last_us + 1)
        else:  # one picture for each frame
            frames = frames.spread_over(0, round(1e6 * len(frames) / rate_hz))
    return frames, events


def _span(
    recording: Recording, frames: FrameSequence | None, events: EventStream | None
) -> tuple[int, int]:
    starts: list[int] = []
    ends: list[int] = []
    if events is not None:
        starts, ends = [events.first_us], [events.last_us + 1]
    if frames is not None:
        assert frames.start_us is not None  # timed before
        assert frames.end_us is not None
        starts.append(int(frames.start_us[0]))
        ends.append(int(frames.end_us[-1]) + 1)
    return min(starts), max(ends)


def _at_height(image: ImageArray, height: int) -> ImageArray:
    from PIL import Image

    if len(image) == height:
        return image
    width = max(1, round(image.shape[1] * height / len(image)))
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST))


def _shortened(text: str, fits: Callable[[str], bool]) -> str:
    if fits(text):
        return text
    while text and not fits(text + "…"):
        text = text[:-1]
    return text + "…" if text else ""
