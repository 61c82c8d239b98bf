"""When the last checkpoint of a run is written inside an epoch, and that it is never half there."""

import time
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer

from evlora.files import writing_file


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear under their name when they are complete.

    Lightning writes into the system's folder for temporary files first; from there to another disk
    is a copy, which a kill leaves half done.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint beside its name, then rename it."""
        with writing_file(Path(path), durable=True) as temporary:
            super().save_checkpoint(checkpoint, temporary, storage_options)


class CheckpointInsideEpoch(Callback):
    """Writes the last checkpoint every `minutes`, between two steps."""

    def __init__(self, path: Path, *, minutes: float) -> None:
        self._path = path
        self._seconds = 60 * minutes
        self._written = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """An epoch begins with a checkpoint, that of the end of the one before."""
        self._written = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write one if it is time; after the last batch the end of the epoch does."""
        if batch_idx + 1 >= trainer.num_training_batches:
            return
        is_due = time.monotonic() - self._written >= self._seconds
        if trainer.world_size > 1:  # clocks differ, and all processes must take part
            is_due = trainer.strategy.broadcast(is_due)
        if is_due:
            trainer.save_checkpoint(self._path)
            self._written = time.monotonic()
