"""The frozen backbone: a timm ViT, its weights, and views that share them.

A view is a second module tree over the same frozen parameters (the same storage) that carries
adapters of its own. Three views of one backbone need the memory of one.
"""

import copy
import hashlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from huggingface_hub import constants
from timm import create_model, is_model, list_models, list_pretrained
from timm.models import is_model_in_modules, load_model_config_from_hf
from timm.models.eva import Eva, EvaAttention, EvaBlock
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from evlora.config import expanded
from evlora.errors import BackboneError
from evlora.messages import suggestion
from evlora.models.backbone_names import HUB_NAMES, NANO, unknown_backbone
from evlora.models.config import PRETRAINED, RANDOM, BackboneConfig
from evlora.models.nano import embedded_weights
from evlora.models.positions import give_positions
from evlora.models.weight_files import load_weights

HUB_TIMEOUT_S = 5

Backbone = VisionTransformer | Eva
"""The two classes with which timm has the ViTs: `Eva` those with rotary positions."""
BackboneBlock = Block | EvaBlock

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def build_backbone(config: BackboneConfig, *, size: tuple[int, int]) -> Backbone:
    """The backbone with its weights, without a classifier, frozen.

    Args:
        config: Name, weights and options.
        size: (H, W) in pixels of the images it will see; position embeddings are resized to it.

    Raises:
        BackboneError: timm has no such ViT, the size does not suit its patches, or the weights
            are missing or do not fit.
    """
    architecture = _architecture(config.name)
    weights = config.weights
    if config.name == NANO and weights == PRETRAINED:
        weights = str(embedded_weights())
    is_from_hub = weights == PRETRAINED
    options: dict[str, Any] = dict(config.options)
    if is_model_in_modules(architecture, ["eva"]):
        options.setdefault("dynamic_img_size", False)  # one size, so one set of positions
    try:
        asks_hub = is_from_hub or config.name.startswith(HUB_NAMES)
        with impatient_hub() if asks_hub else nullcontext():
            backbone = create_model(
                config.name,
                pretrained=is_from_hub,
                num_classes=0,
                img_size=size,
                **options,
            )
    except (OSError, RuntimeError) as error:
        raise BackboneError(
            f"backbone.weights: could not get the pretrained weights of {config.name}: {error}; "
            "give a local file with backbone.weights=FILE, or backbone.weights=random"
        ) from error
    except (TypeError, ValueError, AssertionError) as error:
        raise BackboneError(
            f"backbone: timm cannot build {config.name} for images of {size[0]}×{size[1]} px "
            f"with options {config.options}: {error}"
        ) from error
    if not isinstance(backbone, VisionTransformer | Eva):
        raise BackboneError(
            f"backbone.name: expected a VisionTransformer or an Eva of timm, {config.name} is a "
            f"{type(backbone).__name__}; choose one of the vit_… or eva02_… models"
        )
    _require_whole_patches(backbone, config.name, size)
    if isinstance(backbone, Eva):
        give_positions(backbone, config.name)
        _let_adapters_act(backbone)
    if weights not in (PRETRAINED, RANDOM):
        path = Path(expanded(weights))
        load_weights(backbone, path, name=config.name, prefix=config.prefix)
    return backbone.requires_grad_(False)


def _architecture(name: str) -> str:
    """Timm's name of the model without the tag of its weights; of one on the hub, as it states.

    Raises:
        BackboneError: timm has no such model or tag, or the hub has none or is out of reach.
    """
    hub, _, repository = name.partition(":")
    if hub not in HUB_NAMES:
        architecture = name.split(".", maxsplit=1)[0]
        if not is_model(architecture):
            vits = (*list_models(module="vision_transformer"), *list_models(module="eva"))
            raise unknown_backbone(name, vits)
        _require_known_tag(name)
        return architecture
    try:
        with impatient_hub():
            _, architecture, _ = load_model_config_from_hf(repository)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise BackboneError(
            f"backbone.name: expected {name} on the hub or in its cache, found neither: {reason}; "
            "check the name and the network, or give timm's name of the model with a local file: "
            f"backbone.name={repository.rpartition('/')[2]} backbone.weights=FILE"
        ) from error
    if not is_model(architecture):
        raise BackboneError(
            f"backbone.name: {name} on the hub is a {architecture}, which timm does not have; "
            "choose a ViT of timm"
        )
    return architecture


@contextmanager
def impatient_hub() -> Generator[None]:
    """Where the hub does not answer, only what was fetched before is looked for.

    Its own client would ask again and again, for three quarters of a minute, before it reports so.
    """
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _hub_answers()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _require_known_tag(name: str) -> None:
    """Check the tag of a name such as `vit_base_patch16_clip_quickgelu_224.openai`."""
    model, _, tag = name.partition(".")
    tags = [known.partition(".")[2] for known in list_pretrained(f"{model}.*")]
    if tag and tag not in tags:
        raise BackboneError(
            f"backbone.name: timm has no weights {tag!r} of {model}; {suggestion(tag, tags)}"
        )


def _hub_answers() -> bool:
    from huggingface_hub import get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT_S)
    except Exception:  # the class depends on the version of the hub's client
        return False
    return True


def share_weights(module: ModuleT) -> ModuleT:
    """A second tree of these modules over the same parameters and buffers, not copies of them."""
    shared = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
    return copy.deepcopy(module, shared)


def blocks_of(vit: Backbone) -> list[BackboneBlock]:
    """The transformer blocks of a backbone or a view, first to last; each takes tokens alone."""
    return cast(list[BackboneBlock], list(vit.blocks))


def embed_images(vit: Backbone, images: Tensor) -> Tensor:
    """The tokens that enter the first block.

    Args:
        vit: A backbone or a view.
        images: Normalised, shape (B, 3, H, W).

    Returns:
        Class token and registers, if it has them, and patches with their positions, shape
        (B, N, D).
    """
    embedded = vit._pos_embed(vit.patch_embed(images))  # pyright: ignore[reportPrivateUsage]
    # Eva gives its rotary positions as well, which its blocks have from `give_positions`.
    tokens = embedded[0] if isinstance(embedded, tuple) else embedded
    return vit.norm_pre(tokens)


def pool_tokens(vit: Backbone, tokens: Tensor, pool: str) -> Tensor:
    """One vector per image, after the final norm.

    Args:
        vit: A backbone or a view.
        tokens: Output of the last block, shape (B, N, D).
        pool: `token`, the class token; `mean`, that of the patches; or `map`, what the
            backbone's own attention pooling makes of them.

    Returns:
        Shape (B, D).
    """
    tokens = vit.norm(tokens)
    if pool == "map":
        return vit.fc_norm(vit.pool(tokens))
    pooled = tokens[:, 0] if pool == "token" else tokens[:, vit.num_prefix_tokens :].mean(dim=1)
    return vit.fc_norm(pooled)


def image_statistics(vit: Backbone) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation that the backbone was trained with, shape (3, 1, 1), for 0…1."""
    settings = cast(dict[str, Any], vit.pretrained_cfg)
    return (
        torch.tensor(settings["mean"]).reshape(3, 1, 1),
        torch.tensor(settings["std"]).reshape(3, 1, 1),
    )


def weights_sha256(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 over names, shapes, types and bytes of all weights, whatever file held them."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _require_whole_patches(vit: Backbone, name: str, size: tuple[int, int]) -> None:
    patch_h, patch_w = cast(tuple[int, int], vit.patch_embed.patch_size)
    if size[0] % patch_h or size[1] % patch_w:
        raise BackboneError(
            f"clip.size: expected a multiple of the {patch_h}×{patch_w} px patches of {name}, "
            f"got {size[0]}×{size[1]}; the nearest is {_nearest(size[0], patch_h)}×"
            f"{_nearest(size[1], patch_w)}"
        )


def _nearest(size: int, patch: int) -> int:
    return max(1, round(size / patch)) * patch


def _let_adapters_act(vit: Eva) -> None:
    """Let each attention call its qkv layer; else timm's reads the weight past any adapter."""
    for module in vit.modules():
        if isinstance(module, EvaAttention):
            module.qkv_bias_separate = True  # the bias is then added afterwards, which is the same
