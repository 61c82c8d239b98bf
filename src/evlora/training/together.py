"""What the first rank of a run decides for all of them: whether its folder is free, above all."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import ParallelStrategy

from evlora.ranks import AllRanksError
from evlora.recipe import Recipe
from evlora.training.checkpoints import without_damage
from evlora.training.folder import (
    CHECKPOINTS,
    METRICS_FILE,
    claim,
    folder_of,
    has_more_epochs,
    holding_folder,
    read_metrics,
)

Report = Callable[[str], None]
Found = tuple[dict[str, float] | None, Path | None]
"""The figures of a run that is finished already, or the checkpoint where another one resumes."""
Decided = TypeVar("Decided")


def claim_together(
    trainer: Trainer, recipe: Recipe, held: ExitStack, *, resume: bool, report: Report
) -> Found:
    """Let the first rank hold the run's folder, and return what is in it.

    Args:
        trainer: Of the run.
        recipe: Of the run.
        held: Keeps the folder until it is closed.
        resume: Whether a run in the folder is resumed.
        report: Takes a line about what is damaged there.

    Raises:
        RunError: The folder is in use, or holds a run already, or one of another recipe.
    """

    def hold() -> Found:
        held.enter_context(holding_folder(folder_of(recipe)))
        return _found(recipe, resume=resume, report=report)

    if not _starts_others(trainer):
        return first_decides(trainer, hold)
    if trainer.is_global_zero:
        return hold()
    return _found(recipe, resume=True, report=lambda line: None)  # as the first one did


def _found(recipe: Recipe, *, resume: bool, report: Report) -> Found:
    folder = folder_of(recipe)
    claim(recipe, resume=resume)
    if (folder / METRICS_FILE).is_file() and not has_more_epochs(recipe):
        return read_metrics(folder), None
    return None, without_damage(folder / CHECKPOINTS, report)


def first_decides(trainer: Trainer, decide: Callable[[], Decided]) -> Decided:
    """What this returns, or raises, in the first rank; it is not called in the others.

    Args:
        trainer: Of the run; its ranks are connected if they are not yet.
        decide: What only one process may do.

    Raises:
        AllRanksError: In the other ranks, where it raised in the first.
    """
    error: Exception | None = None
    outcome: list[Decided] = []
    if trainer.is_global_zero:
        try:
            outcome.append(decide())
        except Exception as raised:
            error = raised
    if trainer.world_size > 1:
        if not torch.distributed.is_initialized():
            trainer.strategy.setup_environment()
        outcome = trainer.strategy.broadcast(outcome)
    if error is not None:
        raise error
    if not outcome:
        raise AllRanksError("the first rank has ended the run; it reports why")
    return outcome[0]


def _starts_others(trainer: Trainer) -> bool:
    """Whether this process, or the one that started it, starts the others when training starts.

    Until then the first rank is alone, and what it decides is done when the others begin.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return False
    strategy = trainer.strategy
    return isinstance(strategy, ParallelStrategy) and isinstance(
        strategy.cluster_environment, LightningEnvironment
    )
