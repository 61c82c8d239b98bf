"""The relevance of patches as pictures: over frames and event images, moment by moment."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from evlora.clips import Clip
from evlora.escaping import in_figure
from evlora.figures import new_figure, save_figure
from evlora.files import writing_file
from evlora.report.relevance import METHODS, Method, Relevance
from evlora.report.tiles import Picture, in_a_row, tiles

NAMES: dict[Method, str] = {"rollout": "attention rollout", "gradient": "weighted by gradients"}
ROWS: tuple[Method | None, ...] = (None, *METHODS)
"""The clip as it is, and each way of measuring."""
COLOURS = "inferno"
GREY = 0.4
"""Share of the picture below that is seen where a patch has no relevance."""
MS_PER_MOMENT = 400
"""How long an animation shows each moment."""


def relevance_moments(clip: Clip, found: Relevance) -> list[Picture]:
    """A picture of each moment: the views side by side, a row for each way of measuring.

    The first row is the clip as it is. The difference has no picture of its own and is shown over
    the event image.

    Args:
        clip: What the relevance was measured on.
        found: See `relevance`.

    Returns:
        T pictures of shape (H, W, 3) that are equally large.
    """
    rows = [_tiles(clip, found, method) for method in ROWS]
    count = max(len(of_view) for row in rows for of_view in row.values())
    return [
        np.concatenate(
            [in_a_row([_at(of_view, moment, count) for of_view in row.values()]) for row in rows]
        )
        for moment in range(count)
    ]


def draw_relevance(clip: Clip, found: Relevance, path: Path) -> None:
    """The relevance in every moment of a clip as a PNG: a row for each view and way of measuring.

    Args:
        clip: What the relevance was measured on.
        found: See `relevance`.
        path: The PNG to write.
    """
    views = list(found.by_method[METHODS[0]])
    rows: list[tuple[str, Method | None]] = [(view, how) for view in views for how in ROWS]
    drawn = {method: _tiles(clip, found, method) for method in ROWS}
    count = max(len(of_view) for of_view in drawn[None].values())
    figure = new_figure((1.3 * count + 2.2, 1.3 * len(rows) + 0.6))
    axes = figure.add_subplot()
    lines = [
        in_a_row([_at(drawn[method][view], moment, count) for moment in range(count)])
        for view, method in rows
    ]
    height = len(lines[0])
    names = [view if method is None else f"{view}\n{NAMES[method]}" for view, method in rows]
    axes.imshow(np.concatenate(lines))
    axes.set_xticks([])
    axes.set_yticks([height * (place + 0.5) for place in range(len(rows))], names, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.suptitle(
        f"relevance for {in_figure(found.label, 28)}\nbright: much, dark: little", fontsize=9
    )
    save_figure(figure, path)


def animate_relevance(clip: Clip, found: Relevance, path: Path) -> None:
    """The same as an animation over the clip.

    Args:
        clip: What the relevance was measured on.
        found: See `relevance`.
        path: The file to write, .gif, .png (animated) or .webp.
    """
    first, *others = map(Image.fromarray, relevance_moments(clip, found))
    with writing_file(path) as temporary:
        first.save(temporary, save_all=True, append_images=others, duration=MS_PER_MOMENT, loop=0)


def overlays(
    found: Relevance, size_px: tuple[int, int], *, method: Method = "gradient"
) -> dict[str, NDArray[np.uint8]]:
    """What one lays over the images of a clip to see the relevance, by view.

    Args:
        found: See `relevance`.
        size_px: Height and width of the images.
        method: The way of measuring.

    Returns:
        RGBA of shape (T, H, W, 4) each, the more opaque the more relevant.
    """
    by_view: dict[str, NDArray[np.uint8]] = {}
    for name, values in found.by_method[method].items():
        strengths = _scaled(values, size_px)
        colours: Any = np.array(colormaps[COLOURS](strengths))
        colours[..., 3] = (1 - GREY) * strengths
        by_view[name] = (255 * colours).astype(np.uint8)
    return by_view


def _tiles(clip: Clip, found: Relevance, method: Method | None) -> dict[str, list[Picture]]:
    """The pictures of each view, with the relevance over them where a way of measuring is named."""
    pictures = {"rgb": clip.rgb, "event": clip.events}
    pictures["difference"] = clip.rgb if clip.events is None else clip.events
    by_view: dict[str, list[Picture]] = {}
    for name, its in found.by_method[METHODS[0]].items():
        images = pictures[name]
        assert images is not None  # a view is of a modality that the clip has
        below = tiles(images[len(images) - len(its) :])
        if method is not None:
            strengths = _scaled(found.by_method[method][name], below[0].shape[:2])
            below = [_over(*pair) for pair in zip(below, strengths, strict=True)]
        by_view[name] = below
    return by_view


def _scaled(values: Tensor, size: Sequence[int]) -> NDArray[np.float32]:
    """Relevance from 0 to 1 over the moments of a view, in the size of a picture."""
    low, high = values.min(), values.max()
    spread = (values - low) / (high - low) if high > low else values * 0
    height, width = size
    return interpolate(spread[:, None], (height, width), mode="nearest")[:, 0].numpy()


def _over(picture: Picture, strength: NDArray[np.float32]) -> Picture:
    """A picture in grey under the colours of its relevance."""
    grey = picture.mean(axis=2, keepdims=True) / 255
    colours: Any = colormaps[COLOURS](strength)[..., :3]
    return (255 * (GREY * grey + (1 - GREY) * colours)).astype(np.uint8)


def _at(pictures: list[Picture], moment: int, count: int) -> Picture:
    """The picture of a moment; a difference has one less, and none at the first moment."""
    place = moment - (count - len(pictures))
    return pictures[place] if place >= 0 else np.full_like(pictures[0], 128)
