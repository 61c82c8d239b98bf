"""Digits in motion: the same for the same seed, and neither modality shows all."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from evlora.clips import ClipConfig
from evlora.datasets import ClipDataset, prepare, read_manifest
from evlora.datasets.layouts.generated import LABELS, MOTIONS, Options, digit_pools, make_recording
from evlora.errors import DatasetError
from evlora.recordings import open_recording

SMALL = {"train": 12, "val": 4, "test": 4, "size_px": 32, "frames": 4}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated") / "digits"
    prepare("generated", None, folder, options=SMALL)
    return folder


@pytest.fixture(scope="module")
def pools():
    return digit_pools(0)


def digest(folder):
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def test_the_same_seed_gives_the_same_bytes(prepared, tmp_path):
    prepare("generated", None, tmp_path / "again", options=SMALL)
    prepare("generated", None, tmp_path / "other", options={**SMALL, "seed": 1})
    assert digest(tmp_path / "again") == digest(prepared)
    assert digest(tmp_path / "other") != digest(prepared)


@pytest.mark.slow
def test_two_processes_make_the_same_bytes(prepared, tmp_path):
    prepare("generated", None, tmp_path / "digits", options={**SMALL, "workers": 2})
    assert digest(tmp_path / "digits") == digest(prepared)


def test_what_is_prepared_is_a_dataset_of_clips(prepared):
    manifest = read_manifest(prepared)
    assert manifest.counts == {"train": 12, "val": 4, "test": 4}
    assert manifest.labels == LABELS
    clip = ClipDataset(manifest, "test", ClipConfig(frames=4, size=32))[0]
    assert clip.rgb.shape == clip.events.shape == (4, 3, 32, 32)
    assert clip.rgb.float().std() > 10
    assert (clip.events < 255).flatten(1).any(dim=1).all()


def test_a_recording_holds_frames_with_times_and_events(prepared):
    recording = open_recording(prepared / "recordings" / "train" / "00000.npz")
    assert not recording.warnings
    assert (recording.frames.width, recording.frames.height) == (32, 32)
    assert recording.frames.end_us.tolist() == [50_000, 100_000, 150_000, 200_000]
    assert recording.events.first_us > 0
    assert recording.events.last_us <= 200_000


def test_no_handwritten_digit_is_in_two_splits(pools):
    def images(split):
        return {image.tobytes() for digit in pools[split].values() for image in digit}

    assert not images("train") & images("test")
    assert not images("train") & images("val")
    assert not images("val") & images("test")
    assert sum(len(images(split)) for split in pools) == 1797


def test_every_class_comes_equally_often(tmp_path):
    options = {"train": 80, "val": 0, "test": 41, "size_px": 16, "frames": 1}
    manifest = prepare("generated", None, tmp_path / "out", options=options)
    assert manifest.splits == ("train", "test")
    assert set(Counter(sample.label for sample in manifest.split("train")).values()) == {2}
    assert len({sample.label for sample in manifest.split("test")}) == 40


@pytest.mark.parametrize("motion", MOTIONS)
def test_events_brighten_ahead_of_the_digit_and_darken_behind_it(pools, motion):
    forward = np.array(MOTIONS[motion][::-1])
    leads = []
    for number in range(10):
        made = make_recording(
            f"{number}-{motion}", pools["train"], Options(), np.random.default_rng(number)
        )
        places = np.stack([made["x"], made["y"]], axis=1).astype(float)
        lead = places[made["p"]].mean(axis=0) - places[~made["p"]].mean(axis=0)
        leads.append(float(lead @ forward))
    assert np.mean(leads) > 0.2


def test_some_frames_are_dark_and_some_are_not(pools):
    frames = make_recording("3-left", pools["train"], Options(), np.random.default_rng(0))["frames"]
    brightness = frames.reshape(len(frames), -1).mean(axis=1)
    assert brightness.min() < 10
    assert brightness.max() > 40


def test_progress_is_reported_for_every_clip(tmp_path):
    reported = []
    prepare(
        "generated",
        None,
        tmp_path / "out",
        options=SMALL,
        progress=lambda *done: reported.append(done),
    )
    assert reported == [(number, 20) for number in range(1, 21)]


def test_an_interrupted_generation_leaves_nothing_behind(tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("generated", None, tmp_path / "out", options=SMALL, progress=interrupt)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [{"train": 0}, {"size_px": 4}, {"frames": 0}, {"speed": 1}])
def test_a_wrong_option_is_refused(tmp_path, option):
    with pytest.raises(DatasetError, match=f"layout generated: option {next(iter(option))}"):
        prepare("generated", None, tmp_path / "out", options=option)
