"""Runs commands of evlora in several processes, each command as torchrun or srun starts it.

Takes the number of ranks, `torchrun` or `slurm`, and a file with a list of commands. Prints what
all ranks print, and the codes with which they end. They are forked from this process, which has
imported everything: a start takes a moment.
"""

import json
import os
import socket
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

warnings.simplefilter("ignore")

import lightning.pytorch.loggers  # noqa: E402, F401 - imported before the forks
import torch  # noqa: E402

import evlora.packing  # noqa: E402
import evlora.prediction  # noqa: E402
import evlora.training.run  # noqa: E402, F401
from evlora.cli.main import run  # noqa: E402


def environment(launcher: str, rank: int, size: int, port: int) -> dict[str, str]:
    """The variables that the launcher sets for a rank."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if launcher == "torchrun":
        return place | {
            "TORCHELASTIC_RUN_ID": "1",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "GROUP_RANK": "0",
            "WORLD_SIZE": str(size),
            "LOCAL_WORLD_SIZE": str(size),
        }
    return {
        "SLURM_JOB_ID": str(port),  # of which Lightning makes the port
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": str(size),
        "SLURM_STEP_NUM_TASKS": str(size),
        "SLURM_NTASKS_PER_NODE": str(size),
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "127.0.0.1",
    }


def fork(work: Callable[[], object], own: dict[str, str]) -> int:
    """Fork a rank with its variables, which does this work."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.environ |= own
        torch.set_num_threads(1)
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def free_port() -> int:
    """A port at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def main() -> None:
    size, launcher, commands = (
        int(sys.argv[1]),
        sys.argv[2],
        json.loads(Path(sys.argv[3]).read_text()),
    )
    for words in commands:
        sys.argv = ["evlora", *words]
        port = free_port()
        ranks = [fork(run, environment(launcher, rank, size, port)) for rank in range(size)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in ranks]
        print(f"codes {codes}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
