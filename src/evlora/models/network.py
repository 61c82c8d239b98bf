"""What the networks have in common: frozen backbone, images by modality, scores out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from evlora.errors import RecipeError, ShapeError
from evlora.models.adapters import sees_moments
from evlora.models.backbone import Backbone, image_statistics
from evlora.models.config import Modality, Pool
from evlora.tensors import require_shape


class Output(NamedTuple):
    """What a recognizer answers."""

    logits: Tensor
    """Shape (B, K)."""
    terms: dict[str, Tensor]
    """Loss terms by name, scalars, for the objective to weigh."""
    by_view: dict[str, Tensor]
    """What the head makes of each view by itself, shape (B, K) each; nothing where it uses one."""


class Network(nn.Module):
    """The base of every network: images of one or two modalities in, class scores out.

    A network adapts views of the backbone, never the backbone itself. Its direct children are the
    parts that a profile lists.

    Args:
        backbone: Frozen; its image statistics are those of the network.
        modalities: What is seen: `rgb`, `event`, or both.

    Raises:
        RecipeError: No modality is named, or one twice.
    """

    def __init__(self, backbone: Backbone, modalities: tuple[Modality, ...]) -> None:
        super().__init__()
        if not modalities or len(set(modalities)) < len(modalities):
            raise RecipeError(
                f"clip.modalities: expected rgb, event, or both, each once, got {list(modalities)}"
            )
        self.modalities = modalities
        mean, std = image_statistics(backbone)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    @property
    def depends_on_batch(self) -> bool:
        """Whether a clip's answer depends on the clips beside it, as it should not."""
        return False

    @property
    def vit(self) -> Backbone:
        """A timm model that holds all weights of the backbone, with its adapted layers."""
        raise NotImplementedError

    def forward(self, rgb: Tensor | None = None, events: Tensor | None = None) -> Output:
        """Scores of the K classes, and the loss terms.

        Args:
            rgb: Frames, normalised, shape (B, T, 3, H, W).
            events: Event images of the same moments, normalised, shape (B, T, 3, H, W).

        Returns:
            `logits` of shape (B, K), and `terms`.

        Raises:
            ShapeError: A modality that the network was built for is missing, or shapes differ.
        """
        raise NotImplementedError

    def answer(self, rgb: Tensor | None = None, events: Tensor | None = None) -> Tensor:
        """The scores alone, shape (B, K), without what only training needs; see `forward`."""
        return self(rgb, events).logits

    def normalize(self, images: Tensor) -> Tensor:
        """The images as the backbone was trained to see them.

        Args:
            images: uint8, shape (B, T, 3, H, W).

        Returns:
            The same shape in float32.
        """
        return (images.float() / 255 - self.mean) / self.std

    def images_by_modality(self, rgb: Tensor | None, events: Tensor | None) -> dict[str, Tensor]:
        """The images that this network was built for, shape (B, T, 3, H, W) each.

        Raises:
            ShapeError: One is missing, or shapes differ.
        """
        given = {"rgb": rgb, "event": events}
        images: dict[str, Tensor] = {}
        sizes: dict[str, int] = {}
        for name in self.modalities:
            tensor = given[name]
            if tensor is None:
                raise ShapeError(
                    f"{name}: expected images of shape (B, T, 3, H, W), got nothing; this network "
                    f"was built for {' and '.join(self.modalities)}"
                )
            sizes = dict(require_shape(tensor, "B T 3 H W", name=name, **sizes))
            images[name] = tensor
        return images


class MomentwiseNetwork(Network):
    """A network that looks at each moment by itself before it joins them.

    Its answer to a clip is `decide(over_time(encode(images_by_view(rgb, events))))`. Whoever sees
    the moments one after the other encodes each of them once.
    """

    mixes_images: bool = False
    """Whether its adapters make of an image what depends on the others of the call."""

    @property
    def depends_on_batch(self) -> bool:
        """Whether its adapters mix images."""
        return self.mixes_images

    @property
    def least_moments(self) -> int:
        """So few moments are a clip that it can answer."""
        return 1

    @property
    def encodes_alone(self) -> bool:
        """Whether what `encode` makes of a moment is the same whatever is around it."""
        return not (sees_moments(self) or self.mixes_images)

    def images_by_view(self, rgb: Tensor | None, events: Tensor | None) -> dict[str, Tensor]:
        """What each view sees: the moments of a clip, or the steps from one to the next.

        Takes and raises what `Network.forward` does.

        Returns:
            Shape (B, T, 3, H, W) each, or (B, T−1, 3, H, W) for steps.
        """
        return self.images_by_modality(rgb, events)

    def answer(self, rgb: Tensor | None = None, events: Tensor | None = None) -> Tensor:
        """The scores alone, shape (B, K): no reconstruction, no scores by view."""
        return self.decide(self.over_time(self.encode(self.images_by_view(rgb, events))))

    def encode(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What each view makes of each of its images by itself, shape (B, T, …) each."""
        raise NotImplementedError

    def encode_once(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What `conclude` takes of each view, shape (B, T, …), or (B, 1, …) if already averaged."""
        return self.encode(images)

    def encoding_parts(self) -> list[nn.Module]:
        """The modules that `encode` uses."""
        raise NotImplementedError

    def encoding_keys(self) -> dict[str, dict[str, Any]]:
        """By view, the keys of the model on which what `encode_once` gives depends.

        Adapters and weights apart: where something learns in the encoding, nothing is kept of it.
        """
        raise NotImplementedError

    def conclude(self, encoded: Mapping[str, Tensor]) -> Output:
        """The output from what `encode_once` gives; together they are `forward`."""
        raise NotImplementedError

    def over_time(self, moments: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The moments of each view, as `encode` gives them, joined: shape (B, …) each."""
        raise NotImplementedError

    def decide(self, joined: Mapping[str, Tensor]) -> Tensor:
        """Scores of the K classes, shape (B, K), from what `over_time` gives."""
        raise NotImplementedError


def require_pool(pool: Pool, backbone: Backbone) -> None:
    """Check that the backbone has what is to be pooled, and no attention pooling left unused.

    Raises:
        RecipeError: It has no class token, or has attention pooling and should not, or the reverse.
    """
    has_map = backbone.attn_pool is not None
    if pool == "token" and backbone.cls_token is None:
        raise RecipeError(
            "model.pool: token needs a backbone with a class token, which this one lacks; "
            f"set model.pool to {'map' if has_map else 'mean'}"
        )
    if pool == "map" and not has_map:
        raise RecipeError(
            "model.pool: map needs a backbone that pools by attention, as SigLIP's do, which this "
            f"one does not; set model.pool to {'mean' if backbone.cls_token is None else 'token'}"
        )
    if pool != "map" and has_map:
        raise RecipeError(
            f"model.pool: {pool} would leave this backbone's attention pooling unused, and the "
            "adapters in it; set model.pool to map, or backbone.name to its …_gap_… model"
        )
