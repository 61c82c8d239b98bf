"""A run of two processes, which notes the clips of each step; test_resume starts it and kills it.

Takes a file with the recipe's keys, and a folder for the notes.
"""

import json
import os
import sys
from pathlib import Path

from lightning.pytorch import Callback

import evlora
from evlora.training import ordering
from evlora.training import run as running


class Note(Callback):
    """Writes epoch, step and clips of each step into a file of this process."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        note = [trainer.current_epoch, trainer.global_step, batch.samples]
        with (self.folder / f"{trainer.global_rank}-{os.getpid()}").open("a") as file:
            file.write(json.dumps(note) + "\n")


def main():
    settings, notes = Path(sys.argv[1]), Path(sys.argv[2])
    make = running.Trainer
    running.Trainer = lambda *, callbacks, **options: make(
        callbacks=[*callbacks, Note(notes)], **options
    )
    ordering.SHUFFLED_CHUNKS = 2
    evlora.train("demo", overrides=json.loads(settings.read_text()), resume=True)


if __name__ == "__main__":
    main()
