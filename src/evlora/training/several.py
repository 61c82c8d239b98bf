"""Runs of several devices and machines: what must be there before, and how long they wait."""

from datetime import timedelta

from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy

from evlora.errors import RunError
from evlora.recipe.schema import TrainingConfig

STANDING_SIGNS = ("Timed out waiting", "timed out", "Connection closed by peer", "Connection reset")
"""What torch's backends raise where another process answers no more."""


def require_rendezvous(trainer: Trainer, training: TrainingConfig) -> None:
    """Check that something has started the processes of all machines.

    Raises:
        RunError: Several machines are asked for, and this process knows of no others.
    """
    strategy = trainer.strategy
    is_alone = isinstance(strategy, ParallelStrategy) and isinstance(
        strategy.cluster_environment, LightningEnvironment
    )
    if training.nodes > 1 and is_alone:
        raise RunError(
            f"training.nodes: expected processes on {training.nodes} machines, started by torchrun "
            "or srun, this one was started alone; run on each machine: torchrun "
            f"--nnodes={training.nodes} --nproc-per-node=DEVICES --rdzv-backend=c10d "
            "--rdzv-endpoint=FIRST_MACHINE:29500 -m evlora train RECIPE … --resume"
        )


def limit_waiting(trainer: Trainer, training: TrainingConfig) -> None:
    """Let the processes of a run end where one of them stands still for too long."""
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy):
        # Which strategy it is Lightning decides when it has counted the devices; the processes
        # connect later.
        limit = timedelta(minutes=training.standing_minutes)
        strategy._timeout = limit  # pyright: ignore[reportPrivateUsage]


def is_standing(error: Exception) -> bool:
    """Whether an error is that another process answers no more."""
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in STANDING_SIGNS)
