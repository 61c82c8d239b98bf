"""Batch size and learning rate where a recipe leaves them to the run: `auto`.

Lightning's tuner tries them on networks and clips of their own, before the run begins: a run that
has found its numbers is the one that was given them.
"""

import tempfile
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.tuner import Tuner, lr_finder

from evlora.errors import RecipeError, RunError
from evlora.recipe import Recipe
from evlora.training.checkpoints import WholeCheckpoints
from evlora.training.data import ClipDataModule
from evlora.training.features import OFF
from evlora.training.fitting import ends_explained, without_its_deprecations
from evlora.training.module import RecognizerModule
from evlora.training.optimizing import clips_of_a_step
from evlora.training.stopping import StopSignals

Report = Callable[[str], None]
Prepared = Callable[[Recipe, Report, torch.device | None], tuple[ClipDataModule, RecognizerModule]]
AUTO = "auto"
FEWEST_CLIPS = 2
"""Of a batch: norms over a batch need two."""
MOST_CLIPS = 256
"""Of a batch that is found: larger ones gain little time."""
BATCHES_OF_AN_EPOCH = 16
"""That are left at least, where the memory would take larger ones: each is a step of learning."""
STEPS_OF_A_SIZE = 3
RATES = 100
"""Steps of the test of rates, each with a larger one."""
LOWEST_RATE, HIGHEST_RATE = 1e-6, 1.0
SMOOTHING = 0.98
"""What Lightning's moving mean of losses keeps in each step."""
BELOW_LOWEST = 10
FIRST_RATES = 10
"""That are not chosen: their smoothed losses are means of few."""


def find_numbers(
    recipe: Recipe, trainer: Trainer, folder: Path, *, prepared: Prepared, signals: StopSignals
) -> Recipe:
    """The recipe with numbers where it has `auto`; what was found is reported.

    Args:
        recipe: Of a run that begins.
        trainer: Of the run; another one like it is used.
        folder: The run's, where Lightning keeps a checkpoint meanwhile.
        prepared: Makes clips and the module of a recipe.
        signals: What may ask the run to stop; takes a line for each number.

    Raises:
        RecipeError: It cannot be found here.
        RunError: Not one batch fits into the device's memory, or no rate lowers the loss.
    """
    training = recipe.training
    if AUTO not in (training.batch_size, training.learning_rate):
        return recipe
    _require_findable(recipe, trainer)
    with tempfile.TemporaryDirectory(prefix=".finding-", dir=folder) as place:

        def parts(chosen: Recipe) -> tuple[Trainer, ClipDataModule, RecognizerModule]:
            seed_everything(recipe.run.seed, workers=True, verbose=False)
            data, module = prepared(chosen, _silent, trainer.strategy.root_device)
            data.validation = None  # what is looked for is in training
            return _trainer_like(chosen, trainer, place), data, module

        if training.batch_size == AUTO:
            size = _largest_batch(*parts(_trying(recipe, batch_size=FEWEST_CLIPS)), signals)
            signals.report(f"training.batch_size: {size} clips, found by trying")
            recipe = _with(recipe, batch_size=size)
        if training.learning_rate == AUTO:
            with _bar_of_rates(shown=trainer.progress_bar_callback is not None):
                rate = _steepest_rate(*parts(_trying(recipe)), signals)
            if training.learning_rate_per_256:
                rate *= 256 / clips_of_a_step(recipe.training, world_size=1)
            rate = float(f"{rate:.3g}")
            signals.report(f"training.learning_rate: {rate:g}, found in a test of {RATES} steps")
            recipe = _with(recipe, learning_rate=rate)
    return recipe


def _silent(line: str) -> None:
    """What trials report."""


def _with(recipe: Recipe, **keys: Any) -> Recipe:
    training = recipe.training.model_copy(update=keys)
    return recipe.model_copy(update={"training": training})


def _trying(recipe: Recipe, **keys: Any) -> Recipe:
    """The recipe of a trial, in which batches that are not finite end nothing."""
    keys = {"learning_rate": LOWEST_RATE, "learning_rate_per_256": False, "ema": 0.0, **keys}
    return _with(recipe, skip_batches=RATES, **keys)


def _require_findable(recipe: Recipe, trainer: Trainer) -> None:
    training = recipe.training
    key = "batch_size" if training.batch_size == AUTO else "learning_rate"
    if trainer.world_size > 1:
        raise RecipeError(
            f"training.{key}: auto is found by one device, this run has {trainer.world_size}; set "
            "a number, such as one from the recipe.yaml of a run with training.devices=1"
        )
    if training.cache_features != OFF or training.distillation.bundle is not None:
        raise RecipeError(
            f"training.{key}: auto is found without cached features and without distillation; set "
            "a number, or training.cache_features=off and no training.distillation.bundle"
        )
    if training.batch_size == AUTO and trainer.strategy.root_device.type != "cuda":
        raise RecipeError(
            "training.batch_size: auto looks for the end of a GPU's memory, this run is on "
            f"{trainer.strategy.root_device.type}, where the system would end the process "
            "instead; set a number"
        )
    ratios = (training.layer_decay, training.loraplus_ratio, training.vector_ratio)
    if training.learning_rate == AUTO and ratios != (1, 1, 1):
        raise RecipeError(
            "training.learning_rate: auto finds one rate for all layers; set a number, or "
            "training.layer_decay=1, training.loraplus_ratio=1 and training.vector_ratio=1"
        )


def _trainer_like(recipe: Recipe, trainer: Trainer, place: str) -> Trainer:
    """An engine on the same device, in the same precision, that logs and keeps nothing."""
    training = recipe.training
    device = trainer.strategy.root_device
    return Trainer(
        default_root_dir=place,
        max_epochs=RATES,  # each has a step
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=[device.index] if device.type == "cuda" else 1,
        precision=training.precision,
        accumulate_grad_batches=training.accumulate,
        gradient_clip_val=training.gradient_clip or None,
        deterministic=True,
        plugins=[WholeCheckpoints()],
        logger=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


@contextmanager
def _trial(trainer: Trainer, module: RecognizerModule, signals: StopSignals) -> Generator[None]:
    """Explain what ends a trial early, and keep silent on that it validates nothing."""
    with ends_explained(trainer, module, signals), without_its_deprecations():
        warnings.filterwarnings("ignore", "Total length of `list` across ranks is zero")
        yield


@contextmanager
def _bar_of_rates(*, shown: bool) -> Generator[None]:
    """Show Lightning's bar of the test of rates where the run has one; it has no key for that."""
    bar = lr_finder.tqdm
    lr_finder.tqdm = partial(bar, disable=not shown, leave=False)
    try:
        yield
    finally:
        lr_finder.tqdm = bar


def _largest_batch(
    trainer: Trainer, data: ClipDataModule, module: RecognizerModule, signals: StopSignals
) -> int:
    """The largest power of two of clips of which some steps fit into the memory."""
    most = FEWEST_CLIPS
    while 2 * most <= min(MOST_CLIPS, len(data.training) // BATCHES_OF_AN_EPOCH):
        most *= 2
    try:
        # Lightning returns `max_val` untried where it is reached, so it is one power more.
        with _trial(trainer, module, signals):
            found = Tuner(trainer).scale_batch_size(
                module,
                datamodule=data,
                steps_per_trial=STEPS_OF_A_SIZE,
                init_val=FEWEST_CLIPS,
                max_val=2 * most,
            )
    except ValueError as error:
        if "batch_size" not in str(error):
            raise
        raise RunError(
            "training.batch_size: not one clip fits into the device's memory; lower clip.frames, "
            "set training.checkpointing, or training.precision=bf16-mixed"
        ) from error
    assert found is not None  # None in dry runs of Lightning alone
    return min(found, most)


def _steepest_rate(
    trainer: Trainer, data: ClipDataModule, module: RecognizerModule, signals: StopSignals
) -> float:
    """A tenth of the rate at which the smoothed loss is lowest while rates grow by a factor.

    That is fastai's rule. Lightning's own suggestion is where the loss falls fastest by the rate
    itself, not by its logarithm: any noise at the lowest rates is steeper than what follows.
    """
    with _trial(trainer, module, signals):
        finder = Tuner(trainer).lr_find(
            module,
            datamodule=data,
            min_lr=LOWEST_RATE,
            max_lr=HIGHEST_RATE,
            num_training=RATES,
            update_attr=False,
        )
    assert finder is not None  # None in dry runs of Lightning alone
    losses, rates = (torch.tensor(finder.results[name]) for name in ("loss", "lr"))
    # Lightning divides the moving mean of n losses by the weight of n + 1: the first is halved.
    steps = torch.arange(1, len(losses) + 1, dtype=torch.float64)
    losses = losses * (1 - SMOOTHING ** (steps + 1)) / (1 - SMOOTHING**steps)
    losses, rates = losses[FIRST_RATES:], rates[FIRST_RATES : len(losses)]
    is_finite = losses.isfinite()
    losses, rates = losses[is_finite], rates[is_finite]
    if len(losses) and (lowest := int(losses.argmin())):
        return float(rates[lowest]) / BELOW_LOWEST
    raise RunError(
        f"training.learning_rate: no rate between {LOWEST_RATE:g} and {HIGHEST_RATE:g} lowers the "
        f"loss in {RATES} steps; set a number, and look at the samples"
    )
