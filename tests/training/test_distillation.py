"""A recognizer that learns from another one's answers as well as from the labels."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy, softmax

import evlora
from evlora.clips import Batch
from evlora.errors import RecipeError
from evlora.recipe import build
from evlora.training.distillation import Teacher


def test_the_teachers_share_is_the_divergence_at_the_temperature(
    short_settings: dict[str, Any],
) -> None:
    teacher = build("nano_photographs", num_classes=3, overrides=short_settings)
    batch = Batch(torch.randint(0, 256, (2, 1, 3, 32, 32), dtype=torch.uint8), None, None, [])
    logits = torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 0.5]], requires_grad=True)
    loss = torch.tensor(0.7)
    blended = Teacher(teacher, weight=0.25, temperature=3.0).blended(loss, logits, batch)
    known = softmax(teacher.eval()(teacher.normalize(batch.rgb), None).logits / 3, dim=1)
    divergence = cross_entropy(logits / 3, known) - cross_entropy(known.log(), known)
    assert blended.item() == pytest.approx(0.75 * 0.7 + 0.25 * 9 * divergence.item(), abs=1e-5)
    blended.backward()
    assert logits.grad is not None
    assert all(p.grad is None for p in teacher.parameters())


def test_a_run_learns_from_a_bundle_and_keeps_nothing_of_it(
    calm_run: Path, own_settings: dict[str, Any]
) -> None:
    asked = {"training.distillation": {"bundle": str(calm_run), "weight": 1.0}}
    run = evlora.train("nano_photographs", overrides={**own_settings, **asked})
    learned, former = (evlora.load_bundle(path) for path in (run.bundle, calm_run))
    assert learned.learned_tensors().keys() == former.learned_tensors().keys()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"training.mixup": 0.5}, "expected clips as they are"),
        ({"clip.size": 48}, "clip.size is 32 there, 48 here"),
    ],
    ids=["mixed clips", "other clips"],
)
def test_a_teacher_that_cannot_be_learned_from_is_refused(
    changes: dict[str, Any], reason: str, calm_run: Path, own_settings: dict[str, Any]
) -> None:
    asked = {"training.distillation": {"bundle": str(calm_run)}, **changes}
    with pytest.raises(RecipeError, match=reason):
        evlora.train("nano_photographs", overrides={**own_settings, **asked})
