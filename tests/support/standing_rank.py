"""A run of two ranks, of which the second one stands still in its second step.

Takes a file with the recipe's keys. Writes what the first one reports. Both are forked from this
process, which has imported everything.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from forked_commands import environment, fork, free_port
from lightning.pytorch import Callback

import evlora
from evlora.errors import RunError


class Stand(Callback):
    """Waits far longer than the first process does."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_rank == 1 and trainer.global_step == 1:
            time.sleep(120)


def train():
    settings = json.loads(Path(sys.argv[1]).read_text())
    try:
        evlora.train("nano_photographs", overrides=settings, callbacks=[Stand()])
    except RunError as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")


def main():
    port = free_port()
    first, second = (fork(train, environment("torchrun", rank, 2, port)) for rank in range(2))
    os.waitpid(first, 0)
    os.kill(second, signal.SIGKILL)
    os.waitpid(second, 0)


if __name__ == "__main__":
    main()
