"""What a run keeps: the files of its epochs, the epoch that becomes the bundle, or a mean."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from evlora.profiling import count_parameters
from evlora.recipe import Recipe
from evlora.training.best import BestEpoch
from evlora.training.best_mean import BestEpochs
from evlora.training.checkpoints import BEST, LAST, read_checkpoint
from evlora.training.data import ClipDataModule
from evlora.training.fitting import validate
from evlora.training.folder import CHECKPOINTS
from evlora.training.module import AVERAGE, RecognizerModule
from evlora.training.stopping import StopSignals

Averaged = tuple[dict[str, torch.Tensor], dict[str, float]]
"""The mean of several epochs, by name, and its figures."""


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The callbacks that write checkpoints, and where."""

    last: ModelCheckpoint
    best: ModelCheckpoint
    kept: ModelCheckpoint
    """The one whose epoch becomes the bundle."""
    folder: Path
    several: BestEpochs | None
    """Keeps the epochs whose mean may become the bundle."""

    @property
    def kept_name(self) -> str:
        """The file of the epoch that becomes the bundle."""
        return BEST if self.kept is self.best else LAST

    def kept_path(self, resumed: Path | None, report: Callable[[str], None]) -> Path:
        """The file of the epoch that becomes the bundle, or of another one where it is lost."""
        path = Path(self.kept.best_model_path or resumed or self.last_path)
        if path.name != self.kept_name:
            report(f"warning: {self.kept_name} is lost; {path.name} is kept instead")
        return path

    @property
    def last_path(self) -> Path:
        """The file that is written most often."""
        return self.folder / LAST

    @property
    def score(self) -> torch.Tensor | None:
        """The kept epoch's accuracy on the val split, if it was chosen by it."""
        return self.kept.best_model_score if self.kept is self.best else None


def checkpoints_of(recipe: Recipe, folder: Path) -> Checkpoints:
    """The callbacks of a run in this folder; nothing is written yet."""
    written = folder / CHECKPOINTS
    # Lightning's own save_last writes only when the best changes; this one after every epoch.
    last = ModelCheckpoint(
        written, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    best = BestEpoch(written)
    kept = best if recipe.training.keep == "best" else last
    count = recipe.training.average_best
    return Checkpoints(last, best, kept, written, BestEpochs(count) if count > 1 else None)


def better_mean(
    trainer: Trainer,
    module: RecognizerModule,
    data: ClipDataModule,
    checkpoints: Checkpoints,
    signals: StopSignals,
) -> Averaged | None:
    """The mean of the best epochs with its figures, where it is asked for and not worse."""
    mean = None if checkpoints.several is None else checkpoints.several.mean()
    if mean is None:
        return None
    top1, loss = validate(trainer, module, data, mean.tensors, signals=signals)
    is_kept = (top1, -loss) >= mean.best
    signals.report(
        f"mean of the epochs {', '.join(map(str, mean.epochs))}: val {top1:.1%}, loss {loss:.4f}; "
        f"the best alone: val {mean.best[0]:.1%}, loss {-mean.best[1]:.4f}; "
        f"{'the mean' if is_kept else 'the best alone'} is kept"
    )
    if not is_kept:
        return None
    return mean.tensors, {"val_top1": top1, "averaged_epochs": float(len(mean.epochs))}


def take_epoch(
    path: Path,
    trainer: Trainer,
    module: RecognizerModule,
    score: torch.Tensor | None,
    *,
    averaged: Averaged | None,
) -> dict[str, float]:
    """Load the epoch of this checkpoint, or the mean of several, and return its figures."""
    state = read_checkpoint(path)
    module.cpu().load_state_dict(state.get(AVERAGE, state["state_dict"]))
    counts = count_parameters(module.recognizer)
    if score is None:
        score = trainer.callback_metrics.get("val/top1")
    if averaged is not None:
        module.become(averaged[0])
    return {
        **({} if score is None else {"val_top1": float(score)}),
        "epoch": float(state["epoch"] + 1),
        "trained_parameters": float(counts.trained),
        "trained_percent": counts.trained_percent,
        **({} if averaged is None else averaged[1]),
    }
