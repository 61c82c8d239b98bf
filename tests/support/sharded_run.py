"""Runs of two ranks, over whole backbones and over divided ones; prints what the first rank holds.

Takes a file with the recipe's keys, and a folder for the runs. All ranks are forked from this
process, which has imported everything: a start takes a moment.
"""

import json
import os
import sys
from pathlib import Path

from forked_commands import environment, fork, free_port
from lightning.pytorch import Callback
from torch.distributed.tensor import DTensor

import evlora
from evlora.models.backbone import BackboneBlock


class Weigh(Callback):
    """Counts the frozen numbers of blocks that lie in the memory of this process."""

    def on_train_end(self, trainer, pl_module):
        stored = {}
        modules = pl_module.recognizer.modules()
        for block in (module for module in modules if isinstance(module, BackboneBlock)):
            for parameter in block.parameters():
                if not parameter.requires_grad:
                    local = parameter.to_local() if isinstance(parameter, DTensor) else parameter
                    stored[local.untyped_storage().data_ptr()] = local.numel()
        if trainer.is_global_zero:
            name = type(trainer.strategy).__name__
            print(f"held {name} {sum(stored.values())}", flush=True)  # noqa: T201


def main():
    settings, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    for name in ("ddp", "fsdp"):
        keys = {**settings, "training.strategy": name, "run.dir": str(folder / name)}

        def train(keys=keys):
            evlora.train("demo", overrides=keys, callbacks=[Weigh()])

        port = free_port()
        ranks = [fork(train, environment("torchrun", rank, 2, port)) for rank in range(2)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in ranks]
        assert codes == [0, 0], codes


if __name__ == "__main__":
    main()
