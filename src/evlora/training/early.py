"""A run that ends when validation improves no more."""

from collections.abc import Callable

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from evlora.training.best import ACCURACY


class StopEarly(EarlyStopping):
    """Ends a run after some epochs in a row without a better accuracy on the val split.

    Args:
        patience: How many.
        report: Takes a line when the run ends by this.
    """

    def __init__(self, *, patience: int, report: Callable[[str], None]) -> None:
        super().__init__(ACCURACY, mode="max", patience=patience, check_on_train_epoch_end=True)
        self._report = report

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Train no further epoch where a run resumes that had ended by this before it was killed.

        With more epochs than before it may go on where it improves.
        """
        if self.wait_count >= self.patience:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report why the run has ended before its last epoch."""
        if self.wait_count >= self.patience:
            self._report(f"no better epoch in {self.wait_count}: the run ends (training.patience)")
