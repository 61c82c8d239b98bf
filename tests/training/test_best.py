"""The best epoch: by accuracy, then by loss, then the latest, in a resumed run as well."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from evlora.datasets import Manifest
from evlora.datasets.samples import Sample
from evlora.training.best import BestEpoch, cautions

Epochs = list[tuple[float, float]]


class Scripted(LightningModule):
    """Reports an accuracy and a loss for each epoch, and learns nothing."""

    def __init__(self, epochs: Epochs) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.epochs = epochs

    def training_step(self, *_: Any) -> torch.Tensor:
        return self.weight.sum()

    def validation_step(self, *_: Any) -> None:
        top1, loss = self.epochs[self.current_epoch]
        self.log("val/top1", top1)
        self.log("val/loss", loss)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def kept_epoch(folder: Path, epochs: Epochs, *, stop_after: int | None = None) -> int:
    resumed: str | None = None
    best = BestEpoch(folder)
    for until in [stop_after, len(epochs)] if stop_after else [len(epochs)]:
        best = BestEpoch(folder)
        trainer = Trainer(
            max_epochs=until,
            accelerator="cpu",
            callbacks=[best],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        batches = DataLoader(torch.zeros(1, 1))
        trainer.fit(Scripted(epochs), batches, batches, ckpt_path=resumed, weights_only=True)
        resumed = str(folder / "resumed.ckpt")
        trainer.save_checkpoint(resumed)
    state = torch.load(best.best_model_path, weights_only=True)
    assert float(best.best_model_score or 0) == pytest.approx(max(top1 for top1, _ in epochs))
    return state["epoch"] + 1


@pytest.mark.filterwarnings("ignore:The dataloader:UserWarning")
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
@pytest.mark.parametrize("stop_after", [None, 2])
@pytest.mark.parametrize(
    ("epochs", "kept"),
    [
        ([(0.4, 2.0), (0.6, 2.5), (0.5, 0.1)], 2),
        ([(0.5, 2.0), (0.5, 1.0), (0.5, 1.5)], 2),
        ([(0.5, 2.0), (0.5, 1.0), (0.5, 1.0), (0.4, 0.1)], 3),
        ([(1.0, 1.0), (1.0, float("nan")), (0.0, 0.0)], 1),
    ],
)
def test_the_best_epoch_is_that_of_accuracy_then_loss_then_the_latest(
    tmp_path: Path, epochs: Epochs, kept: int, stop_after: int | None
) -> None:
    assert kept_epoch(tmp_path, epochs, stop_after=stop_after) == kept


def dataset(validation: dict[str, int]) -> Manifest:
    samples = [
        Sample(f"{label}{number}", None, "x.png", label, "val")
        for label, count in validation.items()
        for number in range(count)
    ]
    return Manifest("csv", Path(), ("a", "b", "c"), tuple(samples))


def test_a_small_validation_and_one_without_a_class_are_cautioned_against() -> None:
    few, missing = cautions(dataset({"a": 4, "b": 3}))
    assert few.startswith("the best epoch is chosen on 7 validation clips, of which each counts 14")
    assert "data.validation_fraction" in few
    assert missing.startswith("validation has no clip of 1 of 3 classes (c)")
    assert len(cautions(dataset({"a": 50, "b": 3}))) == 1
    assert cautions(dataset({"a": 20, "b": 20, "c": 10})) == []
    assert cautions(dataset({})) == []
