"""A run: from a recipe to a folder with logs, checkpoints, a bundle and its figures.

recipe.yaml       the recipe as it was run, with all defaults written out
checkpoints/      best.ckpt (on the val split, if it is kept) and last.ckpt; trained tensors only
logs/             CSV and TensorBoard
bundle/           the recognizer of the epoch that is kept
metrics.json      written last: its presence says that the run is complete
"""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from pydantic import ValidationError

from evlora.bundle import Recognizer, RecognizerConfig, build_recognizer, save_bundle
from evlora.errors import RecipeError, RunError
from evlora.files import writing_file
from evlora.profiling import count_parameters
from evlora.training.checkpoints import CheckpointInsideEpoch, WholeCheckpoints
from evlora.training.config import DataConfig, RunConfig, TrainingConfig
from evlora.training.data import ClipDataModule
from evlora.training.module import AVERAGE, RecognizerModule


class RunRecipe(Protocol):
    """What a run needs of a recipe."""

    data: DataConfig
    training: TrainingConfig
    run: RunConfig

    def recognizer(self) -> RecognizerConfig:
        """The part that the recognizer is built from."""
        ...

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """The recipe as plain values."""
        ...

    @classmethod
    def model_validate(cls, obj: Any) -> Self:
        """The recipe of plain values; what they leave out has its default."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run."""

    dir: Path
    bundle: Path
    metrics: dict[str, float]
    """The epoch that was kept, its accuracy on the val split if there is one, the trained
    parameters, and the time."""


def train_recipe(
    recipe: RunRecipe,
    *,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    has_progress_bar: bool = False,
) -> Run:
    """Train what the recipe says; a run that was killed goes on from its last checkpoint.

    What is logged of an epoch that was killed in the middle covers its steps after the checkpoint.

    Args:
        recipe: The run.
        resume: Go on with what is in the run's folder, or begin where nothing is.
        say: Told a line per epoch.
        has_progress_bar: Show a bar per epoch on standard error.

    Raises:
        RecipeError: The recipe names no folder, or another recipe was run there.
        RunError: The folder holds a run already.
    """
    tell = say or (lambda line: None)
    folder = _require_free(recipe, resume)
    if (folder / "metrics.json").is_file():
        tell(f"{folder} holds a finished run; nothing is left to do")
        return Run(folder, folder / "bundle", _read_metrics(folder))
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)

    seed_everything(recipe.run.seed, workers=True, verbose=False)
    training = recipe.training
    data = ClipDataModule(
        recipe.data,
        recipe.recognizer().clip,
        batch_size=training.batch_size,
        seed=recipe.run.seed,
    )
    if training.keep == "best" and data.validation is None:
        raise RecipeError(
            "training.keep: best needs a val split to choose the best epoch on, and there is none; "
            "set data.validation_fraction to hold out a part of train, or training.keep=last"
        )
    recognizer = build_recognizer(recipe.recognizer(), data.manifest.labels)
    module = RecognizerModule(recognizer, training, seed=recipe.run.seed)
    _write_recipe(folder, recipe)
    tell(_summary(recognizer, data))
    for note in data.notes:
        tell(f"note: {note}")

    # Lightning's own save_last writes only when the best changes; this one after every epoch.
    last = ModelCheckpoint(
        folder / "checkpoints",
        filename="last",
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    best = ModelCheckpoint(
        folder / "checkpoints",
        filename="best",
        monitor="val/top1",
        mode="max",
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    kept = best if training.keep == "best" else last
    resumed = folder / "checkpoints" / "last.ckpt"
    inside = CheckpointInsideEpoch(resumed, minutes=training.checkpoint_minutes)
    callbacks: list[Callback] = [*dict.fromkeys([kept, last]), inside, EpochLine(tell)]
    if has_progress_bar:
        callbacks.append(TQDMProgressBar(leave=False))
    trainer = Trainer(
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
    begun = time.monotonic()
    trainer.fit(module, data, ckpt_path=resumed if resumed.is_file() else None, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    seconds = time.monotonic() - begun

    state = torch.load(kept.best_model_path, map_location="cpu", weights_only=True)
    module.cpu().load_state_dict(state.get(AVERAGE, state["state_dict"]))
    counts = count_parameters(recognizer)
    score = kept.best_model_score if kept is best else trainer.callback_metrics.get("val/top1")
    metrics = {
        **({} if score is None else {"val_top1": float(score)}),
        "epoch": float(state["epoch"] + 1),
        "trained_parameters": float(counts.trained),
        "trained_percent": counts.trained_percent,
        "seconds": seconds,
    }
    if trainer.is_global_zero:
        save_bundle(
            recognizer, folder / "bundle", recipe=recipe.model_dump(mode="json"), metrics=metrics
        )
        with writing_file(folder / "metrics.json") as temporary:
            temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    return Run(folder, folder / "bundle", metrics)


class EpochLine(Callback):
    """Says one line per epoch."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._begun = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when it began; a run that goes on inside an epoch does not begin that epoch."""
        self._begun = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when the epoch began."""
        self._begun = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how the epoch went; validation has run by now."""
        if not trainer.is_global_zero:
            return
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        validated = f"val {figures['val/top1']:.1%}  " if "val/top1" in figures else ""
        self._say(
            f"epoch {trainer.current_epoch + 1:>3}/{trainer.max_epochs}  "
            f"loss {figures['train/loss']:.4f}  train {figures['train/top1']:.1%}  "
            f"{validated}{time.monotonic() - self._begun:.0f} s"
        )


def _require_free(recipe: RunRecipe, resume: bool) -> Path:
    folder = recipe.run.dir
    if folder is None:
        raise RecipeError("run.dir: expected a folder for the run, got nothing; set run.dir=FOLDER")
    written = folder / "recipe.yaml"
    if not resume and folder.is_dir() and any(folder.iterdir()):
        raise RunError(
            f"{folder}: is not empty; go on with the run there with --resume, "
            "or choose another run.dir"
        )
    if resume and written.is_file():
        before = _with_defaults(yaml.safe_load(written.read_text(encoding="utf-8")), recipe)
        changed = _differences(before, recipe.model_dump(mode="json"))
        if changed:
            raise RunError(
                f"{written}: the run was started with another recipe; "
                f"{'; '.join(changed[:5])}; resume without these changes, or choose another run.dir"
            )
    return folder


def _with_defaults(written: Any, recipe: RunRecipe) -> Any:
    """What was written, with the defaults of the keys that evlora did not have then."""
    try:
        return type(recipe).model_validate(written).model_dump(mode="json")
    except ValidationError:
        return written  # a key is there no more: the differences name it


def _differences(before: Any, now: Any, key: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        names = sorted(before.keys() | now.keys())
        parts = [
            _differences(before.get(name), now.get(name), f"{key}.{name}".lstrip("."))
            for name in names
        ]
        return [line for part in parts for line in part]
    return [] if before == now else [f"{key} was {before}, is {now}"]


def _summary(recognizer: Recognizer, data: ClipDataModule) -> str:
    counts = count_parameters(recognizer)
    return (
        f"{len(data.training)} training and {len(data.validation or ())} validation clips of "
        f"{len(recognizer.labels)} classes; training {counts.trained:,} of {counts.total:,} "
        f"parameters ({counts.trained_percent:.2f} %)"
    )


def _write_recipe(folder: Path, recipe: RunRecipe) -> None:
    with writing_file(folder / "recipe.yaml") as temporary:
        temporary.write_text(
            yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False), encoding="utf-8"
        )


def _read_metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
