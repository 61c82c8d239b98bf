"""Motions on video: short mp4 files whose class no single frame can tell.

A handwritten digit (scikit-learn's bundled 8×8 set), faint before clouds that are new in every
frame, moves left, right, up or down, grows or shrinks. Three properties are built in, and tested:

- A frame shows where the digit is and how large it is. In each class one of row, column and scale
  runs through its range, and the others stay at a place drawn from the same range: a frame of
  unknown moment is equally likely in every class.
- Opposite classes show the same frames in opposite orders. Whoever looks at the frames without
  their order is wrong in half of the videos at best, whatever the network.
- Each frame is compressed for itself, so that what the codec leaves does not tell the order either.

Nothing but the digit lasts from frame to frame, so that a video cannot be learned by heart from its
background. No handwritten digit appears in two splits.
"""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from evlora.clips.generated import digit_pools
from evlora.clips.layouts.table import RECORDINGS_FOLDER, Progress
from evlora.clips.manifest import SPLITS, Manifest, Sample
from evlora.config import Config

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
CONTRAST = (0.2, 0.4)
"""Share by which the digit covers the background with black or with white."""
CLOUDS = ((5, 0.6), (16, 0.4))
"""Grid and weight of each layer of the background."""
CLOUD_RANGE = (0.3, 0.7)
"""Darkest and lightest of them."""
TINT = (0.75, 1.25)
"""Lowest and highest gain of red, green and blue in a video."""
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
    return Manifest("generated_videos", folder, labels, tuple(samples))


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
    across = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    frames = np.empty((options.frames, size, size, 3), np.float32)
    for number, phase in enumerate(phases):
        row, column, scale = (
            extent * (phase if name == changing else resting[name])
            for name, extent in RANGES.items()
        )
        glyph = np.pad(glyphs[generator.integers(len(glyphs))], 1)
        height = GLYPH_SHARE * np.exp(scale)
        ink = _sampled(
            glyph,
            (across - centre[0] - row) / height + 0.5,
            (across - centre[1] - column) / height + 0.5,
        )
        shade, contrast = generator.integers(2), generator.uniform(*CONTRAST)
        cover = contrast * np.clip(1.6 * ink - 0.3, 0, 1)[..., None]
        behind = generator.uniform(*TINT, 3) * _clouds(across, generator)
        frames[number] = behind + cover * (shade - behind)
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


def _clouds(across: Floats, generator: np.random.Generator) -> Floats:
    """A cloudy pattern around middle grey, shape (H, W, 3); `across` are its places, from -0.5."""
    layers = [
        weight
        * _sampled(generator.random((cells, cells, 3), np.float32), across + 0.5, across + 0.5)
        for cells, weight in CLOUDS
    ]
    return CLOUD_RANGE[0] + (CLOUD_RANGE[1] - CLOUD_RANGE[0]) * np.sum(layers, axis=0)


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
