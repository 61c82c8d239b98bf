"""The folder of a run.

recipe.yaml       the recipe as it was run, with all defaults written out
checkpoints/      best.ckpt (on the val split, if it is kept), last.ckpt and, of the one before,
                  previous.ckpt; trained tensors only
logs/             CSV and TensorBoard
bundle/           the recognizer of the epoch that is kept
metrics.json      written last: its presence shows that the run is complete
report.html       what the run does, as a page; `evlora train` writes it after all else
.lock             held by the process that trains
"""

import json
import shutil
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml
from pydantic import ValidationError

from evlora.companions import visible
from evlora.datasets.bucket import is_bucket
from evlora.errors import RecipeError, RunError
from evlora.files import standing, writing_file
from evlora.locking import holding
from evlora.messages import listed, shown
from evlora.recipe.schema import DataConfig, Recipe
from evlora.untrusted import plain, read_text
from evlora.untrusted_yaml import parse_yaml

if TYPE_CHECKING:
    from evlora.datasets.protocol import Protocol

RECIPE_FILE = "recipe.yaml"
METRICS_FILE = "metrics.json"
PROTOCOL = "protocol"
"""Its key beside the figures."""
CHECKPOINTS = "checkpoints"
BUNDLE = "bundle"
LOCK = ".lock"
LEFT_OVER = ("recipe", "metrics", "bundle", "last", "best", "previous", "finding")
"""What files and folders that are being written are called after their dot."""
OF_A_RUN = frozenset({RECIPE_FILE, CHECKPOINTS, "logs"})
"""What a run leaves that failed before its first checkpoint."""
EPOCHS = "training.epochs"
FOUND = ("batch_size", "learning_rate")
"""Keys of training that may be `auto` until a run has found a number, which its recipe.yaml has."""
FREE = frozenset(
    {
        *("run.dir", "data.source", "data.workers", "data.cache", "data.cache_gb"),
        *("training.devices", "training.nodes", "training.checkpoint_minutes"),
        *("training.standing_minutes", "training.strategy", "run.report", "run.loggers"),
    }
)
"""Keys that may change when a run is resumed: where things lie, and who does the work. Other
numbers of devices are taken up at an epoch's border only."""
FOLDERS = frozenset({"data.root"})
"""Keys whose relative names are looked up in the working folder."""


def folder_of(recipe: Recipe) -> Path:
    """The run's folder.

    Raises:
        RecipeError: The recipe names none.
    """
    if recipe.run.dir is None:
        raise RecipeError("run.dir: expected a folder for the run, got nothing; set run.dir=FOLDER")
    return recipe.run.dir


def root_of(data: DataConfig) -> str:
    """Where a run's dataset lies.

    Raises:
        RecipeError: The recipe does not name it.
    """
    if data.root is None:
        raise RecipeError(
            "data.root: expected the folder that `evlora prepare` made, or where a packed one lies "
            "in a bucket, got nothing; set data.root=FOLDER or data.root=s3://BUCKET/FOLDER"
        )
    return data.root


def require_places(recipe: Recipe) -> None:
    """Check that a recipe names its dataset and its folder, and that the dataset is there.

    `train` itself finds out more, after imports that take seconds.

    Raises:
        RecipeError: It does not name them.
        RunError: A file lies in the folder's place.
        DatasetError: The dataset is not there.
    """
    require_folder(folder_of(recipe))
    root = root_of(recipe.data)
    if not is_bucket(root):
        from evlora.datasets.storage import require_prepared  # which imports numpy

        require_prepared(Path(root))


def require_folder(folder: Path) -> None:
    """Check that no file lies where a run's folder will be.

    Raises:
        RunError: One does, or no folder can have this name.
    """
    if plain(folder, RunError).exists() and not folder.is_dir():
        raise RunError(f"{folder}: expected a folder as run.dir, found a file; choose another")


@contextmanager
def holding_folder(folder: Path) -> Generator[None]:
    """Keep other processes from training in this folder, and remove what killed ones left there.

    Raises:
        RunError: Another process trains there, or nothing can be written there.
    """
    refusal = RunError(
        f"{folder}: another process trains there; wait for its end, or choose another run.dir"
    )
    require_folder(folder)
    with ExitStack() as stack:
        try:
            stack.enter_context(holding(folder / LOCK, refusal=refusal))
        except OSError as error:
            reason = error.strerror or error
            raise RunError(
                f"{folder}: nothing can be written there: {reason}; choose another run.dir"
            ) from error
        for parent in (folder, folder / CHECKPOINTS):
            for name in LEFT_OVER:
                for left in parent.glob(f".{name}-*"):
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield


def claim(recipe: Recipe, *, resume: bool, may_grow: bool = True) -> Path:
    """The run's folder, which is free, or holds the same run where one is resumed.

    A folder is free as well where a run failed before its first checkpoint: nothing was learned.

    Args:
        recipe: Of the run.
        resume: Whether a run in the folder is resumed.
        may_grow: Whether it may be given more epochs than before.

    Raises:
        RecipeError: The recipe names no folder.
        RunError: The folder holds a run already, or one of another recipe, or a damaged one.
    """
    folder = folder_of(recipe)
    written = folder / RECIPE_FILE
    has_begun = _has_begun(folder)
    names = {entry.name for entry in visible(folder)} if folder.is_dir() else set[str]()
    others = sorted(names - OF_A_RUN)
    if not resume and has_begun:
        raise RunError(f"{folder}: holds a run; resume it with --resume, or choose another run.dir")
    if not resume and others:
        raise RunError(
            f"{folder}: expected an empty or a new folder as run.dir, found other things in it: "
            f"{listed(others)}; choose another run.dir"
        )
    if resume and has_begun and written.is_file():
        changed = [
            line
            for key, line in _differences_from(_read_recipe(written), recipe).items()
            if not (may_grow and key == EPOCHS and has_more_epochs(recipe))
        ]
        if changed:
            raise RunError(
                f"{written}: the run was started with another recipe; "
                f"{listed(changed)}; resume without these changes, or choose another run.dir"
            )
    return folder


def has_more_epochs(recipe: Recipe) -> bool:
    """Whether the run in the recipe's folder was begun with fewer epochs."""
    written = folder_of(recipe) / RECIPE_FILE
    if not written.is_file():
        return False
    before = _read_recipe(written).get("training")
    epochs = before.get("epochs") if isinstance(before, dict) else None
    return isinstance(epochs, int) and epochs < recipe.training.epochs


def _has_begun(folder: Path) -> bool:
    """Whether something was learned there."""
    written = (METRICS_FILE, BUNDLE)
    return any((folder / name).exists() for name in written) or any(
        (folder / CHECKPOINTS).glob("*.ckpt")
    )


def _read_recipe(path: Path) -> dict[str, Any]:
    advice = "copy it again, or delete it if the recipe is the one that the run was started with"
    try:
        content = parse_yaml(read_text(path, RunError, limit="recipe_bytes"))
    except (RunError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{path}: is damaged: {reason}; {advice}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path}: expected a recipe, got {shown(content)}; {advice}")
    return cast(dict[str, Any], content)


def _of_the_run(tree: dict[str, Any]) -> dict[str, Any]:
    """The keys of a recipe on which what a run learns depends, with folders by their full names."""
    kept = {
        section: {
            key: _full_name(value) if f"{section}.{key}" in FOLDERS else value
            for key, value in content.items()
            if f"{section}.{key}" not in FREE
        }
        if isinstance(content, dict)
        else content
        for section, content in tree.items()
    }
    return {section: content for section, content in kept.items() if section != "comparison"}


def _full_name(value: Any) -> Any:
    is_local = isinstance(value, str) and "://" not in value
    return str(Path(value).resolve()) if is_local else value


def _with_defaults(written: Any, recipe: Recipe) -> Any:
    """What was written, with the defaults of the keys that evlora did not have then."""
    try:
        return type(recipe).model_validate(written).model_dump(mode="json")
    except ValidationError:
        return written  # a key is there no more: the differences name it


def differences(before: Any, now: Any, key: str = "") -> dict[str, str]:
    """The keys that differ, each with what it was and is."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = sorted(before.keys() | now.keys())
        parts = [
            differences(before.get(name), now.get(name), f"{key}.{name}".lstrip("."))
            for name in names
        ]
        return {name: line for part in parts for name, line in part.items()}
    return {} if before == now else {key: f"{key} was {before}, is {now}"}


def changes_between(before: Any, recipe: Recipe) -> list[str]:
    """The keys that a run depends on and that differ between a written recipe and another one."""
    return list(_differences_from(before, recipe).values())


def with_found(recipe: Recipe) -> Recipe:
    """The recipe with the numbers that the run in its folder has found, where it has `auto`."""
    written = folder_of(recipe) / RECIPE_FILE
    has_found = _has_begun(folder_of(recipe)) and written.is_file()
    return _with_found_of(_read_recipe(written), recipe) if has_found else recipe


def _with_found_of(written: Any, recipe: Recipe) -> Recipe:
    found = written.get("training") if isinstance(written, dict) else None
    if not isinstance(found, dict):
        return recipe
    numbers = {
        key: found[key]
        for key in FOUND
        if getattr(recipe.training, key) == "auto" and isinstance(found.get(key), int | float)
    }
    training = recipe.training.model_copy(update=numbers)
    return recipe.model_copy(update={"training": training})


def _differences_from(written: Any, recipe: Recipe) -> dict[str, str]:
    before = _with_defaults(written, recipe)
    recipe = _with_found_of(written, recipe)
    return differences(_of_the_run(before), _of_the_run(recipe.model_dump(mode="json")))


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write the recipe as it is run, with all defaults."""
    with writing_file(folder / RECIPE_FILE, durable=True) as temporary:
        temporary.write_text(
            yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False), encoding="utf-8"
        )


def read_metrics(folder: Path) -> dict[str, float]:
    """The metrics of a finished run.

    Raises:
        RunError: They are damaged, or the bundle is not there.
    """
    path = folder / METRICS_FILE
    advice = f"delete {path}, then --resume writes metrics and bundle anew from the checkpoints"
    try:
        content = json.loads(path.read_text("utf-8"))
        metrics = {str(k): float(v) for k, v in content.items() if k != PROTOCOL}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: is damaged: {error}; {advice}") from error
    if not standing(folder / BUNDLE).is_dir():
        raise RunError(f"{path}: is there, but not the bundle of the run; {advice}")
    return metrics


def read_protocol(folder: Path) -> "Protocol | None":
    """What the metrics of a run are of; None where they are not there yet, or do not state it."""
    from evlora.datasets.protocol import Protocol  # which imports numpy

    try:
        return Protocol(**json.loads((folder / METRICS_FILE).read_text("utf-8"))[PROTOCOL])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_metrics(
    folder: Path, metrics: Mapping[str, float], protocol: Mapping[str, Any] | None = None
) -> None:
    """Write the metrics, which mark the run as finished.

    Args:
        folder: The run's.
        metrics: Names and figures.
        protocol: What they were measured on.
    """
    content = {**metrics, **({PROTOCOL: protocol} if protocol else {})}
    with writing_file(folder / METRICS_FILE, durable=True) as temporary:
        text = json.dumps(content, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
