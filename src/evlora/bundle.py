"""A trained recognizer on disk: a folder of a few MB beside one shared backbone.

config.json            labels, clip, backbone with the SHA-256 of its weights, network, versions
adapters/<part>/       the adapters of each view and stage, in peft's own format
head.safetensors       everything else that was trained, and the statistics of norms
backbone.safetensors   only where it was made at random, trained, or came with a checkpoint
README.md              what it is, and what was measured
"""

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from evlora.clips import ClipConfig
from evlora.config import Config
from evlora.errors import BackboneError, BundleError
from evlora.files import writing_folder
from evlora.models import (
    Backbone,
    BackboneConfig,
    NetworkConfig,
    Output,
    VELoRAConfig,
    build_backbone,
    build_network,
    weights_sha256,
)
from evlora.models.adapters import before_loading, before_saving
from evlora.models.backbone import RANDOM

BUNDLE_FORMAT = 1
OWN_BACKBONE = "backbone.safetensors"


class RecognizerConfig(Config):
    """Everything that a recognizer is built from."""

    clip: ClipConfig = ClipConfig()
    """How a recording becomes what the network eats."""
    backbone: BackboneConfig = BackboneConfig()
    """The frozen network and where its weights come from."""
    model: NetworkConfig = VELoRAConfig()
    """The network on it, its adapters and its parts."""


class Recognizer(nn.Module):
    """A network with its labels and with how its clips are made."""

    def __init__(
        self, backbone: Backbone, config: RecognizerConfig, labels: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.network = build_network(
            backbone,
            config.model,
            modalities=config.clip.modalities,
            frames=config.clip.frames,
            num_classes=len(labels),
        )
        self.config = config
        self.labels = labels
        weights = backbone.state_dict()
        self.backbone_names = tuple(weights)
        """timm's names of the backbone's tensors."""
        self.backbone_parameters = sum(p.numel() for p in backbone.parameters())
        """How many numbers the backbone has, without adapters."""
        self.backbone_sha256 = weights_sha256(weights)
        """SHA-256 of the weights that the network was built on."""

    @property
    def clip_config(self) -> ClipConfig:
        """How a recording becomes a clip for this network."""
        return self.config.clip

    def forward(self, rgb: Tensor | None = None, events: Tensor | None = None) -> Output:
        """Class scores and loss terms; see `Network.forward`."""
        return self.network(rgb, events)

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 images as the backbone was trained to see them; see `Network.normalize`."""
        return self.network.normalize(images)

    def recognize(self, rgb: Tensor | None, events: Tensor | None) -> Output:
        """Class scores from uint8 clips, shape (B, T, 3, H, W) each."""
        return self(
            None if rgb is None else self.normalize(rgb),
            None if events is None else self.normalize(events),
        )

    def log_probabilities(
        self, rgb: Tensor | None, events: Tensor | None, *, views: int = 1
    ) -> Tensor:
        """Logarithms of the classes' probabilities, whose mean over a sample's views is taken.

        Args:
            rgb: Frames, uint8, shape (B·V, T, 3, H, W), the views of a sample next to one another.
            events: Event images likewise.
            views: V, clips of one sample.

        Returns:
            Shape (B, K), float32.
        """
        of_clips = self.recognize(rgb, events).logits.float().log_softmax(dim=-1)
        mean = of_clips.unflatten(0, (-1, views)).logsumexp(dim=1) - math.log(views)
        return mean.clamp(max=0)  # rounding must not make a probability larger than 1

    def trained_tensors(self) -> dict[str, nn.Parameter]:
        """What is optimised, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def learned_tensors(self) -> dict[str, Tensor]:
        """What is optimised, and the statistics that norms outside the backbone gather, by name."""
        inside = {id(b) for m in self._adapted_modules() for b in m.buffers()}
        kept = self.state_dict(keep_vars=True).items()
        gathered = {
            name: tensor
            for name, tensor in kept
            if not isinstance(tensor, nn.Parameter) and id(tensor) not in inside
        }
        return {**self.trained_tensors(), **gathered}

    def _adapted_modules(self) -> list[nn.Module]:
        return [self.network.vit, *adapted_parts(self).values()]


def build_recognizer(config: RecognizerConfig, labels: tuple[str, ...]) -> Recognizer:
    """An untrained recognizer; the one place where networks are made.

    Raises:
        BackboneError: The backbone does not exist, or its weights do not fit.
        AdapterError: An adapter is unknown or matches nothing.
        RecipeError: The configuration contradicts itself.
    """
    backbone = build_backbone(config.backbone, size=config.clip.size_px)
    return Recognizer(backbone, config, labels)


def save_bundle(
    recognizer: Recognizer,
    folder: str | Path,
    *,
    recipe: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> Path:
    """Write a trained recognizer; the folder appears, or is replaced, when it is complete.

    Args:
        recognizer: What to save.
        folder: The bundle's folder.
        recipe: The run it came from, kept for reading only.
        metrics: Results for the model card.
    """
    target = Path(folder)
    own_backbone = backbone_tensors(recognizer) if has_own_backbone(recognizer.config) else None
    sha256 = weights_sha256(own_backbone) if own_backbone else recognizer.backbone_sha256
    with writing_folder(target) as temporary:
        for name, adapted in adapted_parts(recognizer).items():
            before_saving(adapted)
            adapted.save_pretrained(str(temporary / "adapters" / name), save_embedding_layers=False)
            (temporary / "adapters" / name / "README.md").unlink(missing_ok=True)
        save_file(tensors_beside_adapters(recognizer), temporary / "head.safetensors")
        if own_backbone:
            save_file(own_backbone, temporary / OWN_BACKBONE)
        description = {
            "format": BUNDLE_FORMAT,
            "labels": list(recognizer.labels),
            **recognizer.config.model_dump(mode="json"),
            "backbone_sha256": sha256,
            "versions": {name: version(name) for name in ("evlora", "torch", "timm", "peft")},
            "recipe": recipe,
            "metrics": metrics,
        }
        (temporary / "config.json").write_text(
            json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        card = _model_card(recognizer, sha256, metrics or {})
        (temporary / "README.md").write_text(card, encoding="utf-8")
    return target


def load_bundle(
    folder: str | Path, *, weights: str | Path | None = None, device: str = "cpu"
) -> Recognizer:
    """The recognizer in this bundle, ready to predict.

    Args:
        folder: The bundle.
        weights: The backbone's weight file, where it is not where it was in training.
        device: Where the recognizer will run.

    Raises:
        BundleError: Something is missing, damaged or too much, or the backbone is another one.
    """
    source = Path(folder)
    config, labels, sha256 = _read_description(source)
    weight_source = _find_weights(source, config, weights)
    found = config.model_copy(
        update={"backbone": config.backbone.model_copy(update={"weights": weight_source})}
    )
    try:
        backbone = build_backbone(found.backbone, size=found.clip.size_px)
    except BackboneError as error:
        raise BundleError(
            f"{source}: cannot get its backbone, {config.backbone.name}: {error}; if the weights "
            "lie elsewhere, name the file with weights= or --weights"
        ) from error
    if weights_sha256(backbone.state_dict()) != sha256:
        raise BundleError(
            f"{source}: was made for another backbone: expected weights of {config.backbone.name} "
            f"with SHA-256 {sha256[:16]}…, got {weights_sha256(backbone.state_dict())[:16]}… from "
            f"{weight_source}; name the right file with weights= or --weights"
        )
    recognizer = Recognizer(backbone, config, labels)
    for name, adapted in adapted_parts(recognizer).items():
        _load_adapters(source / "adapters" / name, adapted)
    _load_beside_adapters(source / "head.safetensors", recognizer)
    return recognizer.eval().to(device)


def adapted_parts(recognizer: Recognizer) -> dict[str, PeftModel]:
    """The adapted modules by the name of their view or stage."""
    return {
        name.removeprefix("network.views.").removeprefix("network.").split(".")[0]: module
        for name, module in recognizer.named_modules()
        if isinstance(module, PeftModel)
    }


def tensors_beside_adapters(recognizer: Recognizer) -> dict[str, Tensor]:
    """What is learned outside the adapters, by name: head, embeddings, gates, temporal part."""
    modules = [recognizer.network.vit, *adapted_parts(recognizer).values()]
    inside = {id(p) for module in modules for p in module.parameters()}
    return {
        name.removeprefix("network."): tensor.detach()
        for name, tensor in recognizer.learned_tensors().items()
        if id(tensor) not in inside
    }


def _read_description(source: Path) -> tuple[RecognizerConfig, tuple[str, ...], str]:
    path = source / "config.json"
    if not path.is_file():
        raise BundleError(f"{source}: expected a bundle with a config.json, found none there")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != BUNDLE_FORMAT:
            raise BundleError(
                f"{path}: expected bundle format {BUNDLE_FORMAT}, got {content['format']}; "
                "read it with the evlora that wrote it"
            )
        parts = {key: content[key] for key in ("clip", "backbone", "model")}
        config = RecognizerConfig.model_validate(parts)
        return config, tuple(content["labels"]), str(content["backbone_sha256"])
    except (KeyError, TypeError, ValueError) as error:
        reason = f"key {error} is missing" if isinstance(error, KeyError) else error
        raise BundleError(f"{path}: is damaged or not of a bundle: {reason}") from error


def _find_weights(source: Path, config: RecognizerConfig, given: str | Path | None) -> str:
    if given is not None:
        return str(given)
    if (source / OWN_BACKBONE).is_file():
        return str(source / OWN_BACKBONE)
    if has_own_backbone(config):
        raise BundleError(
            f"{source}: expected {OWN_BACKBONE} in the bundle, it is missing; "
            "copy the whole bundle again"
        )
    return config.backbone.weights


def _load_adapters(folder: Path, adapted: PeftModel) -> None:
    path = folder / "adapter_config.json"
    try:
        before_loading(adapted, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{path}: is missing or damaged: {error}; copy the whole bundle again"
        ) from error
    expected = get_peft_model_state_dict(adapted)
    tensors = _read_tensors(folder / "adapter_model.safetensors", expected)
    set_peft_model_state_dict(adapted, tensors)


def _load_beside_adapters(path: Path, recognizer: Recognizer) -> None:
    expected = tensors_beside_adapters(recognizer)
    tensors = _read_tensors(path, expected)
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(tensors[name])


def _read_tensors(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not path.is_file():
        raise BundleError(f"{path}: is missing; copy the whole bundle again")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: is damaged: {error}; copy the whole bundle again") from error
    missing = sorted(expected.keys() - tensors.keys())
    extra = sorted(tensors.keys() - expected.keys())
    if missing or extra:
        raise BundleError(
            f"{path}: expected {len(expected)} tensors, got {len(tensors)}; missing: "
            f"{', '.join(missing[:3]) or 'none'}; not of this network: "
            f"{', '.join(extra[:3]) or 'none'}"
        )
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape:
            raise BundleError(
                f"{path}: {name}: expected shape {tuple(tensor.shape)}, "
                f"got {tuple(tensors[name].shape)}"
            )
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


def backbone_tensors(recognizer: Recognizer) -> dict[str, Tensor]:
    """The backbone's own weights, without adapters, under timm's names."""
    state = {
        name.replace(".base_layer", ""): tensor
        for name, tensor in recognizer.network.vit.state_dict().items()
    }
    return {name: state[name].contiguous() for name in recognizer.backbone_names}


def _model_card(recognizer: Recognizer, sha256: str, metrics: Mapping[str, float]) -> str:
    config = recognizer.config
    total = sum(p.numel() for p in recognizer.parameters())
    trained = sum(p.numel() for p in recognizer.trained_tensors().values())
    where = "in this folder" if has_own_backbone(config) else "frozen and not in this folder"
    height, width = config.clip.size_px
    measured = "".join(f"| {name} | {value:.4f} |\n" for name, value in metrics.items())
    return f"""# An evlora bundle

A recognizer of {len(recognizer.labels)} classes from {" and ".join(config.clip.modalities)}
(moments in a clip: {config.clip.frames}, of {height}×{width} px), made by
the network `{config.model.network}` with `{config.model.adapter.method}` adapters.

- Backbone: `{config.backbone.name}`, {where}; SHA-256 of its weights
  `{sha256}`.
- Trained: {trained:,} of {total:,} parameters ({100 * trained / total:.2f} %).

| measured on the validation split | |
|---|---|
{measured}
Use it with `evlora predict {{this folder}} RECORDING`, or from Python with
`evlora.load_bundle("{{this folder}}")`.
"""
