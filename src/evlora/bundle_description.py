"""What config.json of a bundle holds, checked before anything is built from it.

Under `sha256` it has the SHA-256 of each file of the bundle that is learned or configures what is,
and of its own other keys. Bundles that were written before there was this key open without it.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple, cast

from pydantic import ValidationError

from evlora.bundle_place import DESCRIPTION
from evlora.errors import BundleError
from evlora.files import writing_file
from evlora.messages import explain, listed, shown
from evlora.models.adapters.earlier_defaults import are_earlier, with_earlier_defaults
from evlora.recognizer import RecognizerConfig
from evlora.untrusted import label_fault, parse_json, plain, read_text

BUNDLE_FORMAT = 1
HASHES = "sha256"
TEMPERATURE = "temperature"
"""By which scores are divided before they become probabilities; 1 where it is missing."""
KEYS = frozenset(
    {"format", "labels", "clip", "backbone", "model", "backbone_sha256", "versions"}
    | {"recipe", "metrics", "protocol", HASHES, TEMPERATURE}
)
AGAIN = "copy the whole bundle again"
PLACES = frozenset(
    {
        *("root", "source", "cache", "dir", "start_from", "cache_features", "weights"),
        *("data.root", "data.source", "data.cache", "run.dir", "training.start_from"),
        *("training.cache_features", "backbone.weights"),
    }
)
"""Keys of recipes and bundles that name files and folders."""


class Description(NamedTuple):
    """What is read before the weights."""

    config: RecognizerConfig
    labels: tuple[str, ...]
    backbone_sha256: str
    temperature: float


def write_description(folder: Path, content: Mapping[str, Any]) -> None:
    """Write config.json with the hashes of all files that are in the folder by now.

    Args:
        folder: Of the bundle, with its weights and adapters.
        content: The keys beside `format` and the hashes.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    hashes = {path.relative_to(folder).as_posix(): _hash_of(path) for path in files}
    description = {"format": BUNDLE_FORMAT, **content}
    description[HASHES] = {DESCRIPTION: _own_hash(description), **hashes}
    (folder / DESCRIPTION).write_text(_as_text(description), encoding="utf-8")


def write_temperature(folder: Path, temperature: float) -> None:
    """Change the temperature of a bundle that `read_description` has checked."""
    path = folder / DESCRIPTION
    content = json.loads(path.read_text(encoding="utf-8"))
    hashes = content.pop(HASHES, None)
    content[TEMPERATURE] = temperature
    if hashes is not None:
        content[HASHES] = {**hashes, DESCRIPTION: _own_hash(content)}
    with writing_file(path, durable=True) as temporary:
        temporary.write_text(_as_text(content), encoding="utf-8")


def _as_text(description: Mapping[str, Any]) -> str:
    return json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_description(folder: Path) -> Description:
    """The content of config.json, if all of the bundle's files are as they were written.

    Raises:
        BundleError: Something is missing, damaged or out of bounds.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise BundleError(f"{folder}: expected a bundle with a {DESCRIPTION}, found none there")
    try:
        content = parse_json(read_text(path, BundleError))
        if not isinstance(content, dict):
            raise ValueError(f"expected keys and values, got {shown(content)}")
        if content["format"] != BUNDLE_FORMAT:
            raise BundleError(
                f"{path}: expected bundle format {BUNDLE_FORMAT}, got {content['format']}; "
                "read it with the evlora that wrote it"
            )
        if unknown := sorted(content.keys() - KEYS):
            raise ValueError(f"unknown keys: {listed(unknown)}")
        _require_hashes(folder, content)
        parts = {key: content[key] for key in ("clip", "backbone", "model")}
        if are_earlier(_peft_configs(folder)):
            parts["model"] = with_earlier_defaults(parts["model"])
        config = RecognizerConfig.model_validate(parts)
        labels, sha256 = _labels(content["labels"]), str(content["backbone_sha256"])
        return Description(config, labels, sha256, _temperature(content.get(TEMPERATURE, 1.0)))
    except ValidationError as error:
        reason = explain(error, RecognizerConfig)
        raise BundleError(f"{path}: is damaged or not of a bundle: {reason}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"key {error} is missing" if isinstance(error, KeyError) else error
        raise BundleError(f"{path}: is damaged or not of a bundle: {reason}") from error


class Origin(NamedTuple):
    """What a bundle states of the run that it came from."""

    recipe: dict[str, Any] | None
    metrics: dict[str, float] | None
    protocol: dict[str, Any] | None
    """What the metrics were measured on; see `evlora.datasets.protocol`."""


def read_origin(folder: Path) -> Origin:
    """The origin in config.json of a bundle that `read_description` has checked."""
    content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    return Origin(content.get("recipe"), content.get("metrics"), content.get("protocol"))


def without_places(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same keys and values, in which files and folders are names without where they lie."""
    return {key: _without_place(value, key) for key, value in content.items()}


def _without_place(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return without_places(cast(Mapping[str, Any], value))
    if isinstance(value, list | tuple):
        return [_without_place(one, key) for one in cast(list[Any], value)]
    if not isinstance(value, str) or "://" in value:
        return value
    path = PureWindowsPath(value)  # which takes both kinds of slashes
    is_place = key in PLACES or value.startswith(("/", "~")) or path.is_absolute()
    return path.name if is_place and path.name else value


def _temperature(found: Any) -> float:
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    if not is_number or not 0 < found < math.inf:
        raise ValueError(f"expected a positive number as {TEMPERATURE}, got {shown(found)}")
    return float(found)


def _labels(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not found:
        raise ValueError(f"expected a list of labels, got {shown(found)}")
    labels = cast(list[Any], found)
    if wrong := [label for label in labels if not isinstance(label, str)]:
        raise ValueError(f"expected labels of text, got {shown(wrong[0])}")
    if fault := label_fault(labels):
        raise ValueError(fault)
    if len(set(labels)) < len(labels):
        twice = [label for label, count in Counter(labels).items() if count > 1]
        raise ValueError(f"expected each label once, got more of {listed(twice)}")
    return tuple(labels)


def _peft_configs(folder: Path) -> Iterator[Any]:
    """What the bundle's adapters were made with; those that are damaged are reported later."""
    for path in sorted(folder.glob("adapters/*/adapter_config.json")):
        try:
            yield parse_json(read_text(path, BundleError, limit="recipe_bytes"))
        except (BundleError, ValueError):
            continue


def _require_hashes(folder: Path, content: dict[str, Any]) -> None:
    if HASHES not in content:
        return
    hashes = dict(content[HASHES])
    own = {key: value for key, value in content.items() if key != HASHES}
    if hashes.pop(DESCRIPTION) != _own_hash(own):
        raise ValueError(f"its content has another SHA-256 than when it was written; {AGAIN}")
    for name, expected in hashes.items():
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise ValueError(f"expected files of the bundle under {HASHES}, got {name}")
        path = folder / name
        if not plain(path, BundleError).is_file():
            raise BundleError(f"{path}: is missing; {AGAIN}")
        if _hash_of(path) != expected:
            raise BundleError(
                f"{path}: is damaged: expected SHA-256 {expected[:16]}…, got "
                f"{_hash_of(path)[:16]}…; {AGAIN}"
            )


def _own_hash(content: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps(content))  # tuples as lists, numbers of keys as text
    text = json.dumps(plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
