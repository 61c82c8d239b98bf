"""Weights & Biases and MLflow as further places for a run's numbers, beside CSV and TensorBoard."""

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger

from evlora.errors import RunError
from evlora.recipe import Recipe

LoggerName = Literal["wandb", "mlflow"]
PROJECT = "evlora"
"""What W&B calls a project and MLflow an experiment, if the environment names none."""


@contextmanager
def loggers_named(names: Sequence[LoggerName], folder: Path) -> Generator[tuple[Logger, ...]]:
    """The loggers of these names, and their end.

    Both take their settings from the variables of the environment that their own documentation
    names. Without any, MLflow writes into the run's folder; `WANDB_MODE=offline` does that for W&B.

    Args:
        names: Of the loggers.
        folder: The run's.

    Raises:
        RunError: A package is missing.
    """
    for name in names:
        if find_spec(name) is None:
            raise RunError(f'run.loggers: {name} is not installed; pip install "evlora[{name}]"')
    made = tuple(_MAKERS[name](folder) for name in names)
    try:
        yield made
    except BaseException:
        _finish(names, code=1)
        raise
    _finish(names, code=0)


def begin_logging(loggers: Sequence[Logger], recipe: Recipe) -> None:
    """Open the loggers and give them the recipe.

    Raises:
        RunError: One cannot begin, for lack of a key or a server.
    """
    for logger in loggers:
        try:
            logger.log_hyperparams(recipe.model_dump(mode="json", exclude={"comparison"}))
        except Exception as error:  # of their own classes, by what their servers answer
            raise RunError(
                f"run.loggers: {type(logger).__name__} cannot begin: {str(error).strip()}; set "
                "what it needs in the environment, or WANDB_MODE=offline, or leave the key empty"
            ) from error


def _wandb(folder: Path) -> Logger:
    project = os.environ.get("WANDB_PROJECT", PROJECT)
    return WandbLogger(name=folder.name, save_dir=folder / "logs", project=project)


def _mlflow(folder: Path) -> Logger:
    logs = folder.absolute() / "logs"
    return MLFlowLogger(
        experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT),
        run_name=folder.name,
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{logs}/mlflow.db"),
        artifact_location=(logs / "mlflow").as_uri(),
    )


_MAKERS: dict[LoggerName, Any] = {"wandb": _wandb, "mlflow": _mlflow}


def _finish(names: Sequence[LoggerName], *, code: int) -> None:
    """End the run at W&B, or else the next one of this process would be written into it."""
    if "wandb" in names:
        import wandb  # pyright: ignore[reportMissingImports]

        wandb.finish(exit_code=code)
