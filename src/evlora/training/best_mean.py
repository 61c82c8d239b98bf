"""The mean of what was learned in the best epochs (Izmailov et al., UAI 2018, of single runs)."""

from typing import Any, NamedTuple, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from evlora.errors import RecipeError
from evlora.recipe import Recipe
from evlora.training.best import ACCURACY, LOSS
from evlora.training.module import RecognizerModule

Figures = tuple[float, float]
"""Accuracy on the val split, and minus the loss there: the larger, the better."""


class Mean(NamedTuple):
    """What the best epochs give together."""

    epochs: list[int]
    """Which they are, from 1, in their order."""
    tensors: dict[str, Tensor]
    """The mean of what was learned, by name; of counts, those of the latest epoch."""
    best: Figures
    """Of the best epoch alone."""


class BestEpochs(Callback):
    """Keeps what was learned in the best epochs on the val split, by the order of `BestEpoch`.

    It lies in the checkpoints, so that a resumed run has the epochs of an unbroken one.

    Args:
        count: How many epochs.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: list[dict[str, Any]] = []
        """By what `_rank` gives, the best one first."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep this epoch where it is among the best; the callbacks that save come after it."""
        found = trainer.callback_metrics
        if ACCURACY not in found:
            return
        module = cast(RecognizerModule, pl_module)
        epoch = {
            "epoch": trainer.current_epoch + 1,
            "top1": float(found[ACCURACY]),
            "loss": float(found[LOSS]),
            "tensors": {name: t.cpu().clone() for name, t in module.validated_tensors().items()},
        }
        self._kept = sorted([*self._kept, epoch], key=_rank, reverse=True)[: self._count]

    def mean(self) -> Mean | None:
        """What they give together; None of fewer than two."""
        if len(self._kept) < 2:
            return None
        in_order = sorted(self._kept, key=lambda epoch: epoch["epoch"])
        parts = [epoch["tensors"] for epoch in in_order]
        tensors = {
            name: torch.stack([part[name] for part in parts]).mean(0)
            if last.is_floating_point()
            else last
            for name, last in parts[-1].items()
        }
        return Mean([epoch["epoch"] for epoch in in_order], tensors, _figures(self._kept[0]))

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from."""
        return {"kept": self._kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._kept = state_dict["kept"]


def _figures(epoch: dict[str, Any]) -> Figures:
    return epoch["top1"], -epoch["loss"]


def _rank(epoch: dict[str, Any]) -> tuple[Figures, int]:
    return _figures(epoch), epoch["epoch"]


def require_averageable(recipe: Recipe) -> None:
    """Refuse a mean of epochs where no epoch is chosen, or where it is none of them.

    Raises:
        RecipeError: The last epoch is kept, or the adapter changes its ranks.
    """
    if recipe.training.average_best == 1:
        return
    if recipe.training.keep != "best":
        raise RecipeError(
            "training.average_best: expected training.keep=best, by which epochs are chosen, got "
            f"{recipe.training.keep}; set training.average_best=1 or training.keep=best"
        )
    if recipe.model.adapter.method == "adalora":
        raise RecipeError(
            "training.average_best: AdaLoRA takes ranks away, which a mean with earlier epochs "
            "would bring back; set training.average_best=1 or choose another method"
        )
