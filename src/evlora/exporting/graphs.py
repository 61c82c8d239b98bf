"""What is exported of a recognizer: uint8 images in, scores out, as one graph or as two."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim

from evlora.answering import for_answers
from evlora.clips import ClipConfig, Modality
from evlora.errors import ExportError
from evlora.models.network import MomentwiseNetwork, Network
from evlora.recognizer import Recognizer

Part = Literal["clip", "encode", "decide"]
"""A whole clip in one graph; or each moment once, and the moments together."""
EXAMPLES = 2
"""Clips of an example: sizes of 1 would be taken for fixed."""
ENCODED = "encoded_"
"""What stands before the name of a view where its encoded moments are meant."""
STEP = 1
"""How many images of two moments a view has that sees the steps from one to the next."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A module to export, an example of what it takes, and the names of both ends."""

    part: Part
    module: nn.Module
    example: tuple[Tensor, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    free: tuple[dict[int, Any], ...]
    """Of each input, the dimensions that may have any size."""


class WholeClip(nn.Module):
    """The network's scores, shape (B, K), of uint8 clips, (B, T, 3, H, W) for each modality."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, *images: Tensor) -> Tensor:
        """Scores of the images of each of the network's modalities, in their order."""
        given = _normalised(self.network, images)
        return self.network.answer(given.get("rgb"), given.get("event"))


class EncodeMoment(nn.Module):
    """What each view makes of one moment, shape (B, …), from uint8 images of (B, 3, H, W)."""

    def __init__(self, network: MomentwiseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Encode the moment, whose images come first, then those of the moment before it."""
        count = len(self.network.modalities)
        now = [image.unsqueeze(1) for image in images[:count]]
        if before := [image.unsqueeze(1) for image in images[count:]]:
            now = [torch.cat(pair, dim=1) for pair in zip(before, now, strict=True)]
        given = _normalised(self.network, now)
        seen = self.network.images_by_view(given.get("rgb"), given.get("event"))
        encoded = self.network.encode({name: images[:, -1:] for name, images in seen.items()})
        return tuple(moment[:, 0] for moment in encoded.values())


class DecideClip(nn.Module):
    """The scores, shape (B, K), from what T moments left in each view, (B, T, …) each."""

    def __init__(self, network: MomentwiseNetwork, views: tuple[str, ...]) -> None:
        super().__init__()
        self.network = network
        self.views = views

    def forward(self, *encoded: Tensor) -> Tensor:
        """Join the moments of each view, in the order of `views`, and decide."""
        moments = dict(zip(self.views, encoded, strict=True))
        return self.network.decide(self.network.over_time(moments))


def clip_graph(recognizer: Recognizer) -> Graph:
    """The graph from a whole clip to its scores."""
    network = for_answers(recognizer).network
    frames = recognizer.clip_config.frames
    example = _images(recognizer.clip_config, network.modalities, frames)
    module = WholeClip(network).eval()
    free = tuple({0: Dim.DYNAMIC} for _ in example)
    return Graph("clip", module, example, network.modalities, ("logits",), free)


def live_graphs(recognizer: Recognizer) -> tuple[Graph, Graph]:
    """The two graphs for live use: encode each moment once, and decide on the last T.

    Raises:
        ExportError: The network looks at whole clips only, or its adapters do.
    """
    network = for_answers(recognizer).network
    if not isinstance(network, MomentwiseNetwork):
        raise ExportError(
            "live: expected a network that looks at each moment by itself, such as velora or "
            f"single_stream, got {type(network).__name__}; export it without --live"
        )
    if not network.encodes_alone:
        adapter = recognizer.config.model.adapter
        heads = f"moment_heads: {adapter.moment_heads}" if adapter.moment_heads else adapter.method
        raise ExportError(
            f"live: expected adapters that see each moment alone, got {heads}, which makes of a "
            "moment what depends on those around it; export it without --live, or train it with "
            f"another model.adapter{'.moment_heads' if adapter.moment_heads else ''}"
        )
    config = recognizer.clip_config
    lengths = _images_by_view(network, config)
    names: tuple[str, ...] = network.modalities
    example = tuple(image[:, 0] for image in _images(config, network.modalities, 1))
    if STEP in lengths.values():
        names += tuple(f"{name}_before" for name in network.modalities)
        example += tuple(image.flip(0) for image in example)
    encode = EncodeMoment(network).eval()
    with torch.no_grad():
        moments = encode(*example)
    views = tuple(lengths)
    encoded = tuple(f"{ENCODED}{name}" for name in views)
    first = Graph("encode", encode, example, names, encoded, ({0: Dim.DYNAMIC},) * len(example))
    is_fixed = network.least_moments == config.frames > 2  # a transformer knows their places
    frames = config.frames if is_fixed else max(config.frames, 3)
    kept = tuple(
        moment.unsqueeze(1).expand(-1, frames - 2 + lengths[name], *moment.shape[1:]).clone()
        for name, moment in zip(views, moments, strict=True)
    )
    sizes = {0: Dim.DYNAMIC} if is_fixed else {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    decide = DecideClip(network, views).eval()
    return first, Graph("decide", decide, kept, encoded, ("logits",), (sizes,) * len(kept))


def _images_by_view(network: MomentwiseNetwork, config: ClipConfig) -> dict[str, int]:
    """How many images of two moments each view sees, in the order of `encode`: two, or the step."""
    given = _normalised(network, _images(config, network.modalities, 2))
    seen = network.images_by_view(given.get("rgb"), given.get("event"))
    return {name: images.shape[1] for name, images in seen.items()}


def _images(
    config: ClipConfig, modalities: tuple[Modality, ...], frames: int
) -> tuple[Tensor, ...]:
    """Images of no meaning, uint8, shape (EXAMPLES, T, 3, H, W) for each modality."""
    generator = torch.Generator().manual_seed(0)
    shape = (EXAMPLES, frames, 3, *config.size_px)
    return tuple(
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator) for _ in modalities
    )


def _normalised(
    network: Network, images: tuple[Tensor, ...] | list[Tensor]
) -> Mapping[str, Tensor]:
    return {
        name: network.normalize(image)
        for name, image in zip(network.modalities, images, strict=True)
    }
