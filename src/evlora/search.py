"""Search over keys of a recipe by Optuna: any number of workers, resumed, bad trials pruned.

search.log      Optuna's journal, which all workers of a search read and append to
trials/<id>/    the run of each trial; its name follows from its keys
trials/N.lock   held while a worker makes trial N
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from evlora.datasets.protocol import Protocol
from evlora.errors import EvloraError, RecipeError, RunError
from evlora.locking import holding
from evlora.recipe import Recipe, as_mapping, load_recipe
from evlora.training.best import ACCURACY
from evlora.training.folder import folder_of, read_protocol
from evlora.training.run import train

JOURNAL, TRIALS, STUDY = "search.log", "trials", "evlora"
KEYS = "keys"
"""Under this name a trial notes its keys."""
INSTEAD_OF = "instead_of"
"""Under this name a trial notes the killed one that it is made in place of."""
WIDE = 10.0
"""Ratio of the ends of a range from which it is searched by its logarithm."""


@dataclass(frozen=True, slots=True)
class Searched:
    """A key and what is tried of it: a range, or some values."""

    key: str
    low: float | None
    high: float | None
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Searched":
        """The key and range of `training.learning_rate=1e-4..1e-2`, or values as `model.rank=4,8`.

        Raises:
            RecipeError: It is none.
        """
        key, equals, given = text.partition("=")
        fault = RecipeError(
            f"--over {text!r}: expected a key with a range or with values, such as "
            "training.learning_rate=1e-4..1e-2 or training.batch_size=4,8"
        )
        if not key or not equals:
            raise fault
        low, dots, high = given.partition("..")
        if not dots:
            values = tuple(dict.fromkeys(value.strip() for value in given.split(",")))
            if not all(values) or len(values) < 2:
                raise fault
            return cls(key, None, None, values)
        try:
            ends = float(low), float(high)
        except ValueError:
            raise fault from None
        if not ends[0] < ends[1] or max(map(abs, ends)) == float("inf"):
            raise fault
        return cls(key, *ends, values=())

    @property
    def is_whole(self) -> bool:
        """Whether a range's ends are whole numbers, so that only such are tried."""
        ends = (self.low, self.high)
        return all(end is not None and end.is_integer() for end in ends)

    def draw(self, trial: Any) -> Any:
        """A value of it that the trial chooses."""
        if self.low is None or self.high is None:
            return trial.suggest_categorical(self.key, self.values)
        is_log = self.low > 0 and self.high / self.low >= WIDE
        if self.is_whole:
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=is_log)
        return trial.suggest_float(self.key, self.low, self.high, log=is_log)

    @property
    def first(self) -> str:
        """A value of it, as it would be typed."""
        return self.values[0] if self.low is None else f"{self.low:g}"


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of a search."""

    keys: dict[str, Any]
    state: str
    """complete, pruned, fail or running."""
    val_top1: float | None
    """The best epoch's, a share of 1; of a pruned trial, that of its last epoch."""
    folder: Path
    protocol: Protocol | None
    """What the accuracy is of; None for a trial that is not complete."""


class _Reporter(Callback):
    """Hands each epoch's accuracy to the search, which ends a trial that is worse than others."""

    def __init__(self, trial: Any) -> None:
        self._trial = trial
        self._best = 0.0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the best accuracy until now."""
        import optuna  # pyright: ignore[reportMissingImports]

        self._best = max(self._best, float(trainer.callback_metrics[ACCURACY]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an epoch of a resumed trial, once more
            self._trial.report(self._best, step=trainer.current_epoch)
        if self._trial.should_prune():
            raise optuna.TrialPruned


def search(
    recipe: str | Path,
    *,
    over: Sequence[str],
    overrides: Iterable[str] | Mapping[str, Any] = (),
    trials: int = 20,
    report: Callable[[str], None] = lambda line: None,
) -> list[Trial]:
    """Train a recipe with other values of some keys, and find those of the best val accuracy.

    The same call goes on where the search in `run.dir` was stopped, and a second process that makes
    it works beside the first.

    Args:
        recipe: The recipe's file, or the name of one that ships with evlora.
        over: Keys with a range or with values; see `Searched.parse`.
        overrides: Keys to change in all trials; `run.dir` is the folder of the search.
        trials: How many the search has in all, over all calls and processes.
        report: Takes a line for each trial.

    Returns:
        All trials of the search, the best one first.

    Raises:
        RecipeError: A key or a value is wrong, or there is nothing to validate on.
        RunError: Optuna is not installed.
    """
    if find_spec("optuna") is None:
        raise RunError('search: Optuna is not installed: pip install "evlora[search]"')
    import optuna  # pyright: ignore[reportMissingImports]
    from optuna.storages import JournalStorage  # pyright: ignore[reportMissingImports]
    from optuna.storages.journal import JournalFileBackend  # pyright: ignore[reportMissingImports]

    searched = [Searched.parse(text) for text in over]
    given = as_mapping(overrides)
    firsts = as_mapping([f"{one.key}={one.first}" for one in searched])
    whole = load_recipe(recipe, {**given, **firsts})
    _require_validation(whole, searched)
    folder = folder_of(whole)
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        study_name=STUDY,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
    )

    while True:
        with ExitStack() as held:
            trial = _next(study, searched, whole, trials, held)
            if trial is None:
                return _results(study, folder)
            keys = trial.user_attrs[KEYS]
            own = {**given, **keys, "run.dir": str(_folder_of_trial(folder, keys))}
            try:
                run = train(recipe, overrides=own, resume=True, callbacks=[_Reporter(trial)])
            except optuna.TrialPruned:
                ended = study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            except EvloraError:
                ended = study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                ended = study.tell(trial, run.metrics["val_top1"])
        value = "" if ended.value is None else f" {ended.value:.1%}"
        named = ", ".join(f"{key}={value}" for key, value in ended.params.items())
        report(f"trial {_done(study)}/{trials}: {ended.state.name.lower()}{value}  {named}")


def _require_validation(recipe: Recipe, searched: Sequence[Searched]) -> None:
    if not searched:
        raise RecipeError(
            "search: expected keys to search over, got none; add --over KEY=LOW..HIGH"
        )
    if recipe.training.keep != "best":
        raise RecipeError(
            "training.keep: expected best, since trials are compared by their best epoch on the "
            f"val split, got {recipe.training.keep}; set training.keep=best"
        )


def _folder_of_trial(folder: Path, keys: Mapping[str, Any]) -> Path:
    text = json.dumps(keys, sort_keys=True)
    return folder / TRIALS / hashlib.sha256(text.encode()).hexdigest()[:12]


def _next(
    study: Any, searched: Sequence[Searched], recipe: Recipe, trials: int, held: ExitStack
) -> Any | None:
    """A trial that begins, with its keys noted and its lock held; None where all have begun."""
    import optuna  # pyright: ignore[reportMissingImports]

    folder = folder_of(recipe)
    with _alone(folder):
        _take_up_killed(study, folder)
        if _begun(study) >= trials:
            return None
        # Workers beside one another, and calls after one another, must not draw the same values.
        study.sampler = optuna.samplers.TPESampler(seed=recipe.run.seed + len(study.trials))
        trial = study.ask()
        held.enter_context(
            holding(_lock_of(folder, trial.number), refusal=RunError("search: in use"))
        )
        trial.set_user_attr(KEYS, as_mapping([f"{one.key}={one.draw(trial)}" for one in searched]))
    return trial


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Wait until no other worker chooses a trial: two that count at once would begin one too many.

    A lock whose worker was killed is taken over after half a minute.
    """
    from optuna.storages.journal import JournalFileOpenLock  # pyright: ignore[reportMissingImports]

    lock = JournalFileOpenLock(str(folder / "choosing"))
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _lock_of(folder: Path, number: int) -> Path:
    return folder / TRIALS / f"{number}.lock"


def _take_up_killed(study: Any, folder: Path) -> None:
    """Let trials whose process was killed be made again; they resume from their checkpoints."""
    import optuna  # pyright: ignore[reportMissingImports]

    for trial in study.trials:
        if trial.state != optuna.trial.TrialState.RUNNING:
            continue
        with suppress(RunError):  # another worker is at it
            with holding(_lock_of(folder, trial.number), refusal=RunError("in use")):
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params, user_attrs={INSTEAD_OF: trial.number})


def _begun(study: Any) -> int:
    """Trials that have ended or that a worker is at, each of them once."""
    import optuna  # pyright: ignore[reportMissingImports]

    running = optuna.trial.TrialState.RUNNING
    return _done(study) + sum(one.state == running for one in study.trials)


def _done(study: Any) -> int:
    """Trials that have ended, without those that others were made in place of."""
    replaced = {trial.user_attrs.get(INSTEAD_OF) for trial in study.trials}
    return sum(one.state.is_finished() and one.number not in replaced for one in study.trials)


def _results(study: Any, folder: Path) -> list[Trial]:
    found: list[Trial] = []
    for trial in study.trials:
        keys = cast(dict[str, Any], trial.user_attrs.get(KEYS, trial.params))
        own = _folder_of_trial(folder, keys)
        state = trial.state.name.lower()
        found.append(Trial(keys, state, trial.value, own, read_protocol(own)))
    order = {"complete": 0, "pruned": 1}
    return sorted(found, key=lambda one: (order.get(one.state, 2), -(one.val_top1 or 0.0)))
