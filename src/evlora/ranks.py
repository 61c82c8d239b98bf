"""Which of the processes of a command this is: they all run the same one."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

from evlora.errors import EvloraError, RunError

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")
"""Set by torchrun, or by Lightning for the processes that it starts for further devices."""
OF_TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR")
OF_SRUN = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
"""The second one is of a step: the batch file itself, which starts the step, has it not."""


class AllRanksError(RunError):
    """A run ends for a reason that all of its processes share; rank 0 alone reports it."""


class OneRankError(RunError):
    """A run ends because of what one of its processes met; the others wait for it in vain."""


class Place(NamedTuple):
    """The place of a process among those of a command."""

    rank: int
    size: int
    local_rank: int
    """Its number on its own machine."""


def launched() -> Place | None:
    """This process's place among those that torchrun or srun has started, if it is one of them."""
    here = os.environ
    if all(name in here for name in OF_TORCHRUN):
        return Place(int(here["RANK"]), int(here["WORLD_SIZE"]), int(here.get("LOCAL_RANK", "0")))
    if all(name in here for name in OF_SRUN):
        rank, size = (int(here[name]) for name in OF_SRUN)
        return Place(rank, size, int(here.get("SLURM_LOCALID", "0")))
    return None


def is_first_rank() -> bool:
    """Whether this process is the one that prints, and writes files, for all of them."""
    distributed = sys.modules.get("torch.distributed")  # not worth an import of torch
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank() == 0
    place = launched()
    if place is not None:
        return place.rank == 0
    return all(os.environ.get(name, "0") == "0" for name in RANK_VARIABLES)


@contextmanager
def alike_on_a_machine() -> Generator[None]:
    """Let one process of each machine report what all of them meet there.

    For what is read before the processes meet: the words of the command, a recipe, a dataset's
    index. Another machine may lack a file, so that its first process reports as well.

    Raises:
        AllRanksError: In the others, in place of an error.
    """
    try:
        yield
    except EvloraError as error:
        place = launched()
        if place is not None and place.local_rank > 0:
            raise AllRanksError("the first process of this machine reports why") from error
        raise
