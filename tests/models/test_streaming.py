"""A network moment by moment: the same scores as for the clip, at the cost of one moment."""

import weakref
from collections.abc import Callable, Mapping

import pytest
import torch
from slow import slow_but
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from evlora.errors import RecipeError, ShapeError
from evlora.models import (
    BackboneConfig,
    PublishedConfig,
    PublishedVELoRA,
    SingleStreamConfig,
    VELoRA,
    build_backbone,
    build_network,
)
from evlora.models.network import MomentwiseNetwork, Network
from evlora.models.streaming import StreamingNetwork

FRAMES = 4
ABLATIONS = [
    {},
    {"difference": False},
    {"reconstruction": False},
    {"shared_stage": False},
    {"difference": False, "reconstruction": False, "shared_stage": False},
    {"shared_stage": False, "high_blocks": 2, "pool": "mean"},
    {"adapter": {"method": "dora"}},
    {"adapter_per_view": False},
    {"active_patches": 2},
    {"active_patches": 3, "active_difference_patches": 1},
    {"active_patches": 1, "shared_stage": False},
    {"active_patches": 2, "thin_answers": False},
    {"beside_mean": ("trend", "change")},
    {"difference": False, "shared_stage": False, "beside_mean": ("trend",)},
]
QUICK = [{}, {"difference": False}, {"active_patches": 2}, {"beside_mean": ("trend", "change")}]


def moments(count: int) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 3, 32, 32), torch.randn(count, 3, 32, 32)


def shaken(network: MomentwiseNetwork) -> MomentwiseNetwork:
    """Every trained number off its start, where the low-rank pairs are zero."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


@torch.no_grad()
def scores_of_the_clip(
    network: MomentwiseNetwork, rgb: Tensor, events: Tensor, *, last: int, stride: int = 1
) -> Tensor | None:
    """What the network gives for the clip that ends with moment `last`."""
    numbers = list(range(last, -1, -stride))[:FRAMES][::-1]
    if len(numbers) < network.least_moments:
        return None
    given = {"rgb": rgb[numbers][None], "event": events[numbers][None]}
    seen = [given[m] if m in network.modalities else None for m in ("rgb", "event")]
    return network(*seen).logits[0]


def require_equal(
    network: MomentwiseNetwork, stream: StreamingNetwork, *, pushes: int, stride: int = 1
) -> int:
    """Push moments, compare each answer with the clip's, and count the answers."""
    rgb, events = moments(pushes)
    answers = 0
    for number in range(pushes):
        wanted = scores_of_the_clip(network, rgb, events, last=number, stride=stride)
        got = stream.push(rgb[number], events[number])
        assert (got is None) == (wanted is None)
        if got is not None and wanted is not None:
            torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)
            answers += 1
    return answers


@pytest.mark.parametrize("settings", slow_but(ABLATIONS, quick=QUICK.__contains__), ids=str)
def test_every_answer_is_that_of_the_clip_of_the_last_moments(
    make_network: Callable[..., VELoRA], settings: dict[str, object]
) -> None:
    network = shaken(make_network(**settings))
    stream = StreamingNetwork(network, frames=FRAMES)
    needed = 1 if settings.get("difference") is False else 2
    assert require_equal(network, stream, pushes=11) == 12 - needed


@pytest.mark.parametrize("modality", ["rgb", "event"])
def test_one_modality_alone_answers_from_the_first_moment(
    make_network: Callable[..., VELoRA], modality: str
) -> None:
    network = shaken(make_network(modalities=(modality,)))
    assert require_equal(network, StreamingNetwork(network, frames=FRAMES), pushes=9) == 9


@pytest.mark.parametrize("stride", [2, 3])
def test_moments_may_lie_several_pushes_apart(
    make_network: Callable[..., VELoRA], stride: int
) -> None:
    network = shaken(make_network())
    stream = StreamingNetwork(network, frames=FRAMES, stride=stride)
    assert require_equal(network, stream, pushes=5 * stride, stride=stride) == 4 * stride


@pytest.mark.parametrize("temporal", ["mean", "attention", "transformer"])
@pytest.mark.parametrize("modality", ["rgb", "event"])
def test_a_network_for_one_modality_streams_too(
    backbone: VisionTransformer, temporal: str, modality: str
) -> None:
    config = SingleStreamConfig.model_validate({"temporal": temporal, "head": "norm_linear"})
    network = build_network(backbone, config, modalities=(modality,), frames=FRAMES, num_classes=5)
    assert isinstance(network, MomentwiseNetwork)
    stream = StreamingNetwork(shaken(network), frames=FRAMES)
    # A transformer knows the places of all T moments and answers to no fewer.
    assert require_equal(network, stream, pushes=9) == (6 if temporal == "transformer" else 9)


def test_the_released_network_streams_too() -> None:
    options = {"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
    config = BackboneConfig(name="vit_tiny_patch16_224", weights="random", options=options)
    vit = build_backbone(config, size=(32, 32))
    network = PublishedVELoRA(vit, PublishedConfig(projected_width=16), num_classes=5)
    with torch.no_grad():
        network.projection.normal_()
    assert require_equal(shaken(network), StreamingNetwork(network, frames=FRAMES), pushes=9) == 8


@pytest.mark.slow
def test_thousands_of_moments_later_the_answer_is_still_the_clips(
    make_network: Callable[..., VELoRA],
) -> None:
    """A mean that is updated by what comes and goes would have kept the large moments' rounding."""
    network = shaken(make_network())
    stream = StreamingNetwork(network, frames=FRAMES)
    encode = network.encode
    loud = {"difference": 1e6, "rgb": 1e6, "event": 1e6}
    network.encode = lambda images: {
        name: loud[name] * torch.ones(1, x.shape[1], 5, 24) for name, x in images.items()
    }
    rgb, events = moments(1)
    for _ in range(3000):
        stream.encode(rgb[0], events[0])
    network.encode = encode
    rgb, events = moments(FRAMES + 1)
    answers = [stream.push(*pair) for pair in zip(rgb, events, strict=True)]
    wanted = scores_of_the_clip(network, rgb, events, last=FRAMES)
    torch.testing.assert_close(answers[-1], wanted, atol=1e-5, rtol=1e-4)


def test_a_push_encodes_one_image_in_each_view(make_network: Callable[..., VELoRA]) -> None:
    network = shaken(make_network())
    stream = StreamingNetwork(network, frames=FRAMES)
    seen: list[tuple[str, int]] = []
    for name in network.views:
        network.view(name).vit.patch_embed.register_forward_hook(
            lambda module, given, out, name=name: seen.append((name, len(given[0])))
        )
    rgb, events = moments(7)
    for number in range(7):
        seen.clear()
        stream.push(rgb[number], events[number])
        views = ["event", "rgb"] if number == 0 else ["difference", "event", "rgb"]
        assert sorted(seen) == [(name, 1) for name in views]


def test_what_is_kept_does_not_grow(make_network: Callable[..., VELoRA]) -> None:
    network = shaken(make_network())
    encode = network.encode
    made: list[weakref.ref[Tensor]] = []

    def watched(images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        encoded = encode(images)
        made.extend(map(weakref.ref, encoded.values()))
        return encoded

    network.encode = watched
    stream = StreamingNetwork(network, frames=FRAMES, stride=2)
    rgb, events = moments(1)
    for _ in range(20):
        stream.push(rgb[0], events[0])
    # Four moments two pushes apart reach over seven pushes, their three differences over five.
    assert sum(tensor() is not None for tensor in made) == 7 + 7 + 5


def test_reset_begins_another_recording(make_network: Callable[..., VELoRA]) -> None:
    network = shaken(make_network())
    stream = StreamingNetwork(network, frames=FRAMES)
    require_equal(network, stream, pushes=6)
    assert stream.moments == FRAMES
    stream.reset()
    assert stream.moments == 0
    assert stream.decide() is None
    assert require_equal(network, stream, pushes=6) == 5


def test_answers_need_no_gradient_and_use_no_dropout(make_network: Callable[..., VELoRA]) -> None:
    network = shaken(make_network(adapter={"dropout": 0.5}))
    stream = StreamingNetwork(network, frames=FRAMES)
    network.train()
    assert require_equal(network.eval(), stream, pushes=3) == 2
    network.train()
    rgb, events = moments(1)
    first = stream.push(rgb[0], events[0])
    assert first is not None
    assert not first.requires_grad
    assert not network.training


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_images_follow_the_network_to_its_device(make_network: Callable[..., VELoRA]) -> None:
    network = shaken(make_network()).cuda()
    stream = StreamingNetwork(network, frames=FRAMES)
    rgb, events = moments(FRAMES)
    answers = [stream.push(*pair) for pair in zip(rgb, events, strict=True)]
    wanted = scores_of_the_clip(network, rgb.cuda(), events.cuda(), last=FRAMES - 1)
    torch.testing.assert_close(answers[-1], wanted, atol=1e-4, rtol=1e-4)


def test_bytes_are_normalised_as_the_backbone_wants_them(
    make_network: Callable[..., VELoRA],
) -> None:
    network = shaken(make_network())
    images = torch.randint(0, 256, (2, 2, 3, 32, 32), dtype=torch.uint8)
    as_bytes, as_numbers = (StreamingNetwork(network, frames=FRAMES) for _ in range(2))
    for rgb, events in images.unbind(1):
        got = as_bytes.push(rgb, events)
        wanted = as_numbers.push(network.normalize(rgb), network.normalize(events))
    assert got is not None
    torch.testing.assert_close(got, wanted)


def test_wrong_images_are_refused_and_change_nothing(make_network: Callable[..., VELoRA]) -> None:
    network = shaken(make_network())
    stream = StreamingNetwork(network, frames=FRAMES)
    rgb, events = moments(3)
    stream.push(rgb[0], events[0])
    with pytest.raises(ShapeError, match=r"event: expected images of shape .*, got nothing"):
        stream.push(rgb[1])
    with pytest.raises(ShapeError, match=r"rgb: expected shape \(3, H=32, W=32\)"):
        stream.push(torch.randn(3, 48, 48), events[1])
    with pytest.raises(ShapeError, match=r"events: expected shape \(3, H=32, W=32\)"):
        stream.push(rgb[1], events)
    stream.push(rgb[1], events[1])
    got = stream.push(rgb[2], events[2])
    torch.testing.assert_close(
        got, scores_of_the_clip(network, rgb, events, last=2), atol=1e-5, rtol=1e-4
    )


def test_what_cannot_stream_is_refused(
    make_network: Callable[..., VELoRA], backbone: VisionTransformer
) -> None:
    class OfWholeClips(Network):
        vit = nn.Identity()

    with pytest.raises(RecipeError, match=r"looks at each moment by itself.*got OfWholeClips"):
        StreamingNetwork(OfWholeClips(backbone, ("rgb",)), frames=FRAMES)
    with pytest.raises(ShapeError, match="at least 2 moments, got 1"):
        StreamingNetwork(make_network(), frames=1)
    with pytest.raises(ShapeError, match="stride: expected at least 1"):
        StreamingNetwork(make_network(), frames=FRAMES, stride=0)
