"""Runs of two ranks, which note the clips of each step: an undisturbed one, and one that is killed.

Takes a file with the recipe's keys, and a folder for runs and notes. The second run is killed
inside its second epoch, and resumed. All ranks are forked from this process, which has imported
everything: a start takes a moment.
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
from evlora.training import ordering

KILLED_AT = [1, 14]
"""Epoch and step."""


class Note(Callback):
    """Writes epoch, step and clips of each step into a file of this process.

    Before the step: a kill between its checkpoint and a note behind it would lose the note.
    """

    def __init__(self, folder):
        self.folder = folder

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        note = [trainer.current_epoch, trainer.global_step, batch.samples]
        with (self.folder / f"{trainer.global_rank}-{os.getpid()}").open("a") as file:
            file.write(json.dumps(note) + "\n")


def start(settings, folder, name):
    """Fork the two ranks of a run."""
    notes = folder / f"{name}-notes"
    notes.mkdir(exist_ok=True)
    keys = {**settings, "run.dir": str(folder / name)}

    def train():
        evlora.train("demo", overrides=keys, resume=True, callbacks=[Note(notes)])

    port = free_port()
    return [fork(train, environment("torchrun", rank, 2, port)) for rank in range(2)], notes


def codes_of(ranks):
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in ranks]


def reaches(notes, place):
    """Whether a rank has noted this step."""
    begin = json.dumps(place)[:-1] + ","
    return any(
        line.startswith(begin) for path in notes.iterdir() for line in path.read_text().splitlines()
    )


def main():
    settings, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    ordering.SHUFFLED_CHUNKS = 2
    assert codes_of(start(settings, folder, "calm")[0]) == [0, 0]
    ranks, notes = start(settings, folder, "killed")
    while not reaches(notes, KILLED_AT):
        time.sleep(0.02)
    for child in ranks:
        os.kill(child, signal.SIGKILL)
    assert codes_of(ranks) == [-signal.SIGKILL] * 2
    assert codes_of(start(settings, folder, "killed")[0]) == [0, 0]


if __name__ == "__main__":
    main()
