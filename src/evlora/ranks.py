"""Which of the processes of a run this is: they all run the same command."""

import os
import sys

from evlora.errors import RunError

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")
"""Set by torchrun, or by Lightning for the processes that it starts for further devices."""


class AllRanksError(RunError):
    """A run ends for a reason that all of its processes share; rank 0 alone reports it."""


class OneRankError(RunError):
    """A run ends because of what one of its processes met; the others wait for it in vain."""


def is_first_rank() -> bool:
    """Whether this process is the one that prints, and writes files, for all of them."""
    distributed = sys.modules.get("torch.distributed")  # not worth an import of torch
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank() == 0
    return all(os.environ.get(name, "0") == "0" for name in RANK_VARIABLES)
