"""Event images, frames and both: uint8 RGB arrays of shape (H, W, 3), and files of them.

ON is red and OFF is blue, as in the event image.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evlora.errors import RecordingError
from evlora.files import writing_file
from evlora.recordings.events import EventStream
from evlora.recordings.frames import FrameSequence, ImageArray
from evlora.recordings.recording import Recording
from evlora.recordings.representations import (
    OFF_COLOUR,
    ON_COLOUR,
    WHITE,
    WindowArray,
    equal_windows,
    event_image,
    polarity_counts,
)

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
ANIMATION_SUFFIXES = (".gif", ".webp", ".mp4")

FRAME_SHARE = 0.5
"""How much of a frame's contrast stays under the events, so that their colours stand out."""
FULL_COLOUR_SHARE = 0.01
LEGIBLE_PX = 480
"""Pictures of sensors smaller than this are enlarged by whole pixels."""

PICTURES_PER_SECOND = 20
WEBP_QUALITY = 80
USUAL_WINDOW_US = 40_000
FEWEST_PICTURES, MOST_PICTURES = 24, 200


def draw_events(events: EventStream, *, start_us: int, end_us: int) -> ImageArray:
    """The events with start_us ≤ t < end_us on white, shape (H, W, 3)."""
    window = np.array([[start_us, end_us]], np.int64)
    return _last_axis(event_image(events, window))[0]


def draw_over_frame(
    events: EventStream, frame: ImageArray, *, start_us: int, end_us: int
) -> ImageArray:
    """The events with start_us ≤ t < end_us over a frame in pale grey.

    Args:
        events: Of the sensor that took the frame, or one that looks the same way.
        frame: uint8 RGB; a frame of another size is scaled to the sensor of the events.
        start_us: Start of the window.
        end_us: End of the window, not included.

    Returns:
        uint8 RGB, shape (H, W, 3) of the events.
    """
    picture = draw_events(events, start_us=start_us, end_us=end_us)
    grey = _scaled(frame, width=events.width, height=events.height).mean(axis=-1)
    pale = (WHITE - FRAME_SHARE * (WHITE - grey)).astype(np.uint8)
    is_empty = (picture == WHITE).all(axis=-1, keepdims=True)
    return np.where(is_empty, pale[..., None], picture)


def draw_activity(events: EventStream) -> ImageArray:
    """How many events each pixel sent in all, from white for none to its polarities' colour.

    The scale is logarithmic and full for the busiest `FULL_COLOUR_SHARE` of the pixels, so that
    a hot pixel does not pale the scene. Shape (H, W, 3).
    """
    return draw_counts(polarity_counts(events, equal_windows(events, 1))[0])


def draw_counts(pixel_counts: NDArray[Any]) -> ImageArray:
    """The same by what was counted: OFF before ON, shape (2, H, W) → (H, W, 3)."""
    counts = pixel_counts.astype(np.float64)
    total = counts.sum(axis=0)
    busy = np.quantile(total[total > 0], 1 - FULL_COLOUR_SHARE) if total.any() else 1.0
    strength = np.minimum(np.log1p(total) / np.log1p(busy), 1)[..., None]
    share_on = (counts[1] / np.maximum(total, 1))[..., None]
    colour = share_on * ON_COLOUR + (1 - share_on) * OFF_COLOUR
    return (WHITE - strength * (WHITE - colour)).round().astype(np.uint8)


def enlarged(picture: ImageArray, *, at_least_px: int = LEGIBLE_PX) -> ImageArray:
    """The picture, each pixel repeated as often as its longer side needs to reach a length."""
    factor = -(-at_least_px // max(picture.shape[:2]))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def animation_windows(recording: Recording) -> tuple[WindowArray, list[int] | None]:
    """The windows that an animation shows, and the frame under each.

    With timed frames each picture is a frame and the events since the one before; a recording of
    more than `MOST_PICTURES` frames shows that number of them, evenly chosen. Without frames the
    recording is cut into equal windows of about 40 ms.

    Returns:
        Half-open intervals in µs, shape (T, 2), and T numbers of frames, or None without frames.

    Raises:
        RecordingError: There are neither events nor frames.
    """
    frames, events = recording.frames, recording.events
    if frames is not None and len(frames):
        ends = _frame_times(frames)
        count = min(len(frames), MOST_PICTURES)
        chosen = (np.arange(1, count + 1) * len(frames) // count - 1).astype(np.int64)
        usual = int(np.median(np.diff(ends))) if len(ends) > 1 else USUAL_WINDOW_US
        starts = np.append(int(ends[0]) - usual, ends[:-1])
        return np.stack([starts[chosen], ends[chosen]], axis=1), chosen.tolist()
    if events is None or not len(events):
        raise RecordingError(
            f"{recording.path or 'recording'}: expected events or frames to show, got neither"
        )
    pictures = round((events.last_us + 1 - events.first_us) / USUAL_WINDOW_US)
    return equal_windows(events, min(max(pictures, FEWEST_PICTURES), MOST_PICTURES)), None


def animate(recording: Recording) -> Iterator[ImageArray]:
    """The pictures of an animation: events, frames, or events over frames.

    Yields:
        uint8 RGB, all of one shape.

    Raises:
        RecordingError: There are neither events nor frames.
    """
    windows_us, numbers = animation_windows(recording)
    for row, (start_us, end_us) in enumerate(windows_us.tolist()):
        frame = None
        if recording.frames is not None and numbers is not None:
            frame = recording.frames[numbers[row]]
        if recording.events is None:
            assert frame is not None  # animation_windows refuses a recording of nothing
            yield enlarged(frame)
        elif frame is None:
            yield enlarged(draw_events(recording.events, start_us=start_us, end_us=end_us))
        else:
            drawn = draw_over_frame(recording.events, frame, start_us=start_us, end_us=end_us)
            yield enlarged(drawn)


def save_picture(picture: ImageArray, path: str | Path) -> None:
    """Write a picture; the suffix gives its kind.

    Raises:
        RecordingError: No such kind of picture.
    """
    from PIL import Image

    target = require_suffix(path, PICTURE_SUFFIXES, "picture")
    with writing_file(target) as temporary:
        Image.fromarray(picture).save(temporary)


def save_animation(
    pictures: Iterable[ImageArray],
    path: str | Path,
    *,
    pictures_per_second: float = PICTURES_PER_SECOND,
) -> None:
    """Write pictures of one shape as a GIF or WebP that repeats or an MP4, one after the other.

    Raises:
        RecordingError: No such kind of animation, or there is no picture.
    """
    target = require_suffix(path, ANIMATION_SUFFIXES, "animation")
    remaining = iter(pictures)
    first = next(remaining, None)
    if first is None:
        raise RecordingError(f"{target}: expected at least one picture to show, got none")
    with writing_file(target) as temporary:
        WRITERS[target.suffix.lower()](first, remaining, temporary, pictures_per_second)


def require_kinds(picture: str | Path | None, animation: str | Path | None) -> None:
    """Check the names of what will be drawn, before anything is read.

    Raises:
        RecordingError: No such kind of picture or animation is written.
    """
    if picture is not None:
        require_suffix(picture, PICTURE_SUFFIXES, "picture")
    if animation is not None:
        require_suffix(animation, ANIMATION_SUFFIXES, "animation")


def require_suffix(path: str | Path, suffixes: tuple[str, ...], kind: str) -> Path:
    """The path, after checking that its suffix is one of these.

    Raises:
        RecordingError: It is none of them.
    """
    target = Path(path)
    if target.suffix.lower() not in suffixes:
        raise RecordingError(
            f"{target}: expected a name that ends in {', '.join(suffixes)} for the {kind}, "
            f"got {target.suffix or 'no suffix'!r}"
        )
    return target


def _write_gif(
    first: ImageArray, remaining: Iterator[ImageArray], path: Path, pictures_per_second: float
) -> None:
    from PIL import Image

    Image.fromarray(first).quantize().save(
        path,
        save_all=True,
        append_images=(Image.fromarray(picture).quantize() for picture in remaining),
        duration=round(1000 / pictures_per_second),
        loop=0,
    )


def _write_webp(
    first: ImageArray, remaining: Iterator[ImageArray], path: Path, pictures_per_second: float
) -> None:
    from PIL import Image

    Image.fromarray(first).save(
        path,
        save_all=True,
        append_images=(Image.fromarray(picture) for picture in remaining),
        duration=round(1000 / pictures_per_second),
        loop=0,
        quality=WEBP_QUALITY,
        method=0,
    )


def _write_mp4(
    first: ImageArray, remaining: Iterator[ImageArray], path: Path, pictures_per_second: float
) -> None:
    import av

    with av.open(str(path), "w") as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        rate = Fraction(pictures_per_second).limit_denominator(1000)
        stream: Any = container.add_stream(codec, rate=rate)
        # Half the rows and columns carry the colour, so that their number must be even.
        stream.height, stream.width = (size + size % 2 for size in first.shape[:2])
        stream.pix_fmt = "yuv420p"
        for picture in chain([first], remaining):
            odd = [(0, size % 2) for size in picture.shape[:2]]
            even = np.pad(picture, [*odd, (0, 0)], mode="edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())


WRITERS = {".gif": _write_gif, ".webp": _write_webp, ".mp4": _write_mp4}


def _frame_times(frames: FrameSequence) -> NDArray[np.int64]:
    if frames.end_us is not None:
        return frames.end_us
    return USUAL_WINDOW_US * np.arange(1, len(frames) + 1, dtype=np.int64)


def _scaled(frame: ImageArray, *, width: int, height: int) -> ImageArray:
    from PIL import Image

    if frame.shape[:2] == (height, width):
        return frame
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))


def _last_axis(images: NDArray[np.uint8]) -> ImageArray:
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))
