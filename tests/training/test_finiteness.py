"""What is infinite or NaN is not learned from, not saved, and refused where it is read."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

import evlora
from evlora.errors import RecipeError, RunError
from evlora.recipe import load_recipe
from evlora.training.finiteness import BatchGuard, non_finite_names
from evlora.training.module import LEARNED, RecognizerModule

NAN, INFINITE = float("nan"), float("inf")


def spoil(monkeypatch: pytest.MonkeyPatch, calls: set[int], factor: float) -> None:
    """Multiply the loss of these calls of the objective."""
    learn = RecognizerModule._learn_from
    seen = []

    def spoiled(module: RecognizerModule, batch: Any) -> Any:
        seen.append(batch)
        logits, loss = learn(module, batch)
        return logits, loss * factor if len(seen) in calls else loss

    monkeypatch.setattr(RecognizerModule, "_learn_from", spoiled)


def learned_of(path: Path) -> dict[str, Any]:
    state = torch.load(path, weights_only=True)
    return {name: state[name] for name in LEARNED if name in state}


def state_of(folder: Path) -> dict[str, Any]:
    path = folder / "checkpoints" / "last.ckpt"
    assert not list(non_finite_names(learned_of(path)))
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("factor", [NAN, INFINITE])
def test_a_batch_whose_loss_is_not_finite_ends_the_run_and_is_named(
    factor: float, own_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {5}, factor)
    with pytest.raises(
        RunError, match=r"step 5 \(epoch 2, batch 2\).*samples \S+, \S+, \S+, \S+; "
    ) as raised:
        evlora.train("nano_photographs", overrides=own_settings)
    assert "training.learning_rate" in str(raised.value)
    state = state_of(Path(own_settings["run.dir"]))
    assert state["epoch"] == 0


def test_batches_are_skipped_as_often_as_the_recipe_allows(
    own_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {2, 3, 5}, NAN)
    lines: list[str] = []
    settings = {**own_settings, "training.skip_batches": 2, "training.ema": 0.5}
    with pytest.raises(RunError, match=r"step 5 .*, after 2 skipped batches"):
        evlora.train("nano_photographs", overrides=settings, report=lines.append)
    skipped = [line for line in lines if line.startswith("warning: step")]
    assert ["the batch is skipped, 1 of at most 2" in line for line in skipped] == [True, False]
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 1
    assert not any("nan" in line for line in epochs)
    state = state_of(Path(settings["run.dir"]))
    assert state["skipped_batches"] == 2


def test_a_skipped_batch_changes_no_weight(
    own_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {3}, INFINITE)
    settings = {**own_settings, "training.skip_batches": 1, "training.checkpoint_minutes": 0}
    before, after = {}, {}
    step = RecognizerModule.optimizer_step

    def noted(module: RecognizerModule, epoch: int, batch: int, *rest: Any, **options: Any) -> None:
        learned = module.recognizer.learned_tensors()
        if (epoch, batch) == (0, 2):
            before.update({name: tensor.detach().clone() for name, tensor in learned.items()})
        step(module, epoch, batch, *rest, **options)
        if (epoch, batch) == (0, 2):
            after.update({name: tensor.detach().clone() for name, tensor in learned.items()})

    monkeypatch.setattr(RecognizerModule, "optimizer_step", noted)
    evlora.train("nano_photographs", overrides={**settings, "training.epochs": 1})
    assert before
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("rate", [1e6, 1e38])
def test_a_rate_that_makes_weights_infinite_saves_none_of_them(
    rate: float, own_settings: dict[str, Any]
) -> None:
    settings = {**own_settings, "training.learning_rate": rate, "training.warmup_epochs": 0}
    lines: list[str] = []
    with suppress(RunError):  # weights of 1e6 may still be finite
        run = evlora.train("nano_photographs", overrides=settings, report=lines.append)
        json.loads((run.dir / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert lines
    assert not any("nan" in line for line in lines)
    for path in Path(settings["run.dir"]).glob("checkpoints/*.ckpt"):
        assert not list(non_finite_names(learned_of(path)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.learning_rate", ".inf"),
        ("training.weight_decay", ".nan"),
        ("training.mixup", "-.inf"),
        ("model.adapter", "{method: lora, alpha: .nan}"),
        ("clip.exposure", ".nan"),
    ],
)
def test_settings_that_are_not_finite_are_refused(key: str, value: str) -> None:
    with pytest.raises(RecipeError, match=r"\w+\.\S+: expected a"):
        load_recipe("demo", [f"{key}={value}"])


def test_a_scaler_of_half_precision_may_meet_gradients_that_are_too_large() -> None:
    guard = BatchGuard(skipped=0)
    loss, gradients = torch.tensor(1.0), [torch.tensor([INFINITE])]
    assert guard.is_sound(loss, gradients, overflows=True)
    assert not guard.is_sound(loss, gradients, overflows=False)
    assert not guard.is_sound(torch.tensor(NAN), [], overflows=True)
