"""What a run reports while it trains."""

import time
from collections.abc import Callable

from lightning.pytorch import Callback, LightningModule, Trainer


class EpochLine(Callback):
    """Reports one line per epoch."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._begun = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when it began; a run that goes on inside an epoch does not begin that epoch."""
        self._begun = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when the epoch began."""
        self._begun = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how the epoch went; validation has run by now."""
        if not trainer.is_global_zero:
            return
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        trained = "all batches skipped  "
        if "train/loss" in figures:
            trained = f"loss {figures['train/loss']:.4f}  train {figures['train/top1']:.1%}  "
        validated = f"val {figures['val/top1']:.1%}  " if "val/top1" in figures else ""
        self._report(
            f"epoch {trainer.current_epoch + 1:>3}/{trainer.max_epochs}  "
            f"{trained}{validated}{time.monotonic() - self._begun:.0f} s"
        )
