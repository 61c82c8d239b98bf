"""RandAugment for both modalities: the operations of torchvision, the same geometry in both."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode, RandAugment

from evlora.clips import Clip, ClipConfig, drawing, make_clip
from evlora.clips.augmentation import Augmentation
from evlora.clips.operations import OPERATIONS, Operation, draw_operations, operated
from evlora.errors import RecipeError
from evlora.recipe import load_recipe
from evlora.recordings import EventStream, FrameSequence, Recording
from evlora.training.features import random_keys

TORCHVISION = {"colour": "Color", "autocontrast": "AutoContrast"}
"""Its names, where they are not ours with large first letters."""


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("magnitude", [9, -30])
def test_each_operation_is_torchvisions(name: str, magnitude: int) -> None:
    theirs = TORCHVISION.get(name, name.title().replace("_", ""))
    amounts, is_signed = RandAugment._AUGMENTATION_SPACE[theirs]
    assert OPERATIONS[name].has_sign or not is_signed
    images = torch.randint(0, 256, (2, 3, 20, 30), generator=torch.manual_seed(0)).byte()
    values = amounts(31, 20, 30)
    amount = 0.0 if values is None else float(values[abs(magnitude)])
    sign = -1 if magnitude < 0 and OPERATIONS[name].has_sign else 1
    expected = RandAugment()._apply_image_or_video_transform(
        images, theirs, sign * amount, InterpolationMode.BILINEAR, {type(images): [9.0] * 3}
    )
    ours = Operation(name, sign * abs(magnitude) / 30)
    made = operated(images, [ours], modality="rgb", fill=[9.0] * 3)
    assert made.dtype == torch.uint8
    difference = (made.int() - expected.int()).abs()
    assert (difference > 1).float().mean() < 0.02  # float rounding at a threshold


def test_a_state_of_its_own_is_not_needed() -> None:
    before = torch.random.get_rng_state()
    asked = Augmentation(randaugment=3, randaugment_magnitude=12)
    drawn = [draw_operations(asked, ("rgb", "event"), np.random.default_rng(5)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 3
    assert {abs(operation.amount) for operation in drawn[0]} == {0.4}
    assert torch.equal(before, torch.random.get_rng_state())
    generator = np.random.default_rng(5)
    draw_operations(Augmentation(), ("rgb", "event"), generator)
    assert generator.random() == np.random.default_rng(5).random()


def test_all_operations_are_drawn_and_events_alone_get_those_of_geometry() -> None:
    generator = np.random.default_rng(0)
    asked = Augmentation(randaugment=400)
    drawn = {o.name for o in draw_operations(asked, ("rgb", "event"), generator)}
    assert drawn == set(OPERATIONS)
    drawn = {o.name for o in draw_operations(asked, ("event",), generator)}
    assert drawn == {name for name, kind in OPERATIONS.items() if kind.moves_things}
    assert "rotate" in drawn
    assert "equalize" not in drawn


def spots() -> Recording:
    """A grey frame with a dark square, and events at the square's pixels."""
    frame = np.full((1, 32, 32, 3), 200, np.uint8)
    frame[:, 12:20, 14:22] = 40
    y, x = (axis.ravel() for axis in np.mgrid[12:20, 14:22])
    events = EventStream(
        np.arange(len(x)), x.astype(np.uint16), y.astype(np.uint16), np.ones(len(x), bool), 32, 32
    )
    return Recording(events, FrameSequence.from_images(frame), "made", path=Path("made"))


def clip_with(monkeypatch: pytest.MonkeyPatch, *operations: Operation) -> Clip:
    """The clip of that recording in training, when these are drawn."""
    monkeypatch.setattr(drawing, "draw_operations", lambda *_: list(operations))
    augmentation = Augmentation(crop=1, colour=0, event_drop=0)
    config = ClipConfig(frames=1, size=32, jitter=False, augmentation=augmentation)
    return make_clip(spots(), config, generator=np.random.default_rng(0))


@pytest.mark.parametrize("name", [name for name in OPERATIONS if OPERATIONS[name].moves_things])
def test_what_moves_things_moves_both_modalities_alike(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, moved = (clip_with(monkeypatch, Operation(name, amount)) for amount in (0.0, 0.7))
    has_event = moved.events[0].float().min(0).values < 128
    frame = moved.rgb[0].float().mean(0)
    is_dark = (frame < 120) & (frame > 20)  # what comes in is black
    assert has_event.sum() > 30
    assert (has_event & is_dark).sum() > 0.9 * has_event.sum()
    assert torch.equal(moved.events, plain.events) == (name == "identity")
    assert moved.events.amax() == 255  # what comes in has no events


def test_what_changes_colours_changes_frames_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, changed = (
        clip_with(monkeypatch, Operation("brightness", amount)) for amount in (0.0, 0.5)
    )
    assert torch.equal(changed.events, plain.events)
    assert changed.rgb.float().mean() > 1.1 * plain.rgb.float().mean()


def test_the_magnitude_alone_draws_nothing_and_is_bounded() -> None:
    off = {"crop": 1.0, "colour": 0.0, "event_drop": 0.0, "randaugment_magnitude": 20}
    clip = ClipConfig(jitter=False, augmentation=Augmentation(**off))
    assert random_keys(clip) == []
    on = clip.model_copy(update={"augmentation": Augmentation(**off, randaugment=1)})
    assert random_keys(on) == ["clip.augmentation.randaugment"]
    with pytest.raises(RecipeError, match="randaugment_magnitude"):
        load_recipe("demo", {"clip.augmentation.randaugment_magnitude": 31})
