"""What earlier versions drew: results stay comparable only while a seed gives the same clips.

The values were written down from version 0.1.0. Only whole numbers are compared: sizes stay as they
are, so no pixel is resampled, and the frames' colours stay out of the digests.
"""

import hashlib

import numpy as np
import pytest

from evlora.clips import ClipConfig, make_clip
from evlora.clips.transforms import Augmentation, place
from evlora.recordings import EventStream, FrameSequence, Recording

HEIGHT, WIDTH = 6, 8


def recording(*, frames, events, is_timed=True):
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (20, HEIGHT, WIDTH, 3), np.uint8)[:frames]
    times = np.sort(generator.integers(0, 1000, 400))
    places = generator.integers(0, (WIDTH, HEIGHT, 2), (400, 3))
    ends = 1000 * np.arange(1, frames + 1) // max(frames, 1)
    return Recording(
        EventStream.from_arrays(times, *places.T, width=WIDTH, height=HEIGHT) if events else None,
        FrameSequence.from_images(
            pixels, start_us=ends - 20 if is_timed else None, end_us=ends if is_timed else None
        )
        if frames
        else None,
        "test",
    )


RECORDINGS = {
    "many frames": recording(frames=20, events=True),
    "few frames": recording(frames=3, events=True),
    "untimed frames": recording(frames=2, events=True, is_timed=False),
    "events": recording(frames=0, events=True),
    "frames": recording(frames=20, events=False, is_timed=False),
}


def digest(name, *, seed, colour=0.0):
    whole = RECORDINGS[name]
    modalities = [
        modality
        for modality, part in (("rgb", whole.frames), ("event", whole.events))
        if part is not None
    ]
    config = ClipConfig(
        frames=4,
        size=(HEIGHT, WIDTH),
        modalities=tuple(modalities),
        augmentation=Augmentation(crop=1, flip=True, colour=colour, event_drop=0.1),
    )
    generator = None if seed is None else np.random.default_rng([seed, 0, 0])
    clip = make_clip(whole, config, generator=generator)
    parts = [clip.events] if colour else [clip.rgb, clip.events]
    images = b"".join(part.numpy().tobytes() for part in parts if part is not None)
    return hashlib.sha256(images).hexdigest()[:12]


@pytest.mark.parametrize(
    ("name", "seed", "colour", "expected"),
    [
        ("many frames", None, 0.0, "6d885fe58bd4"),
        ("many frames", 1, 0.0, "57e6b463bbfa"),
        ("many frames", 2, 0.2, "de9f996a8594"),
        ("few frames", None, 0.0, "a2581f2557b3"),
        ("few frames", 1, 0.0, "b5bcb92426b4"),
        ("few frames", 2, 0.2, "f4cbf26c5c82"),
        ("untimed frames", None, 0.0, "ca42a9d6fdf5"),
        ("untimed frames", 1, 0.0, "bbc5484ec20a"),
        ("untimed frames", 2, 0.2, "f4cbf26c5c82"),
        ("events", None, 0.0, "d257049ce366"),
        ("events", 1, 0.0, "d6b7fb790dd9"),
        ("events", 2, 0.2, "425a3464b9a2"),
        ("frames", None, 0.0, "08669967cf89"),
        ("frames", 1, 0.0, "d1e7305a1674"),
    ],
)
def test_a_seed_gives_the_clip_that_it_always_gave(name, seed, colour, expected):
    assert digest(name, seed=seed, colour=colour) == expected


@pytest.mark.parametrize(
    ("seed", "canvas", "corner", "is_flipped"),
    [
        (0, (237, 315), (7, 24), True),
        (1, (242, 322), (14, 94), True),
        (2, (252, 335), (3, 33), False),
    ],
)
def test_a_seed_gives_the_box_that_it_always_gave(seed, canvas, corner, is_flipped):
    geometry = place(
        260,
        346,
        size=(224, 224),
        fit="crop",
        augmentation=Augmentation(flip=True),
        generator=np.random.default_rng(seed),
    )
    assert geometry.canvas == canvas
    assert (geometry.top, geometry.left) == corner
    assert geometry.is_flipped == is_flipped
