"""The checkpoints of a run: whole, checked when they are read, and the last two kept.

A checkpoint is a zip archive, in which each part has a checksum. torch does not look at them when
it loads, so they are checked before.
"""

import io
import math
import os
import pickle
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer

from evlora.errors import RunError
from evlora.files import writing_file
from evlora.training.finiteness import non_finite_names
from evlora.training.stopping import StopSignals
from evlora.untrusted import plain

LAST = "last.ckpt"
PREVIOUS = "previous.ckpt"
BEST = "best.ckpt"
PARTS = frozenset({"state_dict", "epoch", "loops", "callbacks", "optimizer_states"})
"""Some of what every checkpoint has."""


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear under their name when they are complete.

    Of the last one, the one before stays beside it. Lightning writes into the system's folder for
    temporary files first; that may be small, and from there to another disk is a copy, which a kill
    leaves half done.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint beside its name, then rename it."""
        target = Path(path)
        content = io.BytesIO()  # torch itself hides why a disk cannot be written to
        torch.save(checkpoint, content)
        with writing_file(target, durable=True) as temporary:
            temporary.write_bytes(content.getbuffer())
            if target.name == LAST and target.exists():
                _keep_as(target.with_name(PREVIOUS), target)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """The content of a checkpoint, in which the run's folder is where it lies now.

        Raises:
            RunError: It is missing or damaged.
        """
        checkpoint = read_checkpoint(Path(path))
        folder = Path(path).parent.resolve()  # as ModelCheckpoint does
        for state in checkpoint["callbacks"].values():
            if "best_model_path" in state:
                _move(state, folder)
        return checkpoint


def _keep_as(name: Path, file: Path) -> None:
    """Give a file a second name, which another file may have had; it is never without its own."""
    beside = name.with_name(f".{name.stem}-{os.getpid()}{name.suffix}")  # as `writing_file` does
    try:
        beside.unlink(missing_ok=True)
        beside.hardlink_to(file)
    except OSError:  # not on every file system
        beside.write_bytes(file.read_bytes())
    beside.replace(name)


def _move(state: dict[str, Any], folder: Path) -> None:
    """Let the state of a ModelCheckpoint point to this folder, of which it notes absolute paths."""
    state["dirpath"] = str(folder)
    for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
        if state[key]:
            state[key] = str(folder / Path(state[key]).name)
    state["best_k_models"] = {
        str(folder / Path(path).name): score for path, score in state["best_k_models"].items()
    }
    best = state["best_model_path"]
    if best and not Path(best).is_file():  # `without_damage` has removed it
        state |= {"best_model_path": "", "best_model_score": None, "best_k_models": {}}
        state |= {"kth_best_model_path": "", "kth_value": None, "loss": math.inf}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU.

    Raises:
        RunError: It is missing, damaged, no checkpoint of a run, or holds NaN.
    """
    try:
        content = plain(path, RunError).read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise RunError(f"{path}: is damaged: the checksum of {damaged} differs")
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except RunError:
        raise
    except pickle.UnpicklingError as error:  # whose text is how to have it run code after all
        raise RunError(
            f"{path}: is damaged, or holds more than numbers and plain values: nothing else is "
            "unpickled, since that runs code"
        ) from error
    except Exception as error:  # a damaged archive makes zipfile and torch raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise RunError(f"{path}: is missing or damaged: {reason}") from error
    missing = PARTS - checkpoint.keys() if isinstance(checkpoint, dict) else PARTS
    if missing:
        raise RunError(
            f"{path}: is not a checkpoint of evlora: it lacks {', '.join(sorted(missing))}"
        )
    names = list(non_finite_names(checkpoint["state_dict"]))
    if names:
        raise RunError(f"{path}: holds infinite numbers or NaN, in {names[0]}")
    return checkpoint


def without_damage(folder: Path, report: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that is whole, or None where there is none yet.

    A best one that is damaged is removed: the best epoch is then chosen from those that follow.

    Args:
        folder: With the run's checkpoints.
        report: Takes a line about each one that is damaged.

    Raises:
        RunError: There are some, and all are damaged.
    """
    faults: list[str] = []
    found = None
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.is_file():
            continue
        try:
            read_checkpoint(path)
        except RunError as error:
            faults.append(str(error))
            continue
        found = path
        break
    if found is None:
        if faults:
            raise RunError(
                f"{'; '.join(faults)}; copy the checkpoints again, or delete {folder} to begin anew"
            )
        return None
    for fault in faults:
        report(f"warning: {fault}; resuming from {found.name}, the one before")
    best = folder / BEST
    if best.is_file():
        try:
            read_checkpoint(best)
        except RunError as error:
            report(f"warning: {error}; the best epoch is chosen from those that follow")
            best.unlink()
    return found


class CheckpointInsideEpoch(Callback):
    """Writes the last checkpoint every `minutes`, between two steps, and when the run must stop.

    Args:
        path: The last checkpoint.
        minutes: Between two of them.
        signals: What may ask the run to stop.
    """

    def __init__(self, path: Path, *, minutes: float, signals: StopSignals) -> None:
        self._path = path
        self._seconds = 60 * minutes
        self._signals = signals
        self._written = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on a run stops where it can be resumed."""
        self._signals.wait()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What is left to do is short, and all has been saved."""
        self._signals.end_now()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """An epoch begins with a checkpoint, that of the end of the one before."""
        self._written = time.monotonic()
        if _in_any_rank(trainer, self._signals.is_received):
            raise self._signals.stop(f"{self._path.name} is the end of an epoch")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write one if it is time; after the last batch the end of the epoch does.

        Not between batches whose gradients are added up: a checkpoint holds no gradients.
        """
        is_last = batch_idx + 1 >= trainer.num_training_batches
        if is_last or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        # Clocks and signals differ, and all processes must take part.
        is_due = time.monotonic() - self._written >= self._seconds
        is_stopping = _in_any_rank(trainer, self._signals.is_received)
        if is_stopping or _in_any_rank(trainer, is_due):
            trainer.save_checkpoint(self._path)
            self._written = time.monotonic()
        if is_stopping:
            raise self._signals.stop(f"{self._path.name} is written")


def _in_any_rank(trainer: Trainer, claim: bool) -> bool:
    """Whether this is so in one of the ranks."""
    if trainer.world_size == 1:
        return claim
    return trainer.strategy.reduce_boolean_decision(claim, all=False)


def at_another_division(checkpoint: dict[str, Any], *, batches: int) -> None:
    """Change a checkpoint of an epoch's end where other numbers of batches follow.

    The schedule of the learning rate counts steps. With more ranks an epoch has fewer of them.

    Args:
        checkpoint: What was read; it is changed.
        batches: Of each rank in an epoch, from now on.
    """
    before = checkpoint.get("ClipDataModule", {}).get("of")
    if before in (None, batches):
        return
    steps = (checkpoint["epoch"] + 1) * batches
    checkpoint["global_step"] = steps
    epoch_loop = checkpoint["loops"]["fit_loop"]
    progress = epoch_loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    progress["step"]["total"].update(ready=steps, completed=steps)
    for schedule in checkpoint["lr_schedulers"]:
        schedule |= {"last_epoch": steps, "_step_count": steps + 1}
    with suppress(KeyError):
        epoch_loop["epoch_loop.state_dict"]["_batches_that_stepped"] = steps
