"""The mean of the best epochs: which they are, what their mean is, and when it is kept."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from lightning.pytorch import Trainer

import evlora
from evlora.bundle import load_bundle
from evlora.datasets import read_manifest
from evlora.errors import RecipeError
from evlora.evaluation import evaluate
from evlora.recognizer import Recognizer
from evlora.training import kept
from evlora.training.best_mean import BestEpochs, Mean


class Epoch:
    """What the callback asks a trainer and a module for, of an epoch."""

    def __init__(self, number: int, top1: float, loss: float) -> None:
        self.current_epoch = number - 1
        self.callback_metrics = {"val/top1": torch.tensor(top1), "val/loss": torch.tensor(loss)}

    def validated_tensors(self) -> dict[str, torch.Tensor]:
        number = self.current_epoch + 1
        return {"weight": torch.full((2,), float(number)), "seen": torch.tensor(number)}


def after(best: BestEpochs, *epochs: tuple[int, float, float]) -> BestEpochs:
    for values in epochs:
        epoch = cast(Any, Epoch(*values))
        best.on_train_epoch_end(cast(Trainer, epoch), epoch)
    return best


def test_the_best_epochs_are_averaged_with_ties_broken_by_loss_then_for_the_latest() -> None:
    best = after(BestEpochs(2), (1, 0.5, 0.9))
    assert best.mean() is None
    after(best, (2, 0.75, 0.5), (3, 0.5, 0.8), (4, 0.5, 0.8))
    resumed = BestEpochs(2)
    resumed.load_state_dict(best.state_dict())
    mean = resumed.mean()
    assert mean is not None
    assert mean.epochs == [2, 4]
    assert mean.best == (0.75, -0.5)
    assert mean.tensors["weight"].tolist() == [3, 3]
    assert mean.tensors["seen"] == 4  # a count is not averaged


def kept_tensors(folder: Path) -> tuple[Recognizer, list[dict[str, Any]]]:
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return load_bundle(folder), state["callbacks"]["BestEpochs"]["kept"]


@pytest.mark.slow
def test_the_bundle_holds_the_mean_and_its_accuracy(
    own_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    mean_of = BestEpochs.mean

    def better_than_the_best(self: BestEpochs) -> Mean | None:
        mean = mean_of(self)
        return None if mean is None else mean._replace(best=(-1.0, 0.0))

    monkeypatch.setattr(BestEpochs, "mean", better_than_the_best)
    lines: list[str] = []
    settings = {**own_settings, "training.average_best": 2}
    run = evlora.train("nano_photographs", overrides=settings, report=lines.append)
    bundle, epochs = kept_tensors(run.dir)
    for name, tensor in bundle.learned_tensors().items():
        both = [epoch["tensors"][name] for epoch in epochs]
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, (both[0] + both[1]) / 2)
    assert run.metrics["averaged_epochs"] == 2
    (line,) = [line for line in lines if line.startswith("mean of the epochs 1, 2: ")]
    assert line.endswith("the mean is kept")
    manifest = read_manifest(settings["data.root"])
    measured = evaluate(bundle, manifest, split="val").top1
    assert measured == pytest.approx(run.metrics["val_top1"])


@pytest.mark.slow
def test_a_mean_that_is_worse_is_not_kept(
    own_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "validate", lambda *_, **__: (0.0, 99.0))
    settings = {**own_settings, "training.average_best": 3}
    run = evlora.train("nano_photographs", overrides=settings)
    bundle, epochs = kept_tensors(run.dir)
    (best,) = [epoch for epoch in epochs if epoch["epoch"] == run.metrics["epoch"]]
    assert all(torch.equal(t, best["tensors"][n]) for n, t in bundle.learned_tensors().items())
    assert "averaged_epochs" not in run.metrics


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"training.keep": "last"}, r"training\.average_best: expected training\.keep=best"),
        ({"model.adapter": {"method": "adalora"}}, r"training\.average_best: AdaLoRA takes ranks"),
    ],
    ids=["last", "adalora"],
)
def test_epochs_without_a_mean_are_refused(
    keys: dict[str, Any], message: str, own_settings: dict[str, Any]
) -> None:
    settings = {**own_settings, "training.average_best": 2, **keys}
    with pytest.raises(RecipeError, match=message):
        evlora.train("nano_photographs", overrides=settings)
