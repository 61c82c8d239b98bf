"""Methods under one budget of tuning: each setting on held-out samples, the best one on the test.

A method has the same number of trials as any other: every rate with every scale. A scale multiplies
what the method's part is scaled by (LoRA's alpha, `scale` of others), or the rate where it has
none. Trials train with seed 0 on a part of the training split and are compared on the rest of it
(or on the dataset's own val split); the best one is then trained on all of it once per seed, and
that alone meets the test split. Normalisation, schedule and the last epoch are those of the task's
recipe for every method. Any number of processes may share a folder, and resume in it:

OUT/TASK/METHOD/tuned/RATE-SCALE/        a trial's run, with its accuracy in RATE-SCALE.json
OUT/TASK/METHOD/tested/RATE-SCALE-SEED/  a run of the best setting, the same way

`vtab.py` and `methods.py` are made of it.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scipy.stats import t as student_t

from evlora.bundle import load_bundle
from evlora.clips import ClipConfig
from evlora.datasets import prepare
from evlora.datasets.manifest import Manifest
from evlora.datasets.samples import SPLITS
from evlora.datasets.storage import is_prepared, read_manifest, write_manifest
from evlora.errors import DatasetError, EvloraError, RecipeError, RunError
from evlora.evaluation import evaluate
from evlora.files import writing_file, writing_folder
from evlora.locking import holding
from evlora.messages import listed, suggestion
from evlora.models.adapters import METHODS
from evlora.packing import pack
from evlora.recipe import Recipe, load_recipe
from evlora.training.folder import with_found
from evlora.training.opening import open_dataset
from evlora.training.run import train

HELD_OUT = 0.2
"""Of the training split, for the trials: 200 of 1,000."""
LOSSY = "jpeg:95"
"""How pictures are packed where that is smaller."""
WAIT_S = 5.0
"""Between two looks at what other processes have made."""


@dataclass(frozen=True)
class Task:
    """A dataset and the recipe with which every method learns it."""

    name: str
    recipe: str | Path
    keys: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Keys of the recipe to change, `data.root` among them."""
    group: str = ""


@dataclass(frozen=True)
class Budget:
    """What every method may try, and how often its best setting is trained."""

    rates: tuple[float, ...]
    scales: tuple[float, ...] = (1.0,)
    seeds: int = 3


def add_budget(parser: argparse.ArgumentParser) -> None:
    """Give a command the options of a budget."""
    parser.add_argument("--rates", type=numbers, default="3e-4,2e-3,1e-2", help="to try")
    parser.add_argument("--scales", type=numbers, default="1", help="factors to try")
    parser.add_argument("--seeds", type=int, default=3)


def budget_of(arguments: argparse.Namespace) -> Budget:
    """What the options of `add_budget` ask for."""
    return Budget(arguments.rates, arguments.scales, arguments.seeds)


@dataclass
class Tuned:
    """What became of a method on a task."""

    setting: str = ""
    """The best one on held-out samples, `RATE-SCALE`."""
    top1: list[float] = field(default_factory=list[float])
    """Accuracy on the test split by seed, shares of 1."""
    failure: str = ""

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.top1)

    @property
    def half_interval(self) -> float:
        """Half of the 95 % interval of the mean by Student's t; 0 for one seed."""
        count = len(self.top1)
        if count < 2:
            return 0.0
        return float(student_t.ppf(0.975, count - 1)) * statistics.stdev(self.top1) / count**0.5

    @property
    def cell(self) -> str:
        """Mean ± half of its interval in per cent, or that it failed."""
        if self.failure:
            return "failed"
        spread = f" ± {100 * self.half_interval:.1f}" if len(self.top1) > 1 else ""
        return f"{100 * self.mean:.1f}{spread}"


Report = Callable[[str], None]
Results = dict[tuple[str, str], Tuned]
"""By task and method."""


def numbers(text: str) -> tuple[float, ...]:
    """The numbers of a list such as `1e-4,1e-3`, for argparse.

    Raises:
        ValueError: One is none, or not larger than zero.
    """
    found = tuple(float(part) for part in text.split(","))
    if not all(number > 0 for number in found):
        raise ValueError(text)
    return found


def prepared(
    root: Path,
    layout: str,
    source: Path | None,
    options: Mapping[str, Any] | None = None,
    *,
    most_of_train: int | None = None,
) -> Path:
    """A dataset, prepared by one process; the others wait for it.

    Args:
        root: Where it is made, if it is not there yet.
        layout: As `evlora prepare` takes it.
        source: The same.
        options: Of the layout.
        most_of_train: Of a larger training split, the same number of each class is drawn, this
            many in all at most; None takes all.

    Raises:
        DatasetError: The source is not laid out like this.
    """

    def make() -> None:
        if most_of_train is None:
            prepare(layout, source, root, options=options)
            return
        whole = root.with_name(f"{root.name}-whole")
        prepare(layout, source, whole, options=options, overwrite=True)
        drawn = _drawn(read_manifest(whole), most_of_train)
        with writing_folder(root) as temporary:
            write_manifest(drawn, temporary)

    return _by_one(root, make)


def packed(root: Path, clip: ClipConfig, *, shorter_side_px: int) -> Path:
    """A prepared dataset as small packed pictures, made by one process: many runs read them.

    Args:
        root: The dataset.
        clip: What is packed.
        shorter_side_px: Larger pictures are scaled to it.
    """
    out = root.with_name(f"{root.name}-packed")
    return _by_one(
        out,
        lambda: pack(root, out, clip, shorter_side_px=shorter_side_px, lossy=LOSSY, workers=0),
    )


def _by_one(folder: Path, make: Callable[[], object]) -> Path:
    """A folder of clips, made by one process; the others wait for it."""
    lock = folder.with_name(f"{folder.name}.lock")
    while not is_prepared(folder):
        with ExitStack() as held:
            try:
                held.enter_context(holding(lock, refusal=RunError(f"{folder} is being made")))
            except RunError:
                time.sleep(WAIT_S)
                continue
            if not is_prepared(folder):
                make()
    return folder


def _drawn(manifest: Manifest, most_of_train: int) -> Manifest:
    """The manifest with as many training samples as that at most, of each class the same number."""
    if len(manifest.split("train")) <= most_of_train:
        return manifest
    few = manifest.with_shots(most_of_train // len(manifest.labels), seed=0)
    return replace(few, samples=tuple(sample for sample in few.samples if sample.split in SPLITS))


def adapter_of(name: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The value of `model.adapter` for a row, or for a method of the catalogue with its defaults.

    Raises:
        RecipeError: There is neither.
    """
    if name in rows:
        return dict(rows[name])
    if name not in METHODS:
        raise RecipeError(
            f"--methods: no row or method is called {name!r}; {suggestion(name, [*rows, *METHODS])}"
        )
    return {"method": name}


def settings_of(adapter: Mapping[str, Any], budget: Budget) -> dict[str, dict[str, Any]]:
    """The keys of every trial, by `RATE-SCALE`."""
    return {
        f"{rate:g}-{scale:g}": _keys(adapter, rate, scale)
        for rate in budget.rates
        for scale in budget.scales
    }


def _keys(adapter: Mapping[str, Any], rate: float, scale: float) -> dict[str, Any]:
    method = METHODS[adapter["method"]]
    defaults = method.default_settings()
    options: dict[str, Any] = dict(adapter.get("options", {}))
    scaled = dict(adapter)
    if "alpha" in defaults:
        scaled["alpha"] = scale * adapter.get("alpha", defaults["alpha"])
    elif "scale" in method.options.model_fields:
        default = method.options.model_fields["scale"].default
        scaled["options"] = options | {"scale": scale * options.get("scale", default)}
    else:
        rate *= scale
    return {"model.adapter": scaled, "training.learning_rate": rate}


def work(
    out: Path,
    tasks: Sequence[Task],
    methods: Mapping[str, Mapping[str, Any]],
    budget: Budget,
    report: Report = print,
) -> Results:
    """Make all runs that nobody else makes, and wait for the others.

    Args:
        out: Folder of the runs.
        tasks: What is learned.
        methods: Value of `model.adapter` by name.
        budget: The same for all.
        report: Takes a line for each run.

    Raises:
        RecipeError: A recipe is wrong; nothing was trained.
        RunError: The folder holds runs of a task with other keys; nothing was trained.
    """
    pairs = [(task, name) for name in methods for task in tasks]
    for task, name in pairs:  # a mistake is reported before anything is trained
        for keys in settings_of(methods[name], budget).values():
            load_recipe(task.recipe, {**task.keys, **keys})
    for task in tasks:
        _claim(out / task.name, task)
    results: Results = {}
    while True:
        made = False
        for task, name in pairs:
            if (task.name, name) not in results:
                folder = out / task.name / name
                for ended in _steps(folder, task, methods[name], budget, report):
                    made = True
                    if isinstance(ended, Tuned):
                        results[task.name, name] = ended
        if len(results) == len(pairs):
            return results
        if not made:
            time.sleep(WAIT_S)


def found(
    out: Path, tasks: Sequence[Task], methods: Mapping[str, Mapping[str, Any]], budget: Budget
) -> Results:
    """What is complete in the folder, without any training."""
    results: Results = {}
    for task in tasks:
        for name, adapter in methods.items():
            tuned = _known(out / task.name / name, adapter, budget)
            if tuned is not None:
                results[task.name, name] = tuned
    return results


def _claim(folder: Path, task: Task) -> None:
    """Note with which keys a task is learned, or check that they are those noted before."""
    path, keys = folder / "task.json", {"recipe": str(task.recipe), **task.keys}
    noted = json.loads(json.dumps(keys))
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [key for key in {**before, **noted} if before.get(key) != noted.get(key)]
        if changed:
            raise RunError(
                f"{path}: runs of {task.name} were made with another {listed(changed)}; "
                f"give what they had ({', '.join(f'{k}={before.get(k)}' for k in changed)}), or "
                "choose another folder"
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing_file(path) as temporary:
        temporary.write_text(json.dumps(noted, indent=2) + "\n", encoding="utf-8")


def _steps(
    folder: Path, task: Task, adapter: Mapping[str, Any], budget: Budget, report: Report
) -> Iterator[Tuned | None]:
    """Make a method's runs on a task; None for each, and at last what came of them all."""
    tried = settings_of(adapter, budget)
    held_out = {"data.validation_fraction": HELD_OUT}
    for setting, keys in tried.items():
        run = _Run(task, {**keys, **held_out}, folder / "tuned" / setting, "val", 0)
        if _made(run, report):
            yield None
    best = _best(folder, tried)
    if best is None:
        return
    for seed in range(budget.seeds if best else 0):
        keys = {**tried[best], "data.validation_fraction": 0}
        run = _Run(task, keys, folder / "tested" / f"{best}-{seed}", "test", seed)
        if _made(run, report):
            yield None
    tuned = _known(folder, adapter, budget)
    if tuned is not None:
        yield tuned


def _known(folder: Path, adapter: Mapping[str, Any], budget: Budget) -> Tuned | None:
    """What came of a method's runs; None while one is missing."""
    best = _best(folder, settings_of(adapter, budget))
    if best is None:
        return None
    if not best:
        return Tuned(failure="no setting could be trained")
    places = [folder / "tested" / f"{best}-{seed}" for seed in range(budget.seeds)]
    if not all(_file(place).is_file() for place in places):
        return None
    ends = [_read(place) for place in places]
    failures = [end["failure"] for end in ends if "failure" in end]
    if failures:
        return Tuned(best, failure=failures[0])
    return Tuned(best, [end["top1"] for end in ends])


def _best(folder: Path, tried: Mapping[str, Any]) -> str | None:
    """The best setting, of equal ones the first; empty if all failed, None while one is missing."""
    places = {setting: folder / "tuned" / setting for setting in tried}
    if not all(_file(place).is_file() for place in places.values()):
        return None
    scores = {setting: _read(place).get("top1", -1.0) for setting, place in places.items()}
    best = max(scores, key=lambda setting: scores[setting])
    return best if scores[best] >= 0 else ""


@dataclass(frozen=True)
class _Run:
    """A run to make and to score on a split."""

    task: Task
    keys: Mapping[str, Any]
    place: Path
    split: str
    seed: int

    @property
    def recipe(self) -> Recipe:
        fixed = {"training.keep": "last", "run.dir": str(self.place), "run.seed": self.seed}
        recipe = load_recipe(self.task.recipe, {**self.task.keys, **self.keys, **fixed})
        return recipe.model_copy(update={"comparison": {}})


def _made(run: _Run, report: Report) -> bool:
    """Train and score a run unless that is done, or another process is at it; whether it was."""
    place = run.place
    if _file(place).is_file():
        return False
    with ExitStack() as held:
        try:
            lock = place.with_name(f"{place.name}.lock")
            held.enter_context(holding(lock, refusal=RunError(f"{place} is being trained")))
        except RunError:
            return False
        if not _file(place).is_file():
            end = _trained(run.recipe, run.split)
            with writing_file(_file(place)) as temporary:
                temporary.write_text(json.dumps(end) + "\n", encoding="utf-8")
            shown = end.get("failure") or f"{end['top1']:.1%} of {run.split}"
            report(f"{'/'.join(place.parts[-4:])}: {shown}")
    return True


def _trained(recipe: Recipe, split: str) -> dict[str, Any]:
    """The accuracy of a run on a split, or why there is none."""
    begun = time.process_time()
    try:
        run = train(recipe, resume=True)
        recognizer = load_bundle(run.bundle)
        is_alone = recognizer.network.depends_on_batch  # then each clip is answered by itself
        result = evaluate(
            recognizer,
            open_dataset(recipe.data, seed=recipe.run.seed),
            split=split,
            batch_size=None if is_alone else with_found(recipe).training.clips_of_a_batch,
            workers=recipe.data.workers,
        )
    except (RecipeError, DatasetError):
        raise  # a mistake that all methods share
    except (
        EvloraError,
        ValueError,
        RuntimeError,
    ) as error:  # one method's must not stop the others
        return {"failure": f"{type(error).__name__}: {error}"}
    return {"top1": result.top1, "process_s": round(time.process_time() - begun, 1)}


def _file(place: Path) -> Path:
    return place.with_name(f"{place.name}.json")


def _read(place: Path) -> dict[str, Any]:
    return json.loads(_file(place).read_text(encoding="utf-8"))
