"""The backbone of a bundle: where its weights lie, and how bundles of one process share them.

A bundle states the name and the SHA-256 of the backbone's weight file, and not where it lay. The
file is looked for in the bundle, beside it, in the folder above, where the recipe of the run beside
the bundle has it, and in the working folder.
"""

from collections.abc import Iterator
from pathlib import Path
from weakref import WeakSet

import torch
import yaml
from torch import Tensor

from evlora.config import expanded
from evlora.errors import BackboneError, BundleError
from evlora.models import Backbone, build_backbone, weights_sha256
from evlora.models.backbone import PRETRAINED, RANDOM
from evlora.models.config import BackboneConfig
from evlora.recognizer import Recognizer, RecognizerConfig
from evlora.untrusted import read_text
from evlora.untrusted_yaml import parse_yaml

OWN_BACKBONE = "backbone.safetensors"
RECIPE_OF_A_RUN = "recipe.yaml"

_LOADED: WeakSet[Recognizer] = WeakSet()
"""The recognizers whose frozen weights others may use."""


def find_backbone(
    source: Path, config: RecognizerConfig, sha256: str, given: str | Path | None
) -> tuple[Backbone, str]:
    """The backbone that a bundle was made for, and where its weights were found.

    Args:
        source: The bundle.
        config: What it states.
        sha256: Of the weights.
        given: The file that a user names.

    Raises:
        BundleError: It is not found, or it is another one.
    """
    name = config.backbone.name
    places = [str(given)] if given is not None else list(_places(source, config))
    faults: list[str] = []
    for place in places:
        settings = backbone_at(place, config.backbone)
        try:
            backbone = build_backbone(settings, size=config.clip.size_px)
        except BackboneError as error:
            faults.append(
                f"{source}: cannot get its backbone, {name}: {error}; if the weights lie "
                "elsewhere, name the file with weights= or --weights"
            )
            continue
        found = weights_sha256(backbone.state_dict())
        if found == sha256:
            return backbone, place
        faults.append(
            f"{source}: was made for another backbone: expected weights of {name} with SHA-256 "
            f"{sha256[:16]}…, got {found[:16]}… from {place}; name the right file with weights= "
            "or --weights"
        )
    if not faults:
        faults.append(
            f"{source}: cannot get its backbone, {name}: expected its weights, the file "
            f"{Path(config.backbone.weights).name} with SHA-256 {sha256[:16]}…, found no such file "
            "in the bundle, beside it, above it, where the run's recipe has it, or in the working "
            "folder; name the file with weights= or --weights"
        )
    raise BundleError(faults[0])


def backbone_at(place: str, config: BackboneConfig) -> BackboneConfig:
    """The same backbone from another weight file; one of a bundle holds nothing else."""
    is_own = Path(place).name == OWN_BACKBONE
    return config.model_copy(update={"weights": place} | ({"prefix": ""} if is_own else {}))


def _places(source: Path, config: RecognizerConfig) -> Iterator[str]:
    """Where the weights may lie, most likely first; files that are there, each once."""
    weights = config.backbone.weights
    if (source / OWN_BACKBONE).is_file():
        yield str(source / OWN_BACKBONE)
        return
    if weights in (PRETRAINED, RANDOM):
        yield weights
        return
    name = Path(weights).name
    folder = source.resolve()
    files = [Path(expanded(weights)), folder / name, folder.parent / name]
    files += [folder.parent.parent / name, *_of_the_run(folder.parent, name), Path(name)]
    yield from dict.fromkeys(str(file) for file in files if file.is_file())


def _of_the_run(run: Path, name: str) -> Iterator[Path]:
    """The file of this name that the recipe of a run has."""
    try:
        recipe = read_text(run / RECIPE_OF_A_RUN, BundleError, limit="recipe_bytes")
        file = Path(expanded(str(parse_yaml(recipe)["backbone"]["weights"])))
    except (BundleError, yaml.YAMLError, KeyError, TypeError):
        return  # no run, or a damaged one: the file may still lie elsewhere
    if file.name == name:
        yield file


def share_with_loaded(backbone: Backbone, sha256: str) -> None:
    """Let a backbone use the frozen weights of one that was loaded before, where they are equal.

    Both have parameters of their own over the same memory: moving one to another device or type
    leaves the other as it is.

    Args:
        backbone: On the device where it will stay; changed in place.
        sha256: Of its weights.
    """
    own = dict(backbone.named_parameters())
    for other in list(_LOADED):
        if not other.shares_weights or other.backbone_sha256 != sha256:
            continue
        theirs = other.backbone_tensors()
        for name in [name for name, parameter in own.items() if _is_equal(theirs[name], parameter)]:
            own.pop(name).data = theirs[name].detach()
        if not own:  # otherwise one on another device, or in another type
            return


def let_others_share(recognizer: Recognizer) -> None:
    """Let bundles that are loaded later use this recognizer's frozen weights while it exists."""
    recognizer.shares_weights = True
    _LOADED.add(recognizer)


def _is_equal(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors hold the same numbers in the same form on the same device."""
    return (
        (first.device, first.dtype, first.shape) == (second.device, second.dtype, second.shape)
        and not first.is_inference()
        and torch.equal(first, second)
    )


def exact_backbone(recognizer: Recognizer) -> dict[str, Tensor]:
    """The weights that the network was built on, by name, even where training has cast them.

    Raises:
        BackboneError: They have been cast, and their file is not found any more.
    """
    if recognizer.has_exact_weights:
        return recognizer.backbone_tensors()
    config = recognizer.config
    return build_backbone(config.backbone, size=config.clip.size_px).state_dict()
