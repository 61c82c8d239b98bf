"""Motions on video: the same for the same options, and no single frame shows the class."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from evlora.clips import ClipConfig
from evlora.datasets import ClipDataset, prepare, read_manifest
from evlora.datasets.layouts import generated_videos as videos
from evlora.datasets.layouts.generated import digit_pools
from evlora.errors import DatasetError
from evlora.recordings import open_recording

SMALL = {"train": 12, "val": 6, "test": 6, "size_px": 32, "frames": 8}
OPTIONS = videos.Options(size_px=32, frames=8)
OPPOSITES = (("left", "right"), ("up", "down"), ("shrink", "grow"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos") / "motions"
    prepare("generated_videos", None, folder, options=SMALL)
    return folder


@pytest.fixture(scope="module")
def glyphs():
    return np.concatenate(list(digit_pools(0)["train"].values()))


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.*")):
        total.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def written(path, frames):
    videos.write_video(path, frames)
    return open_recording(path).frames


def test_the_same_seed_gives_the_same_bytes(prepared, tmp_path):
    prepare("generated_videos", None, tmp_path / "again", options=SMALL)
    prepare("generated_videos", None, tmp_path / "other", options={**SMALL, "seed": 1})
    assert digest(tmp_path / "again") == digest(prepared)
    assert digest(tmp_path / "other") != digest(prepared)


def test_what_is_prepared_is_a_dataset_of_videos(prepared):
    manifest = read_manifest(prepared)
    assert manifest.counts == {"train": 12, "val": 6, "test": 6}
    assert manifest.labels == ("left", "right", "up", "down", "shrink", "grow")
    assert set(Counter(sample.label for sample in manifest.split("train")).values()) == {2}
    frames = open_recording(manifest.source / manifest.samples[0].frames).frames
    assert (len(frames), frames.height, frames.width) == (8, 32, 32)
    clip = ClipDataset(manifest, "test", ClipConfig(frames=4, size=32, modalities=("rgb",)))[0]
    assert clip.rgb.shape == (4, 3, 32, 32)
    assert clip.rgb.float().std() > 10


@pytest.mark.parametrize("pair", OPPOSITES, ids="-".join)
def test_opposite_classes_are_the_same_frames_in_opposite_orders(pair, glyphs, tmp_path):
    one, other = (
        videos.make_frames(label, glyphs, OPTIONS, np.random.default_rng(5)) for label in pair
    )
    assert (one == other[::-1]).all()
    assert (one != other).any()
    # So are they still after the codec: no frame bears the traces of one before it.
    decoded = written(tmp_path / "one.mp4", one).take(range(8))
    reversed_decoded = written(tmp_path / "other.mp4", other).take(range(8))
    assert (decoded == reversed_decoded[::-1]).all()


@pytest.mark.slow
def test_a_frame_of_unknown_moment_is_equally_likely_in_every_class(glyphs):
    options = videos.Options(size_px=32, frames=4, contrast=1, distractors=0)
    pictures = {
        label: np.stack(
            [
                videos.make_frames(label, glyphs, options, np.random.default_rng([seed, place]))
                for seed in range(150)
            ]
        )
        for place, label in enumerate(videos.MOTIONS)
    }
    # The mean picture of a class shows where its digits are and how large; the error is the
    # standard error of two means over 150 independent videos.
    for label, shown in pictures.items():
        grey = shown.mean(axis=(1, 4))
        others = [other.mean(axis=(1, 4)) for name, other in pictures.items() if name != label]
        difference = grey.mean(axis=0) - np.concatenate(others).mean(axis=0)
        error = grey.std(axis=0) * np.sqrt(1 / len(grey) + 1 / (5 * len(grey)))
        assert np.abs(difference / error).max() < 5, label
        assert np.mean((difference / error) ** 2) < 2, label


@pytest.mark.parametrize("label", videos.MOTIONS)
def test_the_white_digit_moves_as_its_class_states(label, glyphs):
    # At full contrast nothing but the white digit is nearly white.
    options = videos.Options(size_px=32, frames=8, contrast=1)
    shifts = []
    for seed in range(8):
        frames = videos.make_frames(label, glyphs, options, np.random.default_rng(seed))
        ink = (frames.mean(axis=-1) > 230).astype(float)
        mass = ink.sum(axis=(1, 2))
        if (mass == 0).any():
            continue
        places = np.arange(32)
        rows = (ink.sum(axis=2) * places).sum(axis=1) / mass
        columns = (ink.sum(axis=1) * places).sum(axis=1) / mass
        shifts.append([columns[-1] - columns[0], rows[-1] - rows[0], np.log(mass[-1] / mass[0])])
    column, row, mass = np.mean(shifts, axis=0)
    expected = {
        "left": column < -4, "right": column > 4, "up": row < -4, "down": row > 4,
        "shrink": mass < -0.5, "grow": mass > 0.5,
    }  # fmt: skip
    assert expected[label], (column, row, mass)


def test_clouds_do_not_last_from_frame_to_frame(glyphs):
    frames = videos.make_frames("left", glyphs[:1] * 0, OPTIONS, np.random.default_rng(0))
    grey = frames.mean(axis=-1).reshape(len(frames), -1)
    correlation = np.corrcoef(grey)
    assert np.abs(correlation[~np.eye(len(frames), dtype=bool)]).mean() < 0.3


def test_progress_is_reported_for_every_video(tmp_path):
    reported = []
    prepare(
        "generated_videos",
        None,
        tmp_path / "out",
        options=SMALL,
        progress=lambda *done: reported.append(done),
    )
    assert reported == [(number, 24) for number in range(1, 25)]


@pytest.mark.parametrize(
    "option", [{"train": 0}, {"size_px": 40}, {"size_px": 512}, {"frames": 1}, {"speed": 1}]
)
def test_a_wrong_option_is_refused(tmp_path, option):
    with pytest.raises(DatasetError, match=f"layout generated_videos: option {next(iter(option))}"):
        prepare("generated_videos", None, tmp_path / "out", options=option)
