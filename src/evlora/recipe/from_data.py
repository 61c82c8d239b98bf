"""Keys that a recipe leaves to its dataset (`data.decides`), and what the dataset makes of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evlora.config import Config
from evlora.datasets import Manifest, read_manifest
from evlora.datasets.opening import open_sample
from evlora.models.backbone_names import NANO
from evlora.recipe.schema import Recipe
from evlora.recordings import Recording

SAMPLES_OPENED = 8
MOMENTS = 4
LEAST_VALIDATION = 50
"""Validation clips below which one more or less right answer decides between epochs."""
CLIPS_SHOWN, LEAST_EPOCHS, MOST_EPOCHS = 4000, 5, 40
"""Training shows about as many clips as that in all, in no fewer and no more epochs."""
SMALL_SENSOR_PX, SMALL_PX, NANO_PX, LARGE_PX = 80, 64, 96, 224


@dataclass(frozen=True, slots=True)
class _Seen:
    """What some training samples have in common."""

    has_frames: bool
    has_events: bool
    is_single_picture: bool
    shorter_side_px: int


def filled_from_data(recipe: Recipe) -> Recipe:
    """The recipe with what its dataset decides; unchanged where `data.decides` is false.

    A key that the recipe or the command line sets holds.

    Raises:
        DatasetError: The dataset is missing or incomplete.
        RecordingError: One of its recordings cannot be read.
    """
    if not recipe.data.decides or recipe.data.root is None:
        return recipe
    manifest = read_manifest(
        recipe.data.root,
        source=recipe.data.source,
        cache=recipe.data.cache,
        cache_gb=recipe.data.cache_gb,
    )
    changes = {
        "clip": _clip_keys(recipe, manifest),
        **_training_keys(recipe, manifest),
    }
    parts: dict[str, Any] = {"data": {"decides": False}}
    for section, keys in changes.items():
        parts.setdefault(section, {}).update(_open_keys(getattr(recipe, section), keys))
    return Recipe.model_validate(
        {
            name: {**_given(getattr(recipe, name)), **parts.get(name, {})}
            if isinstance(getattr(recipe, name), Config)
            else getattr(recipe, name)
            for name in recipe.model_fields_set | parts.keys()
        }
    )


def _given(section: Config) -> dict[str, Any]:
    return {name: getattr(section, name) for name in section.model_fields_set}


def _open_keys(section: Config, keys: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in keys.items() if name not in section.model_fields_set}


def _clip_keys(recipe: Recipe, manifest: Manifest) -> dict[str, Any]:
    if manifest.packed is not None:
        drawn = manifest.packed.rendering
        keys = ("modalities", "frames", "filters")
        return {key: getattr(drawn, key) for key in keys}
    seen = _look(manifest)
    shown = {"rgb": seen.has_frames, "event": seen.has_events}
    modalities = tuple(name for name, is_there in shown.items() if is_there)
    size = LARGE_PX
    if recipe.backbone.name == NANO:
        size = SMALL_PX if seen.shorter_side_px <= SMALL_SENSOR_PX else NANO_PX
    return {
        "modalities": modalities,
        "frames": 1 if seen.is_single_picture else MOMENTS,
        "size": size,
    }


def _training_keys(recipe: Recipe, manifest: Manifest) -> dict[str, dict[str, Any]]:
    counts = manifest.counts
    train, own = counts.get("train", 0), counts.get("val")
    fraction = recipe.data.validation_fraction
    validated = own if own is not None else round(train * fraction)
    is_enough = validated >= LEAST_VALIDATION
    epochs = round(CLIPS_SHOWN / max(1, train))
    return {
        "training": {
            "epochs": max(LEAST_EPOCHS, min(MOST_EPOCHS, epochs)),
            "keep": "best" if is_enough else "last",
            "learning_rate": 4e-3 if recipe.backbone.name == NANO else 1e-3,
        },
        "data": {"validation_fraction": fraction if is_enough or own is not None else 0.0},
    }


def _look(manifest: Manifest) -> _Seen:
    samples = manifest.split("train")
    step = max(1, len(samples) // SAMPLES_OPENED)
    opened = [open_sample(one, manifest.source) for one in samples[::step][:SAMPLES_OPENED]]
    frames = [recording.frames for recording in opened if recording.frames]
    has_events = all(_has_events(recording) for recording in opened)
    if not has_events and len(frames) < len(opened):  # some have this, others that
        has_events = sum(map(_has_events, opened)) >= len(frames)
        has_frames = not has_events
    else:
        has_frames = len(frames) == len(opened)
    sides = [min(_size(recording)) for recording in opened]
    return _Seen(
        has_frames,
        has_events,
        not has_events and all(len(sequence) == 1 for sequence in frames),
        max(sides),
    )


def _has_events(recording: Recording) -> bool:
    return bool(recording.event_images) or recording.events is not None


def _size(recording: Recording) -> tuple[int, int]:
    seen = recording.frames or recording.event_images or recording.events
    assert seen is not None  # a recording holds something
    return seen.height, seen.width
