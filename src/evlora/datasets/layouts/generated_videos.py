"""Motions on video: short mp4 files whose class no single frame can tell.

A white digit (handwritten, scikit-learn's bundled 8×8 set) moves left, right, up or down, grows or
shrinks before faint clouds, while black ones jump about. Three properties are built in, and tested:

- A frame shows where the white digit is and how large it is. In each class one of row, column and
  scale runs through its range, and the others stay at a place drawn from the same range: a frame of
  unknown moment is equally likely in every class.
- Opposite classes show the same frames in opposite orders. Whoever looks at the frames without
  their order is right in half of the videos at most, whatever the network.
- Each frame is compressed separately, so that traces of the codec do not show the order either.

All else is new in every frame, the shape of the digits too, so that little of a video can be
learned by heart. No handwritten digit appears in two splits.
"""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from evlora.config import Config
from evlora.datasets.layouts.generated import digit_pools
from evlora.datasets.layouts.table import RECORDINGS_FOLDER, Progress
from evlora.datasets.manifest import SPLITS, Manifest, Sample

MOTIONS: Mapping[str, tuple[str, int]] = {
    "left": ("column", -1),
    "right": ("column", 1),
    "up": ("row", -1),
    "down": ("row", 1),
    "shrink": ("scale", -1),
    "grow": ("scale", 1),
}
"""Name of each motion, with what of the digit changes, and whether it falls or rises."""
RANGES: Mapping[str, float] = {"row": 0.4, "column": 0.4, "scale": 0.9}
"""How far each of them goes: shares of the picture, a logarithm."""
SCATTER_SHARE = 0.08
"""How far off the centre the middle of the paths may lie, either way, as a share of the picture."""
GLYPH_SHARE = 0.34
"""Height of a digit of middle size, as a share of the picture's."""
CONTRAST_SPREAD = (0.7, 1.3)
"""Lowest and highest contrast of a digit, as a share of the one that was asked for."""
CLOUDS = ((5, 0.6), (16, 0.4))
"""Grid and weight of each layer of the background."""
FRAME_NOISE = 0.02
"""Standard deviation of the noise of frames, of the full range."""
RATE_HZ = 25
QUANTISER = 2
"""How coarse the codec is, from 1 to 31."""

Floats = NDArray[np.floating[Any]]


class Options(Config):
    """How many videos of motions, and of which size."""

    train: PositiveInt = 240
    """Videos to train with."""
    val: NonNegativeInt = 80
    """Videos to choose the best epoch with."""
    test: NonNegativeInt = 160
    """Videos to measure with."""
    size_px: int = Field(default=64, ge=32, le=256, multiple_of=16)
    """Rows and columns."""
    frames: int = Field(default=16, ge=2, le=256)
    """Frames in a video."""
    contrast: float = Field(default=0.5, gt=0, le=1)
    """Share by which a digit covers what is behind it, on average."""
    clutter: float = Field(default=0.2, ge=0, le=1)
    """How far the darkest clouds are from the lightest."""
    distractors: int = Field(default=1, ge=0, le=8)
    """Black digits, which lie somewhere else in every frame."""
    seed: NonNegativeInt = 0
    """Of everything random."""


def collect(
    source: Path | None, folder: Path, options: Options, progress: Progress | None
) -> Manifest:
    """Make the videos in `folder` and return their manifest."""
    del source  # there is none
    pools = digit_pools(options.seed)
    wanted = {"train": options.train, "val": options.val, "test": options.test}
    labels = tuple(MOTIONS)
    total, samples = sum(wanted.values()), list[Sample]()
    for split_number, split in enumerate(SPLITS):
        where = Path(RECORDINGS_FOLDER) / split
        (folder / where).mkdir(parents=True)
        glyphs = np.concatenate(list(pools[split].values()))
        order = np.random.default_rng([options.seed, split_number]).permutation(wanted[split])
        for number, place in enumerate(order):
            label = labels[place % len(labels)]
            path = where / f"{number:05d}.mp4"
            generator = np.random.default_rng([options.seed, split_number, number])
            write_video(folder / path, make_frames(label, glyphs, options, generator))
            samples.append(Sample(f"{split}/{number:05d}", None, path.as_posix(), label, split))
            if progress is not None:
                progress(len(samples), total)
    return Manifest(
        "generated_videos",
        folder,
        labels,
        tuple(samples),
        split_source=f"made as train, val and test, seed {options.seed}",
    )


def make_frames(
    label: str, glyphs: Floats, options: Options, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """The frames of one video, uint8 RGB, shape (T, H, W, 3).

    From generators in the same state, opposite motions give the same frames in opposite orders.

    Args:
        label: Name of the motion.
        glyphs: Handwritten digits to choose from, shape (n, 8, 8), in [0, 1].
        options: Size and number of frames.
        generator: Draws everything.
    """
    changing, direction = MOTIONS[label]
    size = options.size_px
    centre = generator.uniform(-SCATTER_SHARE, SCATTER_SHARE, 2)
    phases = (np.arange(options.frames) + 0.5) / options.frames - 0.5
    resting = dict(zip(RANGES, generator.choice(phases, len(RANGES)), strict=True))
    frames = np.empty((options.frames, size, size, 3), np.float32)
    for number, phase in enumerate(phases):
        picture = _clouds(options, generator)
        elsewhere = [
            dict(zip(RANGES, generator.choice(phases, len(RANGES)), strict=True))
            for _ in range(options.distractors)
        ]
        there = {**resting, changing: phase}
        for shade, place in [*((0.0, place) for place in elsewhere), (1.0, there)]:
            picture = _with_digit(
                picture, glyphs, options, generator, shade=shade, centre=centre, place=place
            )
        frames[number] = picture
    frames += FRAME_NOISE * generator.standard_normal(frames.shape, np.float32)
    return (255 * np.clip(frames[::direction], 0, 1)).round().astype(np.uint8)


def write_video(path: Path, frames: NDArray[np.uint8]) -> None:
    """Write frames, uint8 RGB, shape (T, H, W, 3), as an mp4 file of frames that need no others."""
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=RATE_HZ)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 1
        stream.codec_context.qmin = stream.codec_context.qmax = QUANTISER
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, RATE_HZ)
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def _clouds(options: Options, generator: np.random.Generator) -> Floats:
    """A cloudy pattern around middle grey, shape (H, W, 3)."""
    places = np.linspace(0, 1, options.size_px)
    layers = [
        weight * _sampled(generator.random((cells, cells, 3), np.float32), places, places)
        for cells, weight in CLOUDS
    ]
    return 0.5 + options.clutter * (np.sum(layers, axis=0) - 0.5)


def _with_digit(
    picture: Floats,
    glyphs: Floats,
    options: Options,
    generator: np.random.Generator,
    *,
    shade: float,
    centre: NDArray[np.float64],
    place: Mapping[str, float],
) -> Floats:
    """The picture with some digit over it, shape (H, W, 3).

    Args:
        picture: What is behind, shape (H, W, 3).
        glyphs: Handwritten digits to choose from.
        options: Size and contrast.
        generator: Draws the digit and its contrast.
        shade: 0 is black, 1 is white.
        centre: Middle of the ranges of row and column, from the picture's, as a share of it.
        place: Where in its range each of `RANGES` is, from -0.5 to 0.5.
    """
    glyph = np.pad(glyphs[generator.integers(len(glyphs))], 1)
    row, column, scale = (extent * place[name] for name, extent in RANGES.items())
    height = GLYPH_SHARE * np.exp(scale)
    across = np.linspace(-0.5, 0.5, options.size_px)
    ink = _sampled(
        glyph,
        (across - centre[0] - row) / height + 0.5,
        (across - centre[1] - column) / height + 0.5,
    )
    contrast = min(1.0, options.contrast * generator.uniform(*CONTRAST_SPREAD))
    cover = contrast * np.clip(1.6 * ink - 0.3, 0, 1)[..., None]
    return picture + cover * (shade - picture)


def _sampled(picture: Floats, rows: Floats, columns: Floats) -> Floats:
    """The picture where these rows and columns cross, by linear interpolation.

    Args:
        picture: Shape (h, w) or (h, w, C).
        rows: Places from 0, the first row, to 1, the last one, shape (H,); beyond, the border
            goes on.
        columns: The same along the other axis, shape (W,).

    Returns:
        Shape (H, W) or (H, W, C).
    """
    for axis, places in enumerate((rows, columns)):
        position = np.clip(places, 0, 1) * (picture.shape[axis] - 1)
        below = np.minimum(position.astype(np.intp), picture.shape[axis] - 2)
        share = np.expand_dims(position - below, tuple(range(1, picture.ndim - axis)))
        low, high = picture.take(below, axis), picture.take(below + 1, axis)
        picture = low + share * (high - low)
    return picture
