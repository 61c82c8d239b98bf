"""Published checkpoints become bundles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from evlora.bundle import save_bundle
from evlora.clips import ClipConfig
from evlora.errors import CheckpointError
from evlora.models import (
    AdapterConfig,
    BackboneConfig,
    PublishedCheckpoint,
    PublishedConfig,
    read_published_checkpoint,
)
from evlora.models.backbone import RANDOM
from evlora.recognizer import Recognizer, RecognizerConfig, build_recognizer

CLIP_TOWER = "vit_base_patch16_clip_quickgelu_224.openai"
RANK, ALPHA = 4, 8.0
"""Of the released LoRA. A checkpoint's shapes give the rank; nothing in it gives α."""
FRAMES = 8

PUBLISHED_CLIP = ClipConfig(frames=FRAMES, fit="stretch", window="exposure")
"""How clips are made for the released network; docs/published.md lists what of it is known."""


def import_published(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    labels: Sequence[str] | None = None,
    clip: ClipConfig = PUBLISHED_CLIP,
    normalization: Literal["clip", "half"] = "clip",
    alpha: float | None = None,
) -> Path:
    """Write the bundle of VELoRA's released checkpoint, whose logits are the released network's.

    Args:
        checkpoint: The released `.pth`.
        folder: The bundle, a new folder.
        labels: The classes' names in the order of the network's outputs; their numbers if not
            given, since the checkpoint has no names.
        clip: How recordings become clips; its size is that of the checkpoint.
        normalization: How images become the network's input.
        alpha: LoRA's α, where the checkpoint's rank is not the released one.

    Returns:
        The bundle's folder.

    Raises:
        CheckpointError: The checkpoint cannot be read or is not laid out as the released one is,
            the labels are too many or too few, or the folder is there already.
    """
    target = Path(folder)
    if target.exists():
        raise CheckpointError(
            f"{target}: expected a new folder for the bundle, it is there already"
        )
    released = read_published_checkpoint(checkpoint)
    names = _labels(released, labels)
    recognizer = _build(released, names, clip, normalization, _alpha(released, alpha))
    released.load_into(recognizer.network)
    origin = {"imported_from": released.path.name, "epoch": released.epoch}
    return save_bundle(recognizer, target, recipe=origin)


def _build(
    released: PublishedCheckpoint,
    labels: tuple[str, ...],
    clip: ClipConfig,
    normalization: Literal["clip", "half"],
    alpha: float,
) -> Recognizer:
    sizes = released.sizes
    config = RecognizerConfig(
        clip=clip.model_copy(update={"size": sizes.size_px}),
        backbone=BackboneConfig(
            name=CLIP_TOWER,
            weights=RANDOM,
            options={
                "patch_size": sizes.patch_px,
                "embed_dim": sizes.width,
                "depth": sizes.depth,
                "num_heads": sizes.heads,
            },
        ),
        model=PublishedConfig(
            adapter=AdapterConfig(method="lora", sites="ffn", rank=sizes.rank, alpha=alpha),
            projected_width=sizes.projected_width,
            normalization=normalization,
        ),
    )
    return build_recognizer(config, labels)


def _labels(released: PublishedCheckpoint, labels: Sequence[str] | None) -> tuple[str, ...]:
    expected = released.sizes.classes
    names = tuple(map(str, range(expected))) if labels is None else tuple(labels)
    if len(names) != expected or len(set(names)) != expected:
        raise CheckpointError(
            f"labels: expected the names of the {expected} classes of {released.path}, each once, "
            f"got {len(names)}, of which {len(set(names))} differ; give them in the order of the "
            "official list, or as the dataset that was prepared from it"
        )
    return names


def _alpha(released: PublishedCheckpoint, alpha: float | None) -> float:
    if alpha is None and released.sizes.rank != RANK:
        raise CheckpointError(
            f"{released.path}: expected LoRA of the released rank {RANK} (α = {ALPHA:g}), got rank "
            f"{released.sizes.rank}; say which α it was trained with, with alpha= or --alpha"
        )
    return ALPHA if alpha is None else alpha
