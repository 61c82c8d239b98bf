"""The recognizer that a run begins with: untrained, or one that a bundle holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from evlora.bundle import load_bundle
from evlora.bundle_backbone import OWN_BACKBONE, backbone_at
from evlora.bundle_place import bundle_in
from evlora.errors import RunError
from evlora.files import standing
from evlora.messages import listed
from evlora.models import build_backbone
from evlora.models.adapters import fill_kept_ranks
from evlora.models.backbone import PRETRAINED, RANDOM
from evlora.recipe import Recipe
from evlora.recognizer import Recognizer, RecognizerConfig, build_recognizer
from evlora.training.folder import differences

SAME_CLIP = ("modalities", "frames", "size")
"""Keys of `clip` on which the network's weights depend."""
HEAD = "network.head."


def start(recipe: Recipe, labels: tuple[str, ...], report: Callable[[str], None]) -> Recognizer:
    """The recognizer of a recipe, with the weights of `training.start_from` where that is set.

    Args:
        recipe: Of the run.
        labels: Names of the classes.
        report: Takes a line where the head begins anew.

    Raises:
        BundleError: The bundle is damaged, or its backbone is another one.
        RunError: It was trained with another network.
    """
    bundle = recipe.training.start_from
    if bundle is None:
        return build_recognizer(recipe.recognizer(), labels)
    config = recipe.recognizer()
    weights = config.backbone.weights
    given = None if weights in (PRETRAINED, RANDOM) else weights
    former = load_bundle(bundle, weights=given)
    changed = _changed_keys(former.config, config)
    if changed:
        raise RunError(
            f"training.start_from: {bundle} was trained with another network; {listed(changed)}; "
            "set these keys as they were, or train without training.start_from"
        )
    own = standing(bundle_in(Path(bundle))) / OWN_BACKBONE
    source = str(own) if own.is_file() else weights
    backbone = build_backbone(backbone_at(source, config.backbone), size=config.clip.size_px)
    recognizer = Recognizer(backbone, config, labels)
    has_same_labels = labels == former.labels
    if not has_same_labels:
        report(f"note: the head begins anew: {bundle} has other labels than the dataset")
    _take_over(former, recognizer, with_head=has_same_labels, bundle=bundle)
    return recognizer


def _changed_keys(before: RecognizerConfig, now: RecognizerConfig) -> list[str]:
    def keys(config: RecognizerConfig) -> dict[str, Any]:
        tree = config.model_dump(mode="json")
        return {
            "model": tree["model"],
            "backbone": {key: tree["backbone"][key] for key in ("name", "options")},
            "clip": {key: tree["clip"][key] for key in SAME_CLIP},
        }

    return list(differences(keys(before), keys(now)).values())


def _take_over(former: Recognizer, now: Recognizer, *, with_head: bool, bundle: Path) -> None:
    learned = {
        name: tensor
        for name, tensor in now.learned_tensors().items()
        if with_head or not name.startswith(HEAD)
    }
    known = former.learned_tensors()

    def take_over(name: str, tensor: torch.Tensor) -> bool:
        if name not in known:
            return False
        if known[name].shape == tensor.shape:
            tensor.copy_(known[name])
            return True
        return fill_kept_ranks(name, tensor, known[name])  # AdaLoRA's, some of them taken away

    with torch.no_grad():
        differing = [name for name, tensor in learned.items() if not take_over(name, tensor)]
    if differing:
        raise RunError(
            f"training.start_from: {bundle} has other weights than this recipe learns: "
            f"{listed(differing)}; train without training.start_from"
        )
