"""Which epoch is the best one, and when that is hardly more than chance."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from evlora.datasets import Manifest
from evlora.messages import listed

ACCURACY, LOSS = "val/top1", "val/loss"
ENOUGH_CLIPS = 50
"""Validation clips below which an epoch is chosen by few answers."""


class BestEpoch(ModelCheckpoint):
    """Keeps the epoch of the best accuracy on the val split.

    Of several with the same accuracy, it is the one of the least loss there, then the latest: few
    clips give the same accuracy often, and the first epochs have seen the least.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder,
            filename="best",
            monitor=ACCURACY,
            mode="max",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self._loss = math.inf

    @property
    def state_key(self) -> str:
        """The name in checkpoints, which is that of Lightning's class, as in earlier ones."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__)

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Whether this epoch is kept in place of the one before."""
        if current is None:
            return False
        loss = float(trainer.callback_metrics.get(LOSS, math.inf))
        best = -math.inf if self.best_model_score is None else float(self.best_model_score)
        is_better = (float(current), -loss) >= (best, -self._loss)
        is_better = bool(trainer.strategy.reduce_boolean_decision(is_better))
        if is_better:
            self._loss = loss
        return is_better

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run compares its epochs with."""
        return {**super().state_dict(), "loss": self._loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there; checkpoints of earlier versions note no loss."""
        super().load_state_dict(state_dict)
        self._loss = state_dict.get("loss", math.inf)


def cautions(manifest: Manifest) -> list[str]:
    """What to know where the best epoch is chosen on the val split of this dataset."""
    samples = [sample for sample in manifest.samples if sample.split == "val"]
    if not samples:
        return []
    found: list[str] = []
    if len(samples) < ENOUGH_CLIPS:
        found.append(
            f"the best epoch is chosen on {len(samples)} validation clips, of which each counts "
            f"{100 / len(samples):.1f} points; hold out more with data.validation_fraction, or set "
            "training.keep=last"
        )
    counts = Counter(sample.label for sample in samples)
    missing = [label for label in manifest.labels if not counts[label]]
    if missing:
        found.append(
            f"validation has no clip of {len(missing)} of {len(manifest.labels)} classes "
            f"({listed(missing)}), so that their accuracy does not count for the best epoch"
        )
    return found
