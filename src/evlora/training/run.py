"""From a recipe to a trained recognizer in its run's folder."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from evlora.bundle import save_bundle
from evlora.errors import RecipeError
from evlora.profiling import count_parameters
from evlora.recipe import Recipe, load_recipe
from evlora.recipe.from_data import filled_from_data
from evlora.recognizer import Recognizer, build_recognizer
from evlora.training.callbacks import EpochLine
from evlora.training.checkpoints import CheckpointInsideEpoch, WholeCheckpoints
from evlora.training.data import ClipDataModule
from evlora.training.features import OFF, random_keys, require_cacheable
from evlora.training.folder import (
    BUNDLE,
    CHECKPOINTS,
    METRICS_FILE,
    claim,
    read_metrics,
    write_metrics,
    write_recipe,
)
from evlora.training.module import AVERAGE, RecognizerModule

Report = Callable[[str], None]
"""Takes a line for whoever watches."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run."""

    dir: Path
    bundle: Path
    metrics: dict[str, float]
    """The epoch that was kept, its accuracy on the val split if there is one, the trained
    parameters, and the time."""


@dataclass(frozen=True, slots=True)
class _Checkpoints:
    """The callbacks that write checkpoints, and where a killed run resumes."""

    last: ModelCheckpoint
    best: ModelCheckpoint
    kept: ModelCheckpoint
    """The one whose epoch becomes the bundle."""
    resumed: Path

    @property
    def score(self) -> torch.Tensor | None:
        """The kept epoch's accuracy on the val split, if it was chosen by it."""
        return self.kept.best_model_score if self.kept is self.best else None


def train(
    recipe: str | Path | Recipe,
    *,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    resume: bool = False,
    report: Report | None = None,
    has_progress_bar: bool = False,
) -> Run:
    """Train a recipe and fill its run's folder; a run that was killed resumes from its checkpoint.

    What is logged of an epoch that was killed in the middle covers its steps after the checkpoint.

    Args:
        recipe: The run: a recipe, its file, or the name of one that ships with evlora.
        overrides: `key=value` texts, or a mapping of keys, that change a recipe's file.
        resume: Resume what is in the run's folder, or begin where nothing is.
        report: Takes a line per epoch.
        has_progress_bar: Show a bar per epoch on standard error.

    Raises:
        RecipeError: The recipe is wrong or names no folder.
        DatasetError: The dataset is incomplete.
        RunError: The folder holds a run already, or one of another recipe.
    """
    whole = filled_from_data(
        recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    )
    report_line = report or (lambda line: None)
    folder = claim(whole, resume=resume)
    if (folder / METRICS_FILE).is_file():
        report_line(f"{folder} holds a finished run; nothing is left to do")
        return Run(folder, folder / BUNDLE, read_metrics(folder))
    seed_everything(whole.run.seed, workers=True, verbose=False)
    data = _data_of(whole)
    recognizer = build_recognizer(whole.recognizer(), data.manifest.labels)
    recognizer.prepare_training(
        precision=whole.training.precision,
        fast=whole.training.fast,
        checkpointing=whole.training.checkpointing,
    )
    if whole.training.cache_features != OFF:
        require_cacheable(whole, recognizer)
        variants = whole.training.cache_variants if random_keys(whole.clip) else 1
        data.cache_features(whole.training.cache_features, variants=variants or 1)
    module = RecognizerModule(recognizer, whole.training, seed=whole.run.seed)
    write_recipe(folder, whole)
    report_line(_summary(recognizer, data))
    for note in data.notes:
        report_line(f"note: {note}")

    checkpoints = _checkpoints_of(whole, folder)
    trainer = _trainer_of(
        whole, folder, checkpoints, data=data, report=report_line, has_progress_bar=has_progress_bar
    )
    begun = time.monotonic()
    _fit(trainer, module, data, checkpoints)
    metrics = _take_kept_epoch(trainer, module, checkpoints)
    metrics["seconds"] = time.monotonic() - begun
    if trainer.is_global_zero:
        save_bundle(
            recognizer, folder / BUNDLE, recipe=whole.model_dump(mode="json"), metrics=metrics
        )
        write_metrics(folder, metrics)
    return Run(folder, folder / BUNDLE, metrics)


def _data_of(recipe: Recipe) -> ClipDataModule:
    data = ClipDataModule(
        recipe.data,
        recipe.clip,
        batch_size=recipe.training.batch_size,
        seed=recipe.run.seed,
    )
    if recipe.training.keep == "best" and data.validation is None:
        raise RecipeError(
            "training.keep: best needs a val split to choose the best epoch on, and there is none; "
            "set data.validation_fraction to hold out a part of train, or training.keep=last"
        )
    return data


def _checkpoints_of(recipe: Recipe, folder: Path) -> _Checkpoints:
    written = folder / CHECKPOINTS
    # Lightning's own save_last writes only when the best changes; this one after every epoch.
    last = ModelCheckpoint(
        written, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    best = ModelCheckpoint(
        written,
        filename="best",
        monitor="val/top1",
        mode="max",
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    kept = best if recipe.training.keep == "best" else last
    return _Checkpoints(last, best, kept, written / "last.ckpt")


def _trainer_of(
    recipe: Recipe,
    folder: Path,
    checkpoints: _Checkpoints,
    *,
    data: ClipDataModule,
    report: Report,
    has_progress_bar: bool,
) -> Trainer:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    training = recipe.training
    inside = CheckpointInsideEpoch(checkpoints.resumed, minutes=training.checkpoint_minutes)
    written = dict.fromkeys([checkpoints.kept, checkpoints.last])
    callbacks: list[Callback] = [*written, inside, EpochLine(report)]
    if has_progress_bar:
        callbacks.append(TQDMProgressBar(leave=False))
    return Trainer(
        max_epochs=training.epochs,
        accelerator=training.accelerator,
        devices=training.devices,
        num_nodes=training.nodes,
        precision=training.precision,
        gradient_clip_val=training.gradient_clip or None,
        deterministic=True,
        callbacks=callbacks,
        plugins=[WholeCheckpoints()],
        logger=[
            CSVLogger(folder / "logs", name="csv"),
            TensorBoardLogger(folder / "logs", name="tensorboard"),
        ],
        enable_progress_bar=has_progress_bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0 if data.validation is None else 1.0,
        log_every_n_steps=1,
    )


def _fit(
    trainer: Trainer, module: RecognizerModule, data: ClipDataModule, checkpoints: _Checkpoints
) -> None:
    resumed = checkpoints.resumed if checkpoints.resumed.is_file() else None
    trainer.fit(module, data, ckpt_path=resumed, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt


def _take_kept_epoch(
    trainer: Trainer, module: RecognizerModule, checkpoints: _Checkpoints
) -> dict[str, float]:
    """Load the epoch that is kept into the module, and return its figures."""
    path = checkpoints.kept.best_model_path
    state = torch.load(path, map_location="cpu", weights_only=True)
    module.cpu().load_state_dict(state.get(AVERAGE, state["state_dict"]))
    counts = count_parameters(module.recognizer)
    score = checkpoints.score
    if score is None:
        score = trainer.callback_metrics.get("val/top1")
    return {
        **({} if score is None else {"val_top1": float(score)}),
        "epoch": float(state["epoch"] + 1),
        "trained_parameters": float(counts.trained),
        "trained_percent": counts.trained_percent,
    }


def _summary(recognizer: Recognizer, data: ClipDataModule) -> str:
    counts = count_parameters(recognizer)
    return (
        f"{len(data.training)} training and {len(data.validation or ())} validation clips of "
        f"{len(recognizer.labels)} classes; training {counts.trained:,} of {counts.total:,} "
        f"parameters ({counts.trained_percent:.2f} %)"
    )
