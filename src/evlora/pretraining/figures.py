"""Figures made by formulas: strokes, radial contours and polygons, each drawn by lot.

Formula-driven supervision (FractalDB, Kataoka et al. 2020; radial contours, Kataoka et al. 2022)
in the form that handwriting and events ask for: a figure is a few lines in the plane, and what is
seen of it is a distorted, moved and painted drawing. No picture of anything real is involved.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SUPERSAMPLING = 2
"""Pixels drawn for each pixel of a mask, along either axis."""
GLYPH_PX = 16
"""Rows and columns of a glyph."""
GLYPH_STROKE = 0.09
"""Width of a glyph's lines, as a share of its size."""
CURVE_STEPS = 5
"""Straight pieces between two of a stroke's points."""

Points = NDArray[np.float64]
Mask = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Figure:
    """Lines of points (x, y) whose bounding box is centred on 0 and reaches ±1 the longer way."""

    lines: tuple[Points, ...]
    is_filled: bool


@dataclass(frozen=True, slots=True)
class Pose:
    """Where and how a figure stands in a picture."""

    centre: tuple[float, float]
    """Column and row, as a share of the picture."""
    scale: float
    """Half the figure's longer side, as a share of the picture."""
    rotation: float
    """In radians."""
    shear: float
    """Columns that a row is moved by, for each row."""
    aspect: float
    """Height by width."""
    bend: tuple[float, float, float]
    """Height, frequency and phase of the wave that bends its lines."""
    stroke: float
    """Width of its lines, as a share of the picture."""


def draw_figure(generator: np.random.Generator) -> Figure:
    """A figure by lot."""
    kind = generator.random()
    if kind < 0.55:
        lines, filled_share = _strokes(generator), 0.1
    elif kind < 0.75:
        lines, filled_share = _contour(generator), 0.5
    else:
        lines, filled_share = _polygons(generator), 0.6
    low = np.min([line.min(axis=0) for line in lines], axis=0)
    high = np.max([line.max(axis=0) for line in lines], axis=0)
    half = max(float((high - low).max()) / 2, 1e-3)
    centred = tuple((line - (low + high) / 2) / half for line in lines)
    return Figure(centred, bool(generator.random() < filled_share))


def draw_pose(generator: np.random.Generator) -> Pose:
    """A pose by lot, in which most of the figure is within the picture."""
    scale = generator.uniform(0.17, 0.46)
    room = 0.5 - 0.8 * scale
    return Pose(
        centre=(0.5 + room * generator.uniform(-1, 1), 0.5 + room * generator.uniform(-1, 1)),
        scale=scale,
        rotation=0.2 * generator.standard_normal(),
        shear=0.15 * generator.standard_normal(),
        aspect=generator.uniform(0.75, 1.3),
        bend=(
            0.08 * generator.standard_normal(),
            generator.uniform(1, 3),
            generator.uniform(0, 6.3),
        ),
        stroke=generator.uniform(0.025, 0.09),
    )


def glyph_of(figure: Figure) -> Mask:
    """The figure upright and clean, shape (GLYPH_PX, GLYPH_PX), in [0, 1]."""
    size = GLYPH_PX * SUPERSAMPLING
    lines = [0.43 * size * line + size / 2 for line in figure.lines]
    canvas = _painted(lines, size, width=GLYPH_STROKE * size, is_filled=figure.is_filled)
    return np.asarray(canvas.reduce(SUPERSAMPLING), np.float32) * np.float32(1 / 255)


class Drawing:
    """A figure in a pose, drawn once, that can be seen from shifted places."""

    def __init__(self, figure: Figure, pose: Pose, *, size_px: int, margin_px: int) -> None:
        """Draw it.

        Args:
            figure: What is drawn.
            pose: How.
            size_px: Rows and columns of its masks.
            margin_px: The furthest that a mask may be shifted.
        """
        self._size, self._margin = size_px, margin_px
        unit = size_px * SUPERSAMPLING
        cos, sin = np.cos(pose.rotation), np.sin(pose.rotation)
        turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag([1, pose.aspect])
        turn = np.array([[1, pose.shear], [0, 1]]) @ turn * (pose.scale * unit)
        corner = np.array(pose.centre) * unit + margin_px * SUPERSAMPLING
        height, frequency, phase = pose.bend
        bent = [line + height * np.sin(frequency * line[:, ::-1] + phase) for line in figure.lines]
        self._canvas = _painted(
            [line @ turn.T + corner for line in bent],
            unit + 2 * margin_px * SUPERSAMPLING,
            width=pose.stroke * unit,
            is_filled=figure.is_filled,
        )

    def mask(self, shift: tuple[float, float] = (0.0, 0.0)) -> Mask:
        """How much of each pixel it covers when it is moved by (columns, rows), shape (H, W)."""
        left, top = (round((self._margin - step) * SUPERSAMPLING) for step in shift)
        side = self._size * SUPERSAMPLING
        seen = self._canvas.crop((left, top, left + side, top + side)).reduce(SUPERSAMPLING)
        return np.asarray(seen, np.float32) * np.float32(1 / 255)


def _painted(lines: list[Points], size: int, *, width: float, is_filled: bool) -> Image.Image:
    canvas = Image.new("L", (size, size))
    pen = ImageDraw.Draw(canvas)
    for line in lines:
        points = line.ravel().tolist()
        if is_filled and len(line) > 2:
            pen.polygon(points, fill=255)
        pen.line(points, fill=255, width=max(1, round(width)), joint="curve")
    return canvas


def _strokes(generator: np.random.Generator) -> list[Points]:
    """One to four curves, some of which begin where another one passes, or close."""
    lines: list[Points] = []
    for _ in range(generator.integers(1, 5)):
        points = generator.uniform(-1, 1, (generator.integers(2, 6), 2))
        if lines and generator.random() < 0.6:
            other = lines[generator.integers(len(lines))]
            points[0] = other[generator.integers(len(other))]
        if len(points) > 3 and generator.random() < 0.3:
            points[-1] = points[0]
        lines.append(points if generator.random() < 0.25 else _curve(points))
    return lines


def _curve(points: Points) -> Points:
    """A Catmull-Rom spline through the points."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    before, start, stop, after = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, CURVE_STEPS, endpoint=False)[:, None]
    pieces = 0.5 * (
        2 * start
        + (stop - before) * t
        + (2 * before - 5 * start + 4 * stop - after) * t**2
        + (3 * start - before - 3 * stop + after) * t**3
    )
    return np.concatenate([pieces.reshape(-1, 2), points[-1:]])


def _contour(generator: np.random.Generator) -> list[Points]:
    """One to three rings whose radius is a sum of waves of the angle."""
    waves = generator.integers(1, 6)
    frequencies = generator.choice(np.arange(1, 9), waves, replace=False)
    heights = generator.normal(0, 0.4, waves) / np.sqrt(frequencies)
    phases = generator.uniform(0, 2 * np.pi, waves)
    angles = np.linspace(0, 2 * np.pi, 41)
    radius = 1 + heights @ np.cos(frequencies[:, None] * angles + phases[:, None])
    ring = np.clip(radius, 0.15, 2)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rings = generator.integers(1, 4)
    return [ring * (1 - number / rings) for number in range(rings)]


def _polygons(generator: np.random.Generator) -> list[Points]:
    """One to three polygons or stars."""
    lines: list[Points] = []
    for _ in range(generator.integers(1, 4)):
        corners = generator.integers(3, 8)
        angles = generator.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, corners + 1)
        radius = generator.uniform(0.25, 0.7) * generator.uniform(0.5, 1, corners)
        ring = np.append(radius, radius[0])[:, None]
        ring = ring * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        lines.append(generator.uniform(-0.6, 0.6, 2) + ring)
    return lines
