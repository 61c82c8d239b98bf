"""From a recipe to a trained recognizer in its run's folder."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from evlora.errors import DatasetError, RecipeError, RunError
from evlora.messages import listed
from evlora.profiling import count_parameters
from evlora.ranks import alike_on_a_machine
from evlora.recipe import FEWEST_CLASSES, Recipe, recipe_of
from evlora.recipe.from_data import filled_from_data
from evlora.recognizer import SHARED_STAGE, Recognizer, adapted_parts
from evlora.threads import warn_where_threads_spin
from evlora.training.best import cautions
from evlora.training.best_mean import require_averageable
from evlora.training.callbacks import EpochLine
from evlora.training.checkpoints import CheckpointInsideEpoch, WholeCheckpoints
from evlora.training.data import ClipDataModule
from evlora.training.distillation import teacher_of
from evlora.training.early import StopEarly
from evlora.training.extras import Devices, Extras, extras_of
from evlora.training.features import OFF, random_keys, require_cacheable
from evlora.training.finding import find_numbers
from evlora.training.first_pass import start_from_clips
from evlora.training.fitting import fit
from evlora.training.folder import (
    BUNDLE,
    METRICS_FILE,
    folder_of,
    with_found,
    write_recipe,
)
from evlora.training.kept import Checkpoints, better_mean, checkpoints_of, take_epoch
from evlora.training.loggers import begin_logging, loggers_named
from evlora.training.module import RecognizerModule
from evlora.training.optimizing import clips_of_a_step, require_pairs
from evlora.training.results import keep_results
from evlora.training.several import limit_waiting, require_rendezvous
from evlora.training.sharding import FSDP, ShardedBackbone, require_shardable
from evlora.training.starting import start
from evlora.training.stopping import StopSignals
from evlora.training.together import claim_together, first_decides

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
    is_first_rank: bool = True
    """Whether this process is the one that prints, of those that trained."""


def train(
    recipe: str | Path | Recipe,
    *,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    resume: bool = False,
    report: Report | None = None,
    has_progress_bar: bool = False,
    loggers: Sequence[Logger] = (),
    callbacks: Sequence[Callback] = (),
    devices: Devices | None = None,
) -> Run:
    """Train a recipe and fill its run's folder; a run that was killed resumes from its checkpoint.

    What is logged of an epoch that was killed in the middle covers its steps after the checkpoint.

    Args:
        recipe: The run: a recipe, its file, or the name of one that ships with evlora.
        overrides: `key=value` texts, or a mapping of keys, that change a recipe's file.
        resume: Resume what is in the run's folder, or begin where nothing is.
        report: Takes a line per epoch.
        has_progress_bar: Show a bar per epoch on standard error.
        loggers: Loggers of Lightning, such as `WandbLogger`, beside CSV and TensorBoard.
        callbacks: Callbacks of Lightning, which follow evlora's own.
        devices: Where to train, in place of the recipe's `training.accelerator` and
            `training.devices`: `auto`, `cpu`, `cuda`, `cuda:1`, a number of GPUs, or their numbers.

    Returns:
        The run's folder, its bundle, and what was measured: accuracy on the val split as a share
        of 1, the epoch that was kept, trained parameters, seconds.

    Raises:
        RecipeError: The recipe is wrong or names no folder.
        DatasetError: The dataset is incomplete.
        RunError: The folder holds a run already, or one of another recipe, or another process
            trains there; or something became infinite or NaN.
        RunStopped: A signal asked the run to stop; a SystemExit with 143.
    """
    warn_where_threads_spin()
    extras = extras_of(loggers, callbacks, devices)
    with alike_on_a_machine():
        whole = filled_from_data(recipe_of(recipe, overrides, report=report))
        folder = folder_of(whole)
    report_line = report or _silent
    checkpoints = checkpoints_of(whole, folder)
    with StopSignals(report_line) as signals, ExitStack() as held:
        named = held.enter_context(loggers_named(whole.run.loggers, folder))
        trainer = _trainer_of(
            whole,
            folder,
            checkpoints,
            signals=signals,
            report=report_line,
            has_progress_bar=has_progress_bar,
            extras=replace(extras, loggers=(*extras.loggers, *named)),
        )
        is_first = trainer.is_global_zero
        if not is_first:
            report_line = signals.report = _silent
        finished, resumed = claim_together(trainer, whole, held, resume=resume, report=report_line)
        if finished is not None:
            report_line(f"{folder} holds a finished run; nothing is left to do")
            return Run(folder, folder / BUNDLE, finished, is_first)
        whole = (
            with_found(whole)
            if resumed
            else find_numbers(whole, trainer, folder, prepared=_prepared, signals=signals)
        )
        begin_logging(named, whole)
        seed_everything(whole.run.seed, workers=True, verbose=False)
        data, module = _prepared(
            whole, report_line, None if resumed else trainer.strategy.root_device
        )
        if is_first:
            # A run with more epochs than before is unfinished again, before its recipe changes.
            (folder / METRICS_FILE).unlink(missing_ok=True)
            write_recipe(folder, whole)
        for line in _first_lines(whole, module.recognizer, data, trainer.world_size):
            report_line(line)
        if data.validation is None:
            trainer.limit_val_batches = 0

        begun = time.monotonic()
        fit(trainer, module, data, resumed=resumed, signals=signals)
        averaged = better_mean(trainer, module, data, checkpoints, signals)

        def finish() -> dict[str, float]:
            kept = module if whole.training.strategy != FSDP else _undivided(whole)
            path = checkpoints.kept_path(resumed, report_line)
            metrics = take_epoch(path, trainer, kept, checkpoints.score, averaged=averaged)
            if data.same_content:
                metrics["same_content_in_two_splits"] = float(len(data.same_content))
            metrics["seconds"] = time.monotonic() - begun
            keep_results(folder, kept.recognizer, whole, metrics, data)
            return metrics

        metrics = first_decides(trainer, finish)
        return Run(folder, folder / BUNDLE, metrics, is_first)


def _silent(line: str) -> None:
    """What ranks beside the first one report."""


def _prepared(
    recipe: Recipe, report: Report, device: torch.device | None
) -> tuple[ClipDataModule, RecognizerModule]:
    """The clips, and what learns from them; from the start on this device, None if it goes on."""
    training = recipe.training
    require_averageable(recipe)
    data = _data_of(recipe)
    recognizer = start(recipe, data.manifest.labels, report)
    require_pairs(recognizer, training)
    if device is not None and training.start_from is None:
        start_from_clips(recognizer, data, device=device, report=report)
    recognizer.prepare_training(
        precision=training.precision, fast=training.fast, checkpointing=training.checkpointing
    )
    if training.cache_features != OFF:
        require_cacheable(recipe, recognizer)
        variants = training.cache_variants if random_keys(recipe.clip) else 1
        data.cache_features(training.cache_features, variants=variants or 1)
    module = RecognizerModule(
        recognizer,
        training,
        seed=recipe.run.seed,
        report=report,
        class_counts=data.class_counts,
        teacher=teacher_of(recipe, data.manifest.labels),
    )
    return data, module


def _undivided(recipe: Recipe) -> RecognizerModule:
    """The module as it was at the start, where each process has a part of the backbone by now."""
    seed_everything(recipe.run.seed, workers=True, verbose=False)
    return _prepared(recipe, _silent, None)[1]


def _data_of(recipe: Recipe) -> ClipDataModule:
    data = ClipDataModule(
        recipe.data,
        recipe.clip,
        batch_size=recipe.training.clips_of_a_batch,
        seed=recipe.run.seed,
    )
    if recipe.training.patience and data.validation is None:
        raise RecipeError(
            "training.patience: expected a val split, on which a better epoch would show, there is "
            "none; set data.validation_fraction to hold out a part of train, or training.patience=0"
        )
    if recipe.training.keep == "best" and data.validation is None:
        raise RecipeError(
            "training.keep: best needs a val split to choose the best epoch on, and there is none; "
            "set data.validation_fraction to hold out a part of train, or training.keep=last"
        )
    labels = data.manifest.labels
    if len(labels) < FEWEST_CLASSES:
        raise DatasetError(
            f"{recipe.data.root}: expected {FEWEST_CLASSES} classes or more to tell apart, got "
            f"{listed(labels)}; prepare a dataset with more"
        )
    data.try_clips()
    return data


def _trainer_of(
    recipe: Recipe,
    folder: Path,
    checkpoints: Checkpoints,
    *,
    signals: StopSignals,
    report: Report,
    has_progress_bar: bool,
    extras: Extras,
) -> Trainer:
    """Lightning's engine for this run, which knows the ranks; nothing begins yet."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    training = recipe.training
    accelerator, devices = extras.accelerator_and_devices(training)
    inside = CheckpointInsideEpoch(
        checkpoints.last_path, minutes=training.checkpoint_minutes, signals=signals
    )
    written = dict.fromkeys([checkpoints.kept, checkpoints.last])
    callbacks: list[Callback] = [*written, inside, EpochLine(report)]
    callbacks += [] if checkpoints.several is None else [checkpoints.several]
    if training.patience:
        callbacks.append(StopEarly(patience=training.patience, report=report))
    if has_progress_bar:
        callbacks.append(TQDMProgressBar(leave=False))
    callbacks += extras.callbacks
    plugins: list[Any] = [WholeCheckpoints()]
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))  # `StopSignals` does it
    try:
        trainer = Trainer(
            default_root_dir=folder,
            max_epochs=training.epochs,
            accelerator=accelerator,
            devices=devices,
            strategy=ShardedBackbone() if training.strategy == FSDP else "auto",
            num_nodes=training.nodes,
            precision=training.precision,
            accumulate_grad_batches=training.accumulate,
            gradient_clip_val=training.gradient_clip or None,
            deterministic=True,
            callbacks=callbacks,
            plugins=plugins,
            logger=[
                CSVLogger(folder / "logs", name="csv"),
                TensorBoardLogger(folder / "logs", name="tensorboard"),
                *extras.loggers,
            ],
            use_distributed_sampler=False,  # `ClipDataModule` has its own
            enable_progress_bar=has_progress_bar,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
    except MisconfigurationException as error:
        asked = f"{accelerator}, {devices} and {training.nodes}"
        raise RunError(
            "training.accelerator, training.devices and training.nodes: expected devices that this "
            f"machine has, got {asked}: {str(error).rstrip('.!')}; set training.accelerator=auto, "
            "or cpu"
        ) from error
    if training.strategy == FSDP:
        require_shardable(recipe, world_size=trainer.world_size)
    require_rendezvous(trainer, training)
    limit_waiting(trainer, training)
    return trainer


def _named_layers(recognizer: Recognizer) -> list[str]:
    """How many layers the names that a recipe gives have matched."""
    names = recognizer.config.model.adapter.target_modules
    if names is None:
        return []
    counts = {
        part: len(cast(Any, adapted.base_model).targeted_module_names)
        for part, adapted in adapted_parts(recognizer).items()
        if part != SHARED_STAGE
    }
    found = ", ".join(f"{count} in {part}" for part, count in counts.items())
    return [f"layers that model.adapter.target_modules names: {found}"]


def _first_lines(
    recipe: Recipe, recognizer: Recognizer, data: ClipDataModule, world_size: int
) -> Iterator[str]:
    """What is trained with what, and what to know of it."""
    yield _summary(recognizer, data)
    yield _batch_line(recipe, world_size)
    doubts = cautions(data.manifest) if recipe.training.keep == "best" else []
    for note in (*_named_layers(recognizer), *data.notes, *doubts, *_kept_although_worse(recipe)):
        yield f"note: {note}"


def _kept_although_worse(recipe: Recipe) -> list[str]:
    """What early stopping keeps where the recipe asks for the last epoch."""
    patience = recipe.training.patience
    if not patience or recipe.training.keep == "best":
        return []
    return [
        "where training.patience ends the run, training.keep=last keeps its last epoch, which "
        f"comes {patience} after the best one; training.keep=best keeps the best one"
    ]


def _batch_line(recipe: Recipe, world_size: int) -> str:
    """The effective batch, and what it is made of."""
    training = recipe.training
    clips = clips_of_a_step(training, world_size=world_size)
    parts = [f"batches of {training.batch_size}"]
    parts += [f"{training.accumulate} accumulated"] if training.accumulate > 1 else []
    parts += [f"{world_size} devices"] if world_size > 1 else []
    return f"{clips} clips in each step: {', '.join(parts)}"


def _summary(recognizer: Recognizer, data: ClipDataModule) -> str:
    counts = count_parameters(recognizer)
    return (
        f"{len(data.training)} training and {len(data.validation or ())} validation clips of "
        f"{len(recognizer.labels)} classes; training {counts.trained:,} of {counts.total:,} "
        f"parameters ({counts.trained_percent:.2f} %)"
    )
