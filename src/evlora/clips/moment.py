"""One moment as a clip shows it, for whoever gets frames and events as they come."""

from pathlib import Path

import numpy as np
from torch import Tensor

from evlora.clips.config import ClipConfig
from evlora.clips.drawing import draw
from evlora.clips.images import Inputs
from evlora.clips.sampling import Moments
from evlora.clips.transforms import place
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.recordings.filters.table import FilterChain
from evlora.recordings.frames import ImageArray


def draw_moment(
    config: ClipConfig,
    *,
    frame: ImageArray | None = None,
    events: EventStream | ImageArray | None = None,
    window_us: tuple[int, int] | None = None,
    filters: FilterChain | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """The images of one moment, as a clip of a test has them: nothing is drawn at random.

    Args:
        config: How clips are made.
        frame: As the camera saw it, uint8 RGB of shape (H, W, 3), or grey of shape (H, W).
        events: Those of the moment's window, or their event image drawn before, like a frame.
        window_us: Start and end of the window, half-open; by default from the first event to the
            last one. An event image shows the events in it; voxels and time surfaces also depend
            on its length.
        filters: Those of `config`, after the moments before this one; None begins them anew.

    Returns:
        The frame and the event image, uint8 of shape (3, *config.size_px) each; None for what
        `config.modalities` does not name, blank for what is hidden or may be missing.

    Raises:
        DatasetError: A modality is missing, and the recognizer was not trained to do without.
        RecordingError: An array is no image.
    """
    stream = events if isinstance(events, EventStream) else None
    if window_us is None:
        window_us = (stream.first_us, stream.last_us + 1) if stream else (0, 0)
    drawn_before = None if isinstance(events, EventStream) else _single(events)
    recording = Recording(
        stream, _single(frame), "live", path=Path("moment"), event_images=drawn_before
    )
    inputs = Inputs.of((filters or FilterChain(config.filters)).push(recording), config)
    box = place(
        *inputs.size_px, size=config.size_px, fit=config.fit, augmentation=config.augmentation
    )
    moments = Moments(np.zeros(1, np.int64), np.array([window_us], np.int64))
    ((rgb, event_image),) = draw(inputs, moments, [box], config, hidden=config.without)
    return (
        None if rgb is None else rgb[0],
        None if event_image is None else event_image[0],
    )


def _single(image: ImageArray | None) -> FrameSequence | None:
    return None if image is None else FrameSequence.from_images(image[None])
