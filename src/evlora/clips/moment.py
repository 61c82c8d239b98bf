"""One moment as a clip shows it, for whoever gets frames and events as they come."""

import numpy as np
import torch
from torch import Tensor

from evlora.clips.config import NO_FRAME, ClipConfig, Modality
from evlora.clips.drawing import blank, without_events
from evlora.clips.transforms import expose, place, to_tensor
from evlora.errors import DatasetError
from evlora.recordings import EventStream, FrameSequence
from evlora.recordings.frames import ImageArray
from evlora.recordings.representations import as_rgb_images


def picture_moment(
    config: ClipConfig,
    *,
    frame: ImageArray | None = None,
    events: EventStream | ImageArray | None = None,
    window_us: tuple[int, int] | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """The pictures of one moment, as a clip of a test has them: nothing is drawn at random.

    Args:
        config: How clips are made.
        frame: As the camera saw it, uint8 RGB of shape (H, W, 3), or grey of shape (H, W).
        events: Those of the moment's window, or a picture of them drawn before, like a frame.
        window_us: Start and end of the window, half-open; by default from the first event to the
            last one. An event image shows the events in it; voxels and time surfaces also depend
            on its length.

    Returns:
        The frame and the picture of events, uint8 of shape (3, *config.size_px) each; None for
        what `config.modalities` does not name, blank for what is hidden or may be missing.

    Raises:
        DatasetError: What it names is missing, and the recognizer was not trained to do without.
        RecordingError: An array is no picture.
    """
    given: dict[Modality, ImageArray | EventStream | None] = {"rgb": frame, "event": events}
    missing = [name for name in config.modalities if given[name] is None]
    is_anything_shown = set(config.modalities) - {*missing, config.without}
    may_lack = config.without is not None or config.augmentation.modality_dropout > 0
    if missing and not (may_lack and is_anything_shown):
        raise DatasetError(
            f"moment: expected {' and '.join(config.modalities)}, got no "
            f"{' and no '.join(missing)}; give what the recognizer was trained on"
        )
    seen = None
    if frame is not None and "rgb" in config.modalities:
        seen = expose(_picture(frame), config.exposure)
    drawn = (
        None
        if events is None or "event" not in config.modalities
        else _drawn(events, config.representation, window_us)
    )
    of_camera = seen if seen is not None else drawn
    assert of_camera is not None  # one of them is there
    box = place(
        of_camera.shape[-2],
        of_camera.shape[-1],
        size=config.size_px,
        fit=config.fit,
        augmentation=config.augmentation,
    )

    def shown(image: Tensor | None, modality: Modality, nothing: list[float]) -> Tensor | None:
        if image is not None and modality != config.without:
            return box.apply(image, fill=nothing)[0]
        blank_images = blank(config, modality)
        return None if blank_images is None else blank_images[0]

    return (
        shown(seen, "rgb", NO_FRAME),
        shown(drawn, "event", list(without_events(config.representation))),
    )


def _picture(image: ImageArray) -> Tensor:
    return to_tensor(FrameSequence.from_images(image[None]).take([0]))


def _drawn(
    events: EventStream | ImageArray, representation: str, window_us: tuple[int, int] | None
) -> Tensor:
    if not isinstance(events, EventStream):
        return _picture(events)
    if window_us is None:
        window_us = (events.first_us, events.last_us + 1) if len(events) else (0, 0)
    windows_us = np.array([window_us], np.int64)
    return torch.from_numpy(as_rgb_images(events, windows_us, representation=representation))
