"""A recognizer: a network, its labels, and how its clips are made."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, Self

import torch
from peft import PeftModel
from torch import Tensor, nn

from evlora.clips import ClipConfig
from evlora.errors import BundleError
from evlora.models import (
    Backbone,
    Output,
    build_backbone,
    build_network,
    weights_sha256,
)
from evlora.models.adapters import Places
from evlora.models.backbone import RANDOM
from evlora.models.fast import (
    FROZEN_TYPES,
    IDEAS,
    Checkpointing,
    Idea,
    Precision,
    Settings,
    cast_frozen_weights,
    set_blocks,
)
from evlora.recognizer_config import RecognizerConfig

SHARED_STAGE = "shared_stage"
"""VELoRA's stage, which uses its low-rank pairs beside the frozen layers and alone."""


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
        self.backbone_names = tuple(backbone.state_dict())
        """timm's names of the backbone's tensors."""
        self.backbone_parameters = sum(p.numel() for p in backbone.parameters())
        """How many numbers the backbone has, without adapters."""
        self.exact_weights: dict[str, Tensor] = {}
        """Those of the backbone's tensors that `prepare_training` has cast and no file holds."""
        self._half: torch.dtype | None = None
        self.answer_type: torch.dtype | None = None
        """Type of half precision in which answers are computed, where `for_answers` set one."""
        self.only_answers = False
        """Whether it is a copy from `for_answers`, to be neither trained nor saved."""
        self.shares_weights = False
        """Whether other recognizers may use the memory of its frozen weights."""
        self.temperature = 1.0
        """By which class scores are divided before they become probabilities; see
        `evlora.evaluation.fit_temperature`."""

    def own_weights(self) -> None:
        """Give it frozen weights of its own, where others that were loaded use them as well."""
        if self.shares_weights:
            self.shares_weights = False
            for parameter in self.parameters():
                parameter.data = parameter.data.clone()

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Train all parameters, or with requires_grad=False none.

        The weights that others use are copied before.
        """
        if requires_grad:
            self.own_weights()
        return super().requires_grad_(requires_grad)

    def _load_from_state_dict(self, *arguments: Any, **named: Any) -> None:
        self.own_weights()  # what follows writes into them
        super()._load_from_state_dict(*arguments, **named)

    def prepare_training(
        self,
        *,
        precision: Precision = "32-true",
        fast: Sequence[Idea] = IDEAS,
        checkpointing: Checkpointing = "none",
    ) -> None:
        """Make steps of training cheap; what is learned and saved stays what it would be without.

        Args:
            precision: Lightning's precision; in half precision the frozen weights are kept so.
            fast: Which parts of a block are computed by `evlora.models.fast`.
            checkpointing: What is made again on the way back: nothing but what is cheap, the FFN's
                hidden features, or all of each block.
        """
        sha256 = self.backbone_sha256 if precision in FROZEN_TYPES else None  # before they are cast
        exact = cast_frozen_weights(self.network.vit, precision)
        if exact:
            assert sha256 is not None  # only half precision casts
            self.backbone_sha256 = sha256
            self._half = FROZEN_TYPES[precision]
            if self.config.backbone.weights == RANDOM:  # no file has them for the bundle
                self.exact_weights = exact
        set_blocks(self.network, Settings(frozenset(fast), checkpointing))

    @property
    def has_exact_weights(self) -> bool:
        """Whether the frozen weights are those of the backbone, and not cast by a training."""
        return self._half is None or bool(self.exact_weights)

    @cached_property
    def backbone_sha256(self) -> str:
        """SHA-256 of the frozen weights that the network was built on, taken when needed."""
        return weights_sha256(self.backbone_tensors())

    def backbone_tensors(self) -> dict[str, Tensor]:
        """The backbone's weights under timm's names, as they are now, those cast as they were."""
        state = {
            name.replace(".base_layer", ""): tensor
            for name, tensor in self.network.vit.state_dict().items()
        }
        exact = {**state, **self.exact_weights}
        return {name: exact[name].contiguous() for name in self.backbone_names}

    @property
    def clip_config(self) -> ClipConfig:
        """How a recording becomes a clip for this network."""
        return self.config.clip

    def forward(self, rgb: Tensor | None = None, events: Tensor | None = None) -> Output:
        """Class scores and loss terms.

        Args:
            rgb: Frames, normalised, shape (B, T, 3, H, W).
            events: Event images of the same moments, the same way.

        Returns:
            `logits` of shape (B, K), and `terms` by name, scalars; see `Network.forward`.

        Raises:
            ShapeError: A modality that the network was built for is missing, or shapes differ.
        """
        device = self.network.mean.device.type
        if self._half is None or torch.is_autocast_enabled(device):
            return self.network(rgb, events)
        with torch.autocast(device, self._half):  # its frozen weights are of that type by now
            return self.network(rgb, events)

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 images as the backbone was trained to see them; see `Network.normalize`."""
        return self.network.normalize(images)

    def recognize(self, rgb: Tensor | None, events: Tensor | None) -> Output:
        """Class scores from uint8 clips `rgb` and `events`, shape (B, T, 3, H, W) each."""
        return self(
            None if rgb is None else self.normalize(rgb),
            None if events is None else self.normalize(events),
        )

    def answer(self, rgb: Tensor | None, events: Tensor | None) -> Tensor:
        """Class scores alone, shape (B, K), from uint8 clips `rgb` and `events`.

        These have the shape (B, T, 3, H, W) each.
        """
        images = [None if x is None else self.normalize(x) for x in (rgb, events)]
        with self.in_answer_type():
            return self.network.answer(*images)

    def in_answer_type(self) -> AbstractContextManager[Any]:
        """Inside, the network computes in the half precision that `for_answers` set, if any."""
        half = self.answer_type or self._half  # frozen weights that training has cast are of it
        if half is None:
            return nullcontext()
        return torch.autocast(self.network.mean.device.type, half)

    def log_probabilities(
        self, rgb: Tensor | None, events: Tensor | None, *, views: int = 1
    ) -> Tensor:
        """Logarithms of the classes' probabilities, whose mean over a sample's views is taken.

        Args:
            rgb: Frames, uint8, shape (B·V, T, 3, H, W), the views of a sample next to one another.
            events: Event images, the same way.
            views: V, clips of one sample.

        Returns:
            Shape (B, K), float32, at the recognizer's temperature.
        """
        of_clips = self.answer(rgb, events).float().log_softmax(dim=-1)
        mean = of_clips.unflatten(0, (-1, views)).logsumexp(dim=1) - math.log(views)
        if self.temperature != 1:
            mean = (mean / self.temperature).log_softmax(dim=-1)
        return mean.clamp(max=0)  # rounding must not make a probability larger than 1

    def trained_tensors(self) -> dict[str, nn.Parameter]:
        """What is optimised, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def learned_tensors(self) -> dict[str, Tensor]:
        """What is optimised, and what goes with it, by name.

        These are the statistics that norms outside the backbone gather, and the places of entries
        that an adapter has chosen.
        """
        inside = {id(b) for m in self._adapted_modules() for b in m.buffers()}
        inside -= {id(b) for m in self._adapted_modules() for b in _places(m)}
        kept = self.state_dict(keep_vars=True).items()
        gathered = {
            name: tensor
            for name, tensor in kept
            if not isinstance(tensor, nn.Parameter) and id(tensor) not in inside
        }
        return {**self.trained_tensors(), **gathered}

    def _adapted_modules(self) -> list[nn.Module]:
        return [self.network.vit, *adapted_parts(self).values()]


def require_recognizer(given: object) -> None:
    """Check that something is a recognizer.

    Raises:
        BundleError: It is not.
    """
    if not isinstance(given, Recognizer):
        raise BundleError(
            f"recognizer: expected a recognizer, got {type(given).__name__}; load that of a bundle "
            "with evlora.load_bundle"
        )


def build_recognizer(config: RecognizerConfig, labels: tuple[str, ...]) -> Recognizer:
    """An untrained recognizer; the one place where networks are made.

    Raises:
        BackboneError: The backbone does not exist, or its weights do not fit.
        AdapterError: An adapter is unknown or matches nothing.
        RecipeError: The configuration contradicts itself.
    """
    backbone = build_backbone(config.backbone, size=config.clip.size_px)
    return Recognizer(backbone, config, labels)


def adapted_parts(recognizer: Recognizer) -> dict[str, PeftModel]:
    """The adapted modules by the name of their view or stage."""
    return {
        name.removeprefix("network.views.").removeprefix("network.").split(".")[0]: module
        for name, module in recognizer.named_modules()
        if isinstance(module, PeftModel)
    }


def _places(adapted: nn.Module) -> Iterator[Tensor]:
    """Where the entries are that an adapter trains, if it has chosen some."""
    return (b for part in adapted.modules() if isinstance(part, Places) for b in part.buffers())


def tensors_beside_adapters(recognizer: Recognizer) -> dict[str, Tensor]:
    """What is learned outside the adapters, by name: head, embeddings, gates, temporal part."""
    modules = [recognizer.network.vit, *adapted_parts(recognizer).values()]
    inside = {id(t) for module in modules for t in (*module.parameters(), *_places(module))}
    return {
        name.removeprefix("network."): tensor.detach()
        for name, tensor in recognizer.learned_tensors().items()
        if id(tensor) not in inside
    }
