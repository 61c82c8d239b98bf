"""A trained recognizer on disk: a folder of a few MB beside one shared backbone.

config.json            labels, clip, backbone with the SHA-256 of its weights, network, versions,
                       and the SHA-256 of the files below
adapters/<part>/       the adapters of each view and stage, in peft's own format
head.safetensors       everything else that was trained, and the statistics of norms
backbone.safetensors   only where it was made at random, trained, came with a checkpoint, or was
                       asked for
README.md              what it is, and what was measured
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from evlora.bundle_backbone import (
    OWN_BACKBONE,
    exact_backbone,
    find_backbone,
    let_others_share,
    share_with_loaded,
)
from evlora.bundle_description import (
    AGAIN,
    TEMPERATURE,
    read_description,
    read_origin,
    without_places,
    write_description,
    write_temperature,
)
from evlora.bundle_place import DESCRIPTION, bundle_in, is_on_hub
from evlora.errors import BundleError
from evlora.files import standing, writing_folder
from evlora.hub import fetch_bundle
from evlora.messages import listed
from evlora.model_card import model_card
from evlora.models import weights_sha256
from evlora.models.adapters import before_loading, before_saving
from evlora.models.backbone import RANDOM
from evlora.recognizer import Recognizer, RecognizerConfig, adapted_parts, tensors_beside_adapters
from evlora.untrusted import parse_json, plain, read_text


def save_bundle(
    recognizer: Recognizer,
    folder: str | Path,
    *,
    recipe: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    protocol: Mapping[str, Any] | None = None,
    with_backbone: bool = False,
) -> Path:
    """Write a trained recognizer; the folder appears, or is replaced, when it is complete.

    Of files and folders, config.json holds the names and not where they lie on this machine.

    Args:
        recognizer: What to save.
        folder: The bundle's folder.
        recipe: The run it came from, kept for reading only.
        metrics: Results for the model card.
        protocol: What they were measured on; see `evlora.datasets.protocol`.
        with_backbone: Whether the bundle includes the frozen weights (343 MB for a ViT-B), so that
            it is all that another machine needs.

    Returns:
        The bundle's folder.

    Raises:
        BackboneError: The backbone is wanted, but training has cast it, and its file is gone.
        BundleError: The folder holds other things than a bundle, which would be lost, or the
            recognizer is a copy that only answers.
    """
    target = Path(folder)
    if recognizer.only_answers:
        raise BundleError(
            f"{target}: expected a recognizer with its adapters, got a copy made by for_answers, "
            "in which they are folded into the weights; save the one that the copy was made from"
        )
    if target.is_dir() and any(target.iterdir()) and not (target / DESCRIPTION).is_file():
        raise BundleError(
            f"{target}: expected no folder, an empty one or an earlier bundle, found other things "
            "in it; name another folder"
        )
    config = recognizer.config
    sha256 = recognizer.backbone_sha256
    own_backbone = exact_backbone(recognizer) if with_backbone else None
    if has_own_backbone(config):
        own_backbone = recognizer.backbone_tensors()
        sha256 = weights_sha256(own_backbone)
    with _reporting(target), writing_folder(target, durable=True) as temporary:
        for name, adapted in adapted_parts(recognizer).items():
            before_saving(adapted)
            adapted.save_pretrained(str(temporary / "adapters" / name), save_embedding_layers=False)
            (temporary / "adapters" / name / "README.md").unlink(missing_ok=True)
        save_file(tensors_beside_adapters(recognizer), temporary / "head.safetensors")
        if own_backbone:
            save_file(own_backbone, temporary / OWN_BACKBONE)
        origin = None if recipe is None else without_places(recipe)
        description = {
            "labels": list(recognizer.labels),
            **without_places(config.model_dump(mode="json")),
            "backbone_sha256": sha256,
            "versions": {name: version(name) for name in ("evlora", "torch", "timm", "peft")},
            "recipe": origin,
            "metrics": metrics,
            # Bundles without a protocol or a fitted temperature open in earlier versions as well.
            **({"protocol": dict(protocol)} if protocol else {}),
            **({} if recognizer.temperature == 1 else {TEMPERATURE: recognizer.temperature}),
        }
        write_description(temporary, description)
        card = model_card(
            recognizer,
            sha256,
            metrics=metrics or {},
            protocol=protocol or {},
            recipe=origin,
            has_backbone=bool(own_backbone),
        )
        (temporary / "README.md").write_text(card, encoding="utf-8")
    return target


def copy_bundle(
    folder: str | Path,
    out: str | Path,
    *,
    with_backbone: bool = False,
    weights: str | Path | None = None,
) -> Path:
    """Write a bundle to another folder, with the backbone or without it, as for another machine.

    Args:
        folder: The bundle, or the folder of a run that holds it.
        out: The copy's folder; an earlier bundle there is replaced.
        with_backbone: Whether the copy includes the frozen weights.
        weights: The backbone's weight file; see `load_bundle`.

    Returns:
        The copy's folder.

    Raises:
        BundleError: The bundle is damaged, its backbone is not found, or the folder holds other
            things.
    """
    recognizer = load_bundle(folder, weights=weights)
    origin = read_origin(standing(bundle_in(Path(folder))))
    return save_bundle(recognizer, out, **origin._asdict(), with_backbone=with_backbone)


def keep_temperature(folder: str | Path, temperature: float) -> Path:
    """Let a bundle's probabilities be made at this temperature from now on.

    Args:
        folder: The bundle, or the folder of a run that holds it.
        temperature: See `evlora.evaluation.fit_temperature`; 1 for scores as they were trained.

    Returns:
        The bundle's folder.

    Raises:
        BundleError: The bundle is damaged.
    """
    source = standing(bundle_in(Path(folder)))
    read_description(source)
    write_temperature(source, temperature)
    return source


@contextmanager
def _reporting(target: Path) -> Generator[None]:
    """Lets a disk that is full be reported as such: safetensors has an error of its own for it."""
    try:
        yield
    except SafetensorError as error:
        raise BundleError(
            f"{target}: could not be written: {error}; make room there, or name another folder"
        ) from error


@torch.inference_mode(False)  # weights are shared with those who train
def load_bundle(
    folder: str | Path, *, weights: str | Path | None = None, device: str = "cpu"
) -> Recognizer:
    """The recognizer in this bundle, ready to predict.

    Bundles over the same backbone share its frozen weights: as many as a process loads on one
    device, they take the memory of one. Training a recognizer, moving it or loading other weights
    into it leaves the others as they are; before writing into frozen weights by hand, call
    `own_weights()`.

    Args:
        folder: The bundle, the folder of a run that holds it, or USER/NAME of one on the hub.
        weights: The backbone's weight file, where it is found neither in the bundle, nor in the two
            folders above it, nor where it was in training, nor in the working folder.
        device: Where the recognizer will run, such as `cpu` or `cuda:0`.

    Returns:
        In evaluation mode, on the device.

    Raises:
        BundleError: Something is missing, damaged or too much, the backbone is another one, or the
            hub does not answer.
    """
    place = fetch_bundle(str(folder)) if is_on_hub(folder) else Path(folder)
    source = standing(bundle_in(place))
    config, labels, sha256, temperature = read_description(source)
    is_own = has_own_backbone(config)
    if is_own and weights is None and not (source / OWN_BACKBONE).is_file():
        raise BundleError(
            f"{source}: expected {OWN_BACKBONE} in the bundle, it is missing; {AGAIN}"
        )
    backbone, place = find_backbone(source, config, sha256, weights)
    is_trained = config.model.adapter.method == "full"
    if not is_trained:
        share_with_loaded(backbone.to(device), sha256)
    if Path(place) != source / OWN_BACKBONE:  # else the name of the file that it came from stays
        found = config.backbone.model_copy(update={"weights": place})
        config = config.model_copy(update={"backbone": found})
    recognizer = Recognizer(backbone, config, labels)
    recognizer.backbone_sha256 = sha256  # so that it is not taken again
    recognizer.temperature = temperature
    for name, adapted in adapted_parts(recognizer).items():
        _load_adapters(source / "adapters" / name, adapted)
    _fill(tensors_beside_adapters(recognizer), source / "head.safetensors")
    if not is_trained:
        let_others_share(recognizer)
    return recognizer.eval().to(device)


def _load_adapters(folder: Path, adapted: PeftModel) -> None:
    path = folder / "adapter_config.json"
    try:
        before_loading(adapted, parse_json(read_text(path, BundleError, limit="recipe_bytes")))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise BundleError(f"{path}: is missing or damaged: {error}; {AGAIN}") from error
    # Not by peft's set_peft_model_state_dict, which imports transformers for this.
    _fill(get_peft_model_state_dict(adapted), folder / "adapter_model.safetensors")


def _fill(expected: Mapping[str, Tensor], path: Path) -> None:
    """Give tensors of the network the values that a file has for all of them."""
    tensors = _read_tensors(path, expected)
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(tensors[name])


def _read_tensors(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not plain(path, BundleError).is_file():
        raise BundleError(f"{path}: is missing; {AGAIN}")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: is damaged: {error}; {AGAIN}") from error
    missing = sorted(expected.keys() - tensors.keys())
    extra = sorted(tensors.keys() - expected.keys())
    if missing or extra:
        raise BundleError(
            f"{path}: expected {len(expected)} tensors, got {len(tensors)}; missing: "
            f"{listed(missing)}; not of this network: "
            f"{listed(extra)}"
        )
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape:
            raise BundleError(
                f"{path}: {name}: expected shape {tuple(tensor.shape)}, "
                f"got {tuple(tensors[name].shape)}"
            )
        if tensors[name].dtype != tensor.dtype:
            raise BundleError(
                f"{path}: {name}: expected numbers of type {tensor.dtype}, got "
                f"{tensors[name].dtype}"
            )
        if not bool(tensors[name].isfinite().all()):
            raise BundleError(f"{path}: {name}: expected finite numbers, got infinite ones or NaN")
    return tensors


def has_own_backbone(config: RecognizerConfig) -> bool:
    """Whether a bundle must carry its backbone.

    It must where the backbone was made at random, trained as a whole, or came with a published
    checkpoint.
    """
    return (
        config.backbone.weights == RANDOM
        or config.model.adapter.method == "full"
        or config.model.network == "published"
    )
