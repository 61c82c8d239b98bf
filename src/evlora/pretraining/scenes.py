"""What is seen of a figure: a picture, or the event image of its motion, and what it teaches.

Everything is a function of a seed and a number, so that a run can be stopped anywhere and
resumed, and made again from nothing.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from evlora.pretraining.figures import (
    Drawing,
    Figure,
    Pose,
    draw_figure,
    draw_pose,
    glyph_of,
)

EVENT_SHARE = 0.4
"""Share of the views that are event images."""
COARSE_SHARE, COARSENESS = 0.3, (0.4, 0.8)
"""Share of the views that are seen in fewer pixels, and how many of them along an axis."""
BLURRED_SHARE, DIM_SHARE = 0.25, 0.4
"""Shares of the pictures that are blurred by motion, and dim."""
DRIFTING_SHARE = 0.3
"""Share of the scenes in which what is behind moves."""
ON, OFF, NOTHING = (220, 30, 30), (30, 30, 200), (255, 255, 255)
"""The colours of event images, those of `evlora.recordings.representations`."""
LEAST_CONTRAST = 0.2
"""The least by which a figure differs from the mean of what is behind it, of the full range."""
FASTEST_SHARE = 0.11
"""The furthest that a figure moves within a window of events, as a share of the picture."""
FACTS = ("column", "row", "size", "rotation", "shift_x", "shift_y", "red", "green", "blue",
         "behind_red", "behind_green", "behind_blue")  # fmt: skip
"""What the facts of a view are, about ±1 each."""

Picture = NDArray[np.float32]

RGB: Picture = np.eye(3, dtype=np.float32)
GREY: Picture = np.array([[0.3], [0.59], [0.11]], np.float32)
"""How an image sees colours, shape (3, C): a sensor of events sees brightness alone."""


class Views(NamedTuple):
    """Views of one figure, V of them, and what is to be learned from them."""

    images: NDArray[np.uint8]
    """Shape (V, H, W, 3)."""
    glyph: NDArray[np.uint8]
    """The figure upright and clean, shape (GLYPH_PX, GLYPH_PX), 0…255."""
    masks: NDArray[np.uint8]
    """Where the figure is in each view, shape (V, H, W), 0…255."""
    facts: Picture
    """Shape (V, len(FACTS)); not a number where a view does not tell."""


def make_views(seed: int, number: int, *, size_px: int, views: int = 2) -> Views:
    """The views of the figure with this number."""
    generator = np.random.default_rng([seed, number])
    figure = draw_figure(generator)
    images = np.empty((views, size_px, size_px, 3), np.uint8)
    masks = np.empty((views, size_px, size_px), np.uint8)
    facts = np.full((views, len(FACTS)), np.nan, np.float32)
    for view in range(views):
        images[view], masks[view], facts[view] = _view(figure, size_px, generator)
    glyph = (255 * glyph_of(figure)).astype(np.uint8)
    return Views(images, glyph, masks, facts)


def _view(
    figure: Figure, size: int, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Picture]:
    """An image, the figure's mask in it, and its facts."""
    is_event_image = generator.random() < EVENT_SHARE
    seen_px = size
    if generator.random() < COARSE_SHARE:
        seen_px = round(size * generator.uniform(*COARSENESS))
    scene, pose, motion = _stage(figure, seen_px, is_event_image, generator)
    facts = np.full(len(FACTS), np.nan, np.float32)
    facts[:4] = (
        4 * (pose.centre[0] - 0.5),
        4 * (pose.centre[1] - 0.5),
        2 * np.log(pose.scale / 0.28),
        3 * pose.rotation,
    )
    if is_event_image:
        contrast = 1 if scene.paint.mean() > scene.behind.mean() else -1
        facts[4:6] = contrast * motion / (0.6 * FASTEST_SHARE)
        image, resampling = _event_image(scene, generator), Image.Resampling.NEAREST
    else:
        facts[6:9] = 3 * (scene.paint.reshape(-1, 3).mean(axis=0) - 0.5)
        facts[9:] = 3 * (scene.behind.reshape(-1, 3).mean(axis=0) - 0.5)
        image, resampling = _photograph(scene, generator), Image.Resampling.BILINEAR
    mask = (255 * scene.drawing.mask()).astype(np.uint8)
    if seen_px != size:
        image = np.asarray(Image.fromarray(image).resize((size, size), resampling))
        smooth = Image.Resampling.BILINEAR
        mask = np.asarray(Image.fromarray(mask).resize((size, size), smooth))
    return image, mask, facts


class Scene(NamedTuple):
    """A figure that moves in front of something that may move as well."""

    drawing: Drawing
    paint: Picture
    """The figure's surface, shape (H, W, 3), in [0, 1]."""
    behind: Picture
    """What is behind it, larger by a margin on all sides."""
    motion_px: NDArray[np.float64]
    """Columns and rows that the figure moves by in the time of a window."""
    drift_px: NDArray[np.float64]
    """The same of what is behind."""

    def at(self, moment: float, weights: Picture) -> Picture:
        """The scene at a moment, in windows, as `weights` see its colours, shape (H, W, C)."""
        right, down = (moment * self.motion_px).tolist()
        cover = self.drawing.mask((right, down))[..., None]
        size = len(cover)
        margin = (len(self.behind) - size) // 2
        left, top = (margin - round(step) for step in (moment * self.drift_px).tolist())
        behind = self.behind[top : top + size, left : left + size] @ weights
        return np.asarray(behind + cover * (self.paint @ weights - behind), np.float32)


def _stage(
    figure: Figure, size: int, is_event_image: bool, generator: np.random.Generator
) -> tuple[Scene, Pose, NDArray[np.float64]]:
    """A scene, its figure's pose, and the figure's motion as a share of the picture."""
    pose = draw_pose(generator)
    margin = int(np.ceil(FASTEST_SHARE * size)) + 1
    drawing = Drawing(figure, pose, size_px=size, margin_px=margin)
    behind = _behind(size + 2 * margin, generator)
    paint = _paint(size, behind, generator, weights=GREY if is_event_image else RGB)
    angle = generator.uniform(0, 2 * np.pi)
    length = FASTEST_SHARE * np.sqrt(generator.uniform(0.02, 1))
    motion = length * np.array([np.cos(angle), np.sin(angle)])
    drift = np.zeros(2)
    if generator.random() < DRIFTING_SHARE:
        drift = FASTEST_SHARE * generator.uniform(-0.6, 0.6, 2)
    return Scene(drawing, paint, behind, size * motion, size * drift), pose, motion


def _event_image(scene: Scene, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Where brightness rose and fell in the window that ends now, shape (H, W, 3)."""
    moments = np.linspace(-1, 0, int(generator.integers(2, 5))).tolist()
    logs = [np.log(0.02 + scene.at(moment, GREY)[..., 0]) for moment in moments]
    threshold = generator.uniform(0.15, 0.5)
    rises = np.zeros(logs[0].shape, bool)
    falls = rises.copy()
    for before, after in pairwise(logs):
        change = after - before
        rises |= change > threshold
        falls |= change < -threshold
    luck = generator.random(rises.shape, np.float32)
    kept = generator.uniform(0.5, 1)
    noise = 0.04 * generator.random() ** 2
    image = np.empty((*rises.shape, 3), np.uint8)
    image[:] = NOTHING
    image[(rises & (luck < kept)) | (luck > 1 - noise)] = ON
    image[(falls & (luck > 1 - kept)) | (luck < noise)] = OFF
    return image


def _photograph(scene: Scene, generator: np.random.Generator) -> NDArray[np.uint8]:
    """The scene as a poor camera gives it: blurred, dim, noisy, shape (H, W, 3)."""
    picture = scene.at(0, RGB)
    if generator.random() < BLURRED_SHARE:
        for moment in (-0.5, -0.25, 0.25):
            picture = picture + scene.at(moment, RGB)
        picture = picture * np.float32(0.25)
    if generator.random() < DIM_SHARE:
        dimmest = 0.06 if generator.random() < 0.2 else 0.4
        picture = picture * np.float32(generator.uniform(dimmest, 1.1))
    if generator.random() < 0.5:
        noise = np.float32(generator.uniform(0, 0.08))
        picture = picture + noise * generator.standard_normal(picture.shape, np.float32)
    return (255 * np.clip(picture, 0, 1)).astype(np.uint8)


def _behind(size: int, generator: np.random.Generator) -> Picture:
    """What is behind the figure: plain, cloudy or cluttered, shape (size, size, 3), in [0, 1]."""
    base = _colour(generator)
    kind = generator.random()
    if kind < 0.25:
        canvas = Image.new("RGB", (size, size), tuple((255 * base).astype(int).tolist()))
    else:
        octaves = [int(n) for n in np.array([2, 5, 14, 40]) * generator.uniform(0.8, 1.5)]
        weights = generator.dirichlet((1, 1, 1, 1))
        strength = generator.uniform(0.1, 1.3)
        pattern = np.zeros((size, size, 3), np.float32)
        for cells, weight in zip(octaves, weights, strict=True):
            if weight > 0.05:
                pattern += np.float32(weight) * _cloud(cells, size, generator)
        picture = np.clip(base + np.float32(strength) * pattern, 0, 1)
        canvas = Image.fromarray((255 * picture).astype(np.uint8))
    if generator.random() < 0.5:
        _clutter(canvas, generator)
    return np.asarray(canvas, np.float32) * np.float32(1 / 255)


def _cloud(cells: int, size: int, generator: np.random.Generator) -> Picture:
    """Smooth noise about 0, grey or coloured, shape (size, size, 3)."""
    grid = generator.integers(0, 256, (cells, cells, 3), np.uint8)
    if generator.random() < 0.5:
        grid[:] = grid[..., :1]
    cloud = Image.fromarray(grid).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(cloud, np.float32) * np.float32(1 / 128) - np.float32(1)


def _clutter(canvas: Image.Image, generator: np.random.Generator) -> None:
    """Small lines, discs and polygons, painted onto the canvas."""
    pen = ImageDraw.Draw(canvas)
    size = canvas.width
    for _ in range(generator.integers(1, 6)):
        colour = tuple((255 * _colour(generator)).astype(int).tolist())
        centre = generator.uniform(0, size, 2)
        reach = size * generator.uniform(0.04, 0.25)
        corners = centre + generator.uniform(-reach, reach, (int(generator.integers(2, 5)), 2))
        kind = generator.random()
        if kind < 0.4 or len(corners) < 3:
            width = int(generator.integers(1, 5))
            pen.line(corners.ravel().tolist(), fill=colour, width=width)
        elif kind < 0.7:
            pen.polygon(corners.ravel().tolist(), fill=colour)
        else:
            box = [*(centre - reach / 2).tolist(), *(centre + reach / 2).tolist()]
            pen.ellipse(box, fill=colour)


def _paint(
    size: int, behind: Picture, generator: np.random.Generator, *, weights: Picture
) -> Picture:
    """The figure's surface: plain, shaded or patterned, shape (size, size, 3), in [0, 1].

    As the image sees colours, it differs from what is behind.
    """
    around = behind[::8, ::8].reshape(-1, 3).mean(axis=0)
    colour = _colour(generator)
    while np.abs((colour - around) @ weights).max() < LEAST_CONTRAST:
        colour = _colour(generator)
    surface = np.empty((size, size, 3), np.float32)
    surface[:] = colour
    kind = generator.random()
    if kind < 0.5:
        return surface
    cells = 2 if kind < 0.75 else int(generator.integers(4, 20))
    surface += np.float32(generator.uniform(0.1, 0.5)) * _cloud(cells, size, generator)
    return surface.clip(0, 1)


def _colour(generator: np.random.Generator) -> Picture:
    """A colour, or as often a grey, shape (3,), in [0, 1]."""
    colour = generator.random(3, np.float32)
    if generator.random() < 0.5:
        colour[:] = colour[0]
    return colour
