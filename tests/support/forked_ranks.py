"""Trains with two ranks that another launcher has started; prints what each of them reported.

Takes a file with the recipe's keys, and `torchrun` or `slurm`, whose environment variables the
ranks get. They are forked from this process, which has imported everything: a start takes a moment.
"""

import json
import os
import socket
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import lightning.pytorch.loggers  # noqa: E402, F401 - imported before the forks
import torch  # noqa: E402

import evlora  # noqa: E402
from evlora.errors import RunError  # noqa: E402
from evlora.training import run as running  # noqa: E402, F401


def environment(launcher: str, rank: int, port: int) -> dict[str, str]:
    """The variables that the launcher sets for a rank of two."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if launcher == "torchrun":
        return place | {
            "TORCHELASTIC_RUN_ID": "1",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "GROUP_RANK": "0",
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
        }
    return place | {
        "SLURM_JOB_ID": "41",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "127.0.0.1",
    }


def start(launcher: str, rank: int, port: int, settings: dict) -> int:
    """Fork a rank."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.environ |= environment(launcher, rank, port)
        torch.set_num_threads(1)
        evlora.train(
            "nano_photographs",
            overrides=settings,
            report=lambda line: print(f"{rank}: {line}", flush=True),  # noqa: T201
        )
        code = 0
    except RunError as error:
        print(f"{rank}: {type(error).__name__}: {error}", flush=True)  # noqa: T201
        code = 2
    finally:
        os._exit(code)


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())
    for _ in ("a new run", "the same again, which is refused"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        ranks = [start(sys.argv[2], rank, port, settings) for rank in range(2)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in ranks]
        print(f"codes {codes}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
