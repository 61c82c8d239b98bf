"""What is odd about a dataset is said before anything is trained on it."""

from pathlib import Path

import numpy as np
import pytest

from evlora.datasets import prepare
from evlora.datasets.checking import cautions_of, check
from evlora.datasets.manifest import Manifest
from evlora.datasets.samples import Sample


def _write(path: Path, seed: int, *, frames: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    more = {}
    if frames:
        more = {
            "frames": random.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8),
            "frame_start_us": np.array([0, 100]),
            "frame_end_us": np.array([50, 150]),
        }
    np.savez(
        path,
        t=np.sort(random.integers(0, 200, 20)),
        x=random.integers(0, 8, 20),
        y=random.integers(0, 8, 20),
        p=random.random(20) < 0.5,
        width=np.asarray(8),
        height=np.asarray(8),
        **more,
    )


@pytest.fixture
def odd(tmp_path: Path) -> Manifest:
    """Many cats, one dog; a bird that is only tested; one recording in two splits."""
    source = tmp_path / "source"
    for number in range(12):
        _write(source / "train" / "cat" / f"{number}.npz", number, frames=number == 3)
    _write(source / "train" / "dog" / "0.npz", 100)
    _write(source / "test" / "dog" / "1.npz", 101)
    _write(source / "test" / "cat" / "copy.npz", 5)
    _write(source / "test" / "bird" / "0.npz", 200)
    return prepare("class_tree", source, tmp_path / "dataset")


def _one(cautions: tuple[str, ...], word: str) -> str:
    (found,) = [caution for caution in cautions if word in caution]
    return found


def test_rare_and_lonely_classes_and_twins_are_named(odd: Manifest):
    cautions = cautions_of(odd)
    assert "dog (1)" in _one(cautions, "fewer than 10")
    assert "test alone: bird" in _one(cautions, "alone")
    assert "12 training samples of cat, 1 of dog" in _one(cautions, "imbalance")
    twins = _one(cautions, "same content")
    assert "cat/5 (train)" in twins
    assert "cat/copy (test)" in twins


def test_a_modality_that_some_samples_hold_is_found_when_they_are_opened(odd: Manifest):
    assert not [caution for caution in cautions_of(odd) if "differ" in caution]
    seen: list[tuple[int, int]] = []
    checked = check(odd, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (16, 16)
    assert checked.faults == ()
    mixed = _one(cautions_of(odd, modalities=checked.modalities), "differ")
    assert "events, frames in 1 (such as train/cat/3)" in mixed


def test_a_file_that_cannot_be_read_is_a_fault(odd: Manifest):
    (odd.source / "train" / "cat" / "7.npz").write_bytes(b"no archive")
    checked = check(odd)
    assert [sample for sample, _ in checked.faults] == ["train/cat/7"]
    assert "npz archive" in checked.faults[0][1]


def test_a_sound_dataset_has_no_cautions(tmp_path: Path):
    for number in range(24):
        split = "train" if number < 20 else "test"
        _write(tmp_path / "source" / split / "ab"[number % 2] / f"{number}.npz", number)
    manifest = prepare("class_tree", tmp_path / "source", tmp_path / "dataset")
    assert cautions_of(manifest) == ()


def test_one_class_alone_is_cautioned_against(tmp_path: Path):
    for number in range(12):
        _write(tmp_path / "source" / "a" / f"{number}.npz", number)
    manifest = prepare("class_tree", tmp_path / "source", tmp_path / "dataset")
    assert "one class alone, a: " in _one(cautions_of(manifest), "two or more")


@pytest.mark.parametrize(
    ("layout", "labels", "expected"),
    [
        (
            "cifar10_dvs",
            2,
            ["2 classes, CIFAR10-DVS as published: 10", "2 samples, CIFAR10-DVS as published: 10,"],
        ),
        ("n_imagenet", 100, []),
        ("dvs_gesture", 11, []),
        ("csv", 2, []),
    ],
)
def test_classes_and_samples_are_compared_with_what_the_authors_state(
    tmp_path: Path, layout: str, labels: int, expected: list[str]
):
    names = tuple(f"class {number}" for number in range(labels))
    samples = tuple(Sample(name, "a.npz", None, name, "train") for name in names)
    found = cautions_of(Manifest(layout, tmp_path, names, samples))
    compared = [caution for caution in found if "as published" in caution]
    assert len(compared) == len(expected)
    assert all(map(str.startswith, compared, expected))
