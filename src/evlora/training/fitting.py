"""Training with Lightning's engine, and the ways in which it ends early."""

import signal
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from evlora.errors import EvloraError, RunError
from evlora.ranks import AllRanksError, OneRankError
from evlora.training.best import ACCURACY, LOSS
from evlora.training.data import ClipDataModule
from evlora.training.module import RecognizerModule
from evlora.training.several import is_standing
from evlora.training.stopping import StopSignals


def fit(
    trainer: Trainer,
    module: RecognizerModule,
    data: ClipDataModule,
    *,
    resumed: Path | None,
    signals: StopSignals,
) -> None:
    """Train until the last epoch.

    Args:
        trainer: The engine.
        module: What learns.
        data: What is learned from.
        resumed: The checkpoint to go on from.
        signals: What may ask the run to stop.

    Raises:
        RunStopped: A signal did.
        KeyboardInterrupt: The user did.
        AllRanksError: Something became infinite or NaN.
        OneRankError: Of several ranks, this one met an error.
        RunError: The device has too little memory, or there are other devices than asked for.
    """
    with ends_explained(trainer, module, signals), without_its_deprecations():
        trainer.fit(module, data, ckpt_path=resumed, weights_only=True)


def validate(
    trainer: Trainer,
    module: RecognizerModule,
    data: ClipDataModule,
    tensors: Mapping[str, Tensor],
    *,
    signals: StopSignals,
) -> tuple[float, float]:
    """Accuracy and loss on the val split of what was learned, after training; all ranks take part.

    Args:
        trainer: The engine, which has trained.
        module: What has learned.
        data: What it learned from.
        tensors: What the module becomes, by name.
        signals: What may ask the run to stop.

    Raises:
        RunStopped: As `fit` does, with the other errors there.
    """
    module.become(tensors)
    trainer.loggers = []  # the logs are of the epochs
    with ends_explained(trainer, module, signals), without_its_deprecations():
        (figures,) = trainer.validate(module, datamodule=data, verbose=False)
    return figures[ACCURACY], figures[LOSS]


@contextmanager
def ends_explained(
    trainer: Trainer, module: RecognizerModule, signals: StopSignals
) -> Generator[None]:
    """Turn what ends the engine early into errors that name the key to change."""
    try:
        yield
    except SystemExit as ended:
        _forget_others(trainer)
        if isinstance(ended.__context__, KeyboardInterrupt):  # Lightning exits with 1 instead
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from ended
        raise
    except Exception as error:
        if signals.is_received:  # it was sent to the processes that read clips as well
            raise signals.stop("nothing was written since the last checkpoint") from error
        if _is_out_of_memory(error):
            reason = str(error).partition("\n")[0]
            raise RunError(
                f"training.batch_size: expected batches that fit into the device's memory, "
                f"{module.config.batch_size} clips do not ({reason}); lower it or clip.frames, set "
                "training.checkpointing, or training.precision=bf16-mixed"
            ) from error
        if trainer.world_size > 1 and is_standing(error):
            _forget_others(trainer, signal.SIGKILL)  # one that stands still may answer no other
            raise OneRankError(
                f"rank {trainer.global_rank}: another process of the run answers no more, after at "
                f"most {module.config.standing_minutes:g} minutes (training.standing_minutes); "
                "look for its message, then continue from the last checkpoint with --resume"
            ) from error
        if isinstance(
            error, MisconfigurationException
        ):  # such as devices that SLURM does not grant
            raise RunError(f"training.devices and training.nodes: {error}") from error
        is_shared = trainer.world_size == 1 or isinstance(error, AllRanksError)
        if isinstance(error, EvloraError) and not is_shared:
            raise OneRankError(f"rank {trainer.global_rank}: {error}") from error
        raise


@contextmanager
def without_its_deprecations() -> Generator[None]:
    """Keep from users what the engine must change in itself (Lightning 2.6 with torch 2.15)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`isinstance.*LeafSpec.*deprecated", FutureWarning)
        yield


def _forget_others(trainer: Trainer, number: signal.Signals = signal.SIGTERM) -> None:
    """End the processes of further devices, whose own ends must not be mistaken for failures."""
    launcher = trainer.strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        launcher.kill(number)
        launcher.procs.clear()


def _is_out_of_memory(error: Exception) -> bool:
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)
