"""What a recipe leaves to its dataset follows from what lies there; a key that is given holds."""

from pathlib import Path

import numpy as np
import pytest

from evlora.datasets import prepare
from evlora.recipe import Recipe, load_recipe
from evlora.recipe.from_data import filled_from_data


def _dataset(folder: Path, *, frames: bool, size_px: int = 32, count: int = 12) -> Path:
    for number in range(count):
        random = np.random.default_rng(number)
        path = folder / "recordings" / "ab"[number % 2] / f"{number:03}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (2, size_px, size_px, 3)
        times = {"frame_start_us": np.array([0, 100]), "frame_end_us": np.array([50, 150])}
        more = {"frames": random.integers(0, 256, shape, dtype=np.uint8), **times}
        np.savez(
            path,
            t=np.sort(random.integers(0, 200, 20)),
            x=random.integers(0, size_px, 20),
            y=random.integers(0, size_px, 20),
            p=random.random(20) < 0.5,
            width=np.asarray(size_px),
            height=np.asarray(size_px),
            **(more if frames else {}),
        )
    prepare("class_tree", folder / "recordings", folder / "dataset")
    return folder / "dataset"


def _filled(root: Path, **keys: object) -> Recipe:
    return filled_from_data(load_recipe("own_recordings", {"data.root": str(root), **keys}))


def test_few_events_without_frames_train_long_on_one_modality(tmp_path: Path):
    recipe = _filled(_dataset(tmp_path, frames=False))
    assert recipe.clip.modalities == ("event",)
    assert (recipe.clip.size, recipe.clip.frames) == (64, 4)
    assert recipe.training.epochs == 40
    assert recipe.training.keep == "last"
    assert recipe.data.validation_fraction == 0
    assert not recipe.data.decides


def test_frames_and_a_large_sensor_are_seen(tmp_path: Path):
    root = _dataset(tmp_path, frames=True, size_px=100)
    assert _filled(root).clip.modalities == ("rgb", "event")
    assert _filled(root).clip.size == 96
    other = _filled(root, **{"backbone.name": "vit_tiny_patch16_224"})
    assert (other.clip.size, other.training.learning_rate) == (224, 1e-3)


def test_many_clips_train_for_few_epochs_and_choose_the_best(tmp_path: Path):
    recipe = _filled(_dataset(tmp_path, frames=False, size_px=8, count=700))
    assert recipe.training.epochs == 7
    assert recipe.training.keep == "best"
    assert recipe.data.validation_fraction == pytest.approx(0.1)


def test_a_key_that_is_given_holds(tmp_path: Path):
    root = _dataset(tmp_path, frames=True)
    keys = {"clip.modalities": ["event"], "training.epochs": 3, "training.learning_rate": 0.01}
    recipe = _filled(root, **keys, **{"clip.size": 48})
    assert recipe.clip.modalities == ("event",)
    assert recipe.clip.size == 48
    assert (recipe.training.epochs, recipe.training.learning_rate) == (3, 0.01)
    assert recipe.backbone.name == "evlora_nano"
    assert recipe.model.pool == "mean"


def test_pictures_alone_are_clips_of_one_moment(tmp_path: Path):
    from PIL import Image

    for number in range(8):
        path = tmp_path / "recordings" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (120, 90), (number, 0, 0)).save(path)
    prepare("class_tree", tmp_path / "recordings", tmp_path / "dataset")
    recipe = _filled(tmp_path / "dataset")
    assert (recipe.clip.modalities, recipe.clip.frames, recipe.clip.size) == (("rgb",), 1, 96)


def test_other_recipes_are_left_as_they_are():
    recipe = load_recipe("demo", {"data.root": "nowhere"})
    assert filled_from_data(recipe) is recipe
