"""A run of two processes, of which the second one stands still in its second step.

Takes a file with the recipe's keys. Writes what the first one reports.
"""

import json
import sys
import time
from pathlib import Path

from lightning.pytorch import Callback

import evlora
from evlora.errors import RunError


class Stand(Callback):
    """Waits far longer than the first process does."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_rank == 1 and trainer.global_step == 1:
            time.sleep(120)


def main():
    settings = json.loads(Path(sys.argv[1]).read_text())
    try:
        evlora.train("nano_photographs", overrides=settings, callbacks=[Stand()])
    except RunError as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")


if __name__ == "__main__":
    main()
