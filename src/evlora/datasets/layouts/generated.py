"""Digits in motion: the embedded dataset, made on the spot and the same bytes for the same seed.

A handwritten digit (scikit-learn's bundled 8×8 set) moves left, right, up or down over a textured
background, seen as RGB frames and as events. The class is digit and motion together, such as
`3-left`. Neither modality shows both: frames, some of them dark or blurred, show the digit and at
best the axis of its motion, for they are not ordered in time once they are averaged; the polarity
of the events shows the direction, but edges along the motion fire none, the sensor is noisy, and
in some clips the background moves too. No handwritten digit appears in two splits.
"""

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from evlora.config import Config
from evlora.datasets.layouts.table import RECORDINGS_FOLDER, Progress
from evlora.datasets.manifest import SPLITS, Manifest, Sample
from evlora.processes import start_processes
from evlora.recordings import EventStream
from evlora.recordings.simulator import EventSimulator, SensorModel
from evlora.recordings.video_events import join_streams

MOTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
"""Name of each motion, with its step in rows and columns."""
LABELS = tuple(f"{digit}-{motion}" for digit in range(10) for motion in MOTIONS)
POOL_SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
"""Share of the handwritten digits that each split draws from."""

SUBFRAMES = 4
"""Brightness rendered for each frame; between them brightness changes linearly."""
GLYPH_SHARE = 0.5
"""Height of the digit, as a share of the picture's."""
TRAVEL_SHARE = (0.2, 0.28)
"""How far the digit moves in all, as a share of the picture."""
SCATTER_SHARE = 0.03
"""How far off the centre the middle of its path may lie, either way, as a share of the picture."""
WARM_COLOURS = ((0.8, 0.5, 0.2), (1.0, 0.9, 0.6))
"""Lowest and highest red, green and blue of a digit."""
COOL_COLOURS = ((0.3, 0.7, 0.7), (0.7, 1.0, 1.0))
"""The same of a background: frames show the digit by its colour, which no event shows."""
BAD_FRAME_SHARE = (0.2, 0.5)
"""Share of the frames of a clip that are dark or blurred."""
DARK_GAIN = (0.01, 0.05)
"""Brightness of a dark frame."""
SHARP_EXPOSURE = 1
"""Rendered pictures that a sharp frame is exposed for; a blurred one for all of its interval."""
FRAME_NOISE = 0.02
"""Standard deviation of the noise of frames, of the full range."""
CONTRAST_THRESHOLD = 0.4
"""Change of log brightness that fires an event."""
NOISE_RATE_HZ = (1.0, 5.0)
"""Events of noise, a pixel and second."""
CLUTTERED_SHARE = 0.7
"""Share of the clips whose background moves."""
CLUTTER_TRAVEL_SHARE = (0.1, 0.3)
"""How far a moving background goes, as a share of the picture."""

CLIPS_AT_ONCE = 20
"""Clips that a process takes at a time."""

Brightness = NDArray[np.float32]
"""Of pictures, in [0, 1]."""


class Options(Config):
    """How many clips of digits in motion, and of which size."""

    train: PositiveInt = 1600
    """Clips to train with."""
    val: NonNegativeInt = 200
    """Clips to choose the best epoch with."""
    test: NonNegativeInt = 400
    """Clips to measure with."""
    size_px: int = Field(default=64, ge=16, le=256)
    """Rows and columns of frames and of the event sensor."""
    frames: PositiveInt = 8
    """Frames in a clip."""
    duration_ms: PositiveInt = 200
    """Length of a clip."""
    digits: int = Field(default=10, ge=2, le=10)
    """How many digits there are, from 0 up; the classes are digits times motions."""
    seed: NonNegativeInt = 0
    """Of everything random."""
    workers: PositiveInt = 1
    """Processes that make clips; the clips are the same."""


class _Place(NamedTuple):
    """Where a clip stands: the number of its split, and its own."""

    split: int
    number: int
    label: str

    @property
    def path(self) -> Path:
        """Relative to the dataset's folder."""
        return Path(RECORDINGS_FOLDER) / SPLITS[self.split] / f"{self.number:05d}.npz"

    @property
    def sample(self) -> Sample:
        """The entry of the manifest."""
        split = SPLITS[self.split]
        return Sample(f"{split}/{self.number:05d}", self.path.as_posix(), None, self.label, split)


def collect(
    source: Path | None, folder: Path, options: Options, progress: Progress | None
) -> Manifest:
    """Make the recordings in `folder` and return their manifest."""
    del source  # there is none
    wanted = {"train": options.train, "val": options.val, "test": options.test}
    labels = LABELS[: options.digits * len(MOTIONS)]
    places: list[_Place] = []
    for split_number, split in enumerate(SPLITS):
        (folder / RECORDINGS_FOLDER / split).mkdir(parents=True)
        order = np.random.default_rng([options.seed, split_number]).permutation(wanted[split])
        places += [
            _Place(split_number, number, labels[chosen % len(labels)])
            for number, chosen in enumerate(order)
        ]
    for done, _ in enumerate(_written(places, folder, options), start=1):
        if progress is not None:
            progress(done, len(places))
    samples = tuple(place.sample for place in places)
    made = f"made as train, val and test, seed {options.seed}"
    return Manifest("generated", folder, labels, samples, split_source=made)


def _written(places: list[_Place], folder: Path, options: Options) -> Iterator[None]:
    """Writes the recordings, one for each item that is taken."""
    write = partial(_write_recording, folder=folder, options=options)
    if options.workers == 1:
        yield from map(write, places)
        return
    with start_processes(options.workers) as pool:
        yield from pool.map(write, places, chunksize=CLIPS_AT_ONCE)


def _write_recording(place: _Place, *, folder: Path, options: Options) -> None:
    glyphs = digit_pools(options.seed)[SPLITS[place.split]]
    generator = np.random.default_rng([options.seed, place.split, place.number])
    recording = make_recording(place.label, glyphs, options, generator)
    # Not compressed: noise does not shrink, and reading is what training waits for.
    np.savez(folder / place.path, allow_pickle=False, **recording)


def make_recording(
    label: str,
    glyphs: dict[int, Brightness],
    options: Options,
    generator: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """The arrays of one recording, under the names that the npz reader knows.

    Args:
        label: Digit and motion, such as `3-left`.
        glyphs: Handwritten digits to choose from, by digit, each of shape (n, 8, 8) in [0, 1].
        options: Size, frames and duration.
        generator: Draws everything.
    """
    digit, motion = label.split("-")
    variants = glyphs[int(digit)]
    glyph = variants[generator.integers(len(variants))]
    scene = _render(glyph, MOTIONS[motion], options, generator)
    times_us = np.linspace(0, options.duration_ms * 1000, len(scene)).round().astype(np.int64)
    frames, exposure = _expose(scene[:-1], options, generator)
    events = _events(scene, times_us, generator)
    return {
        "t": events.t_us.astype(np.uint32),
        "x": events.x.astype(np.uint8),
        "y": events.y.astype(np.uint8),
        "p": events.polarity,
        "width": np.asarray(options.size_px),
        "height": np.asarray(options.size_px),
        "frames": frames,
        "frame_start_us": times_us[exposure[:, 0]],
        "frame_end_us": times_us[exposure[:, 1]],
    }


@cache
def digit_pools(seed: int) -> dict[str, dict[int, Brightness]]:
    """The handwritten digits of each split, by digit, of shape (n, 8, 8) each, in [0, 1]."""
    from sklearn.datasets import load_digits

    flat, digits = load_digits(return_X_y=True)
    images = (flat / 16).astype(np.float32).reshape(-1, 8, 8)
    generator = np.random.default_rng(seed)
    pools: dict[str, dict[int, Brightness]] = {split: {} for split in SPLITS}
    for digit in range(10):
        places = generator.permutation(np.flatnonzero(digits == digit))
        stops = np.cumsum([POOL_SHARES[split] * len(places) for split in SPLITS[:-1]])
        for split, part in zip(SPLITS, np.split(places, stops.astype(int)), strict=True):
            pools[split][digit] = images[part]
    return pools


def _render(
    glyph: Brightness, step: tuple[int, int], options: Options, generator: np.random.Generator
) -> Brightness:
    """The scene in linear brightness, shape (frames · SUBFRAMES + 1, H, W, 3), in [0, 1]."""
    size = options.size_px
    time = np.linspace(-0.5, 0.5, options.frames * SUBFRAMES + 1)
    glyph_px = round(GLYPH_SHARE * size)
    digit = np.clip(_resized(glyph, glyph_px, glyph_px) * 1.6 - 0.3, 0, 1)
    margin = size // 2
    mask = np.pad(digit, margin + (size - glyph_px) // 2, mode="constant")
    travel = size * generator.uniform(*TRAVEL_SHARE) * np.array(step)
    scatter = size * generator.uniform(-SCATTER_SHARE, SCATTER_SHARE, 2)
    texture = _texture(2 * size, generator)
    drift = np.zeros(2)
    if generator.random() < CLUTTERED_SHARE:
        angle = generator.uniform(0, 2 * np.pi)
        length = size * generator.uniform(*CLUTTER_TRAVEL_SHARE)
        drift = length * np.array([np.sin(angle), np.cos(angle)])
    colour = generator.uniform(*WARM_COLOURS).astype(np.float32)
    pictures = np.empty((len(time), size, size, 3), np.float32)
    for place, moment in enumerate(time):
        behind = _window(texture, size // 2 - moment * drift, size)
        cover = _window(mask, margin - scatter - moment * travel, size)[..., None]
        pictures[place] = behind + cover * (colour - behind)
    return pictures


def _texture(size: int, generator: np.random.Generator) -> Brightness:
    """A cloudy pattern in a cool colour, shape (size, size, 3), in [0, 1]."""
    coarse = generator.random((6, 6, 1), np.float32)
    fine = generator.random((size // 4, size // 4, 1), np.float32)
    pattern = 0.5 * _resized(coarse, size, size) + 0.5 * _resized(fine, size, size)
    dark, light = generator.uniform((0.03, 0.5), (0.1, 0.8)).astype(np.float32)
    brightness = dark + (light - dark) * np.clip(0.5 + 1.8 * (pattern - 0.5), 0, 1)
    return brightness * generator.uniform(*COOL_COLOURS).astype(np.float32)


def _resized(picture: Brightness, height: int, width: int) -> Brightness:
    """The picture in another size, by linear interpolation along both axes."""
    for axis, size in ((0, height), (1, width)):
        positions = np.linspace(0, picture.shape[axis] - 1, size)
        below = np.minimum(positions.astype(int), picture.shape[axis] - 2)
        shape = [1] * picture.ndim
        shape[axis] = size
        share = (positions - below).astype(np.float32).reshape(shape)
        low, high = picture.take(below, axis), picture.take(below + 1, axis)
        picture = low + share * (high - low)
    return picture


def _window(layer: Brightness, corner: NDArray[np.float64], size: int) -> Brightness:
    """The square of the layer whose corner lies there, between pixels if need be."""
    whole = np.floor(corner).astype(int)
    (row, column), (down, right) = whole, (corner - whole).astype(np.float32)
    part = layer[row : row + size + 1, column : column + size + 1]
    part = part[:-1] + down * (part[1:] - part[:-1])
    return part[:, :-1] + right * (part[:, 1:] - part[:, :-1])


def _expose(
    scene: Brightness, options: Options, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Frames, shape (T, H, W, 3), and first and last rendered picture of each, shape (T, 2)."""
    count = options.frames
    bad = generator.permutation(count)[: round(count * generator.uniform(*BAD_FRAME_SHARE))]
    is_dark = np.zeros(count, bool)
    is_dark[bad[::2]] = True
    stops = SUBFRAMES * np.arange(1, count + 1)
    starts = stops - SHARP_EXPOSURE
    starts[bad[1::2]] = stops[bad[1::2]] - SUBFRAMES
    frames = np.stack(
        [scene[start:stop].mean(axis=0) for start, stop in zip(starts, stops, strict=True)]
    )
    gain = np.where(is_dark, generator.uniform(*DARK_GAIN, count), 1.0).astype(np.float32)
    frames = frames * gain[:, None, None, None]
    frames += FRAME_NOISE * generator.standard_normal(frames.shape, np.float32)
    frames = np.clip(frames, 0, 1)
    return (255 * frames).round().astype(np.uint8), np.stack([starts, stops], axis=1)


def _events(
    scene: Brightness, times_us: NDArray[np.int64], generator: np.random.Generator
) -> EventStream:
    """What an event camera sends of the scene."""
    threshold, noise_rate_hz = CONTRAST_THRESHOLD, generator.uniform(*NOISE_RATE_HZ)
    sensor = SensorModel(
        positive_threshold=threshold,
        negative_threshold=threshold,
        shot_noise_rate_hz=float(noise_rate_hz),
    )
    _, height, width, _ = scene.shape
    simulator = EventSimulator(
        width=width, height=height, sensor=sensor, seed=int(generator.integers(2**32))
    )
    moments = zip(255 * scene, times_us.tolist(), strict=True)
    return join_streams(simulator.push(picture, t_us) for picture, t_us in moments)
