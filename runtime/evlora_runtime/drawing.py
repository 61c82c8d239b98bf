"""A recording's clips as arrays: evlora's moments and boxes, resized by Pillow."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evlora.clips.geometry import Geometry, place_evenly
from evlora.clips.images import NO_FRAME, Inputs, MomentImages, without_events
from evlora.clips.sampling import Choice, Moments, choose_moments
from evlora.recordings import Recording
from evlora_runtime.model import Clips

Images = NDArray[np.uint8]


def clips_of(recording: Recording, clips: Clips) -> list[Images]:
    """The test views of a recording, uint8, shape (V, T, 3, H, W) for each modality in order.

    Raises:
        DatasetError: A modality is missing, or the window needs exposure times.
        RecordingError: A frame cannot be read, or there is nothing in the recording.
    """
    if clips.filters:
        from evlora.recordings.filters.table import filtered  # which few files need

        recording = filtered(recording, clips.filters)
    inputs = Inputs.of(recording, clips)
    views: list[list[Images]] = []
    for segment in range(clips.segments):
        moments = choose_moments(
            recording,
            clips.frames,
            sampling=clips.sampling,
            stride=clips.stride,
            window=clips.window,
            choice=Choice(segment, of=clips.segments),
        )
        for crop in range(clips.crops):
            box = place_evenly(
                *inputs.size_px,
                size=clips.size_px,
                fit=clips.fit,
                choice=Choice(crop, of=clips.crops),
            )
            views.append(drawn(inputs, moments, box, clips))
    return [np.stack(parts) for parts in zip(*views, strict=True)]


def drawn(inputs: Inputs, moments: Moments, box: Geometry, clips: Clips) -> list[Images]:
    """The images of these moments through a box, shape (T, 3, H, W) for each modality in order."""
    sources = {"rgb": inputs.frames, "event": inputs.events}
    colours = {"rgb": NO_FRAME, "event": list(without_events(clips.representation))}
    shown: list[Images] = []
    for name in clips.modalities:
        source, colour = sources[name], [int(value) for value in colours[name]]
        if source is None or name == clips.without:
            pixel = np.array(colour, np.uint8).reshape(1, 3, 1, 1)
            shown.append(np.broadcast_to(pixel, (len(moments.windows_us), 3, *box.size)).copy())
            continue
        images = MomentImages(source, moments, representation=clips.representation)
        (distinct,) = images.batches()
        if name == "rgb" and clips.exposure < 1:
            distinct = np.round(distinct * np.float32(clips.exposure)).astype(np.uint8)
        shown.append(_through(box, distinct, colour)[images.numbers])
    return shown


def _through(box: Geometry, images: Images, colour: Sequence[int]) -> Images:
    """Images of shape (n, H, W, 3) resized to the canvas and cut or filled up to the box."""
    height, width = box.canvas
    above, left = max(0, -box.top), max(0, -box.left)
    top, first = max(0, box.top), max(0, box.left)
    out = np.empty((len(images), *box.size, 3), np.uint8)
    out[:] = colour
    for place, image in zip(out, images, strict=True):
        resized = np.asarray(
            Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        )
        seen = resized[top : top + box.size[0], first : first + box.size[1]]
        place[above : above + seen.shape[0], left : left + seen.shape[1]] = seen
    return np.ascontiguousarray(out.transpose(0, 3, 1, 2))
