"""Adapters that see time: what a moment's neighbours are, and what does not depend on them."""

from typing import Any, cast

import pytest
import torch
from adapter_networks import base, shake
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from evlora.errors import AdapterError, RecipeError, ShapeError
from evlora.models import VELoRA, VELoRAConfig
from evlora.models.adapters import AdapterConfig, adapt, fold, set_moments
from evlora.models.adapters.moments import by_clip, neighbours
from evlora.models.adapters.st_adapter.layer import over_moments
from evlora.models.config import SingleStreamConfig
from evlora.models.single_stream import SingleStream
from evlora.models.streaming import StreamingNetwork

CONFIGS = {
    "st_adapter": AdapterConfig(method="st_adapter", rank=4),
    "aim": AdapterConfig(method="aim", rank=4),
    "moment_heads": AdapterConfig(method="lv_adapter", rank=2, moment_heads=2),
}
MIXED = AdapterConfig(method="lily", rank=4)
"""Which mixes its pairs by the mean over all images of a call."""
every_kind = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def single(vit: VisionTransformer, config: AdapterConfig) -> SingleStream:
    torch.manual_seed(3)
    network = SingleStream(vit, SingleStreamConfig(adapter=config), frames=3, num_classes=4)
    shake(network)
    return network.eval()


def clips(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 3, 32, 32, generator=torch.Generator().manual_seed(4))


def test_beyond_a_border_is_the_last_moment_that_there_is() -> None:
    x = torch.arange(6).reshape(2, 3)
    assert neighbours(x, 1).tolist() == [[1, 2, 2], [4, 5, 5]]
    assert neighbours(x, -1).tolist() == [[0, 0, 1], [3, 3, 4]]


def test_images_that_are_no_whole_clips_are_refused() -> None:
    with pytest.raises(AdapterError, match="expected clips of 3 moments, got 4 images"):
        by_clip(torch.zeros(4, 2), 3)


def test_the_convolution_is_torchs_own_depth_wise_one() -> None:
    x, taps = torch.randn(8, 5, 6), torch.randn(3, 6)  # two clips of four moments
    by_place = x.reshape(2, 4, 5, 6).permute(0, 2, 3, 1).flatten(0, 1)  # (B·N, R, T)
    expected = torch.conv1d(by_place, taps.T[:, None], padding=1, groups=6)
    expected = expected.unflatten(0, (2, 5)).permute(0, 3, 1, 2).flatten(0, 1)
    torch.testing.assert_close(over_moments(x, taps, 4), expected)


@every_kind
def test_the_order_of_moments_matters_though_their_mean_is_taken(
    config: AdapterConfig, vit: VisionTransformer
) -> None:
    network, x = single(vit, config), clips()
    assert not torch.allclose(network(x).logits, network(x.flip(1)).logits, atol=1e-4)
    plain = single(vit, AdapterConfig(method="lora"))
    torch.testing.assert_close(plain(x).logits, plain(x.flip(1)).logits)


@every_kind
def test_a_clip_does_not_depend_on_the_clips_beside_it(
    config: AdapterConfig, vit: VisionTransformer
) -> None:
    network, x = single(vit, config), clips()
    torch.testing.assert_close(network(x).logits[:1], network(x[:1]).logits)


@every_kind
def test_an_answer_while_the_camera_runs_is_that_of_the_clip(
    config: AdapterConfig, vit: VisionTransformer
) -> None:
    network = single(vit, config)
    stream = StreamingNetwork(network, frames=3, stride=2)
    images = torch.randn(8, 3, 32, 32)
    answers = [stream.push(image) for image in images]
    for last, seen in ((7, [3, 5, 7]), (6, [2, 4, 6]), (2, [0, 2])):
        expected = network(images[seen][None]).logits[0]
        torch.testing.assert_close(cast(Tensor, answers[last]), expected)
    with pytest.raises(ShapeError, match="rgb: expected images"):
        stream.push(events=images[0])
    torch.testing.assert_close(stream.push(images[1]), network(images[[4, 6, 1]][None]).logits[0])


@every_kind
def test_velora_answers_the_same_while_the_camera_runs(
    config: AdapterConfig, vit: VisionTransformer
) -> None:
    network = VELoRA(vit, VELoRAConfig(adapter=config), num_classes=4).eval()
    shake(network, 0.1)
    stream = StreamingNetwork(network, frames=3)
    rgb, events = torch.randn(2, 5, 3, 32, 32)
    answers = [stream.push(*pair) for pair in zip(rgb, events, strict=True)]
    assert answers[0] is None
    for last, first in ((4, 2), (1, 0)):
        span = slice(first, last + 1)
        expected = network(rgb[None, span], events[None, span]).logits[0]
        torch.testing.assert_close(cast(Tensor, answers[last]), expected)


def test_where_images_are_mixed_a_clip_is_answered_alone_and_whole(
    vit: VisionTransformer,
) -> None:
    network, x = single(vit, MIXED), clips()
    assert network.depends_on_batch
    assert not single(vit, CONFIGS["aim"]).depends_on_batch
    stream = StreamingNetwork(network, frames=3)
    answers = [stream.push(image) for image in x[0]]
    torch.testing.assert_close(cast(Tensor, answers[2]), network(x[:1]).logits[0])
    assert not torch.allclose(network(x).logits[:1], network(x[:1]).logits)


@every_kind
def test_velora_takes_them_in_every_view(config: AdapterConfig, vit: VisionTransformer) -> None:
    network = VELoRA(vit, VELoRAConfig(adapter=config), num_classes=4).eval()
    shake(network)
    rgb, events = clips(), clips().flip(0)
    forwards = network(rgb, events).logits
    assert not torch.allclose(forwards, network(rgb.flip(1), events.flip(1)).logits, atol=1e-4)
    pruned = VELoRAConfig(adapter=config, active_patches=2)
    with pytest.raises(RecipeError, match="active_patches: expected adapters that see each image"):
        VELoRA(vit, pruned, num_classes=4)


def test_an_lv_adapter_with_moment_heads_answers_the_same_when_folded(
    vit: VisionTransformer,
) -> None:
    network, x = single(vit, CONFIGS["moment_heads"]), clips()
    expected = network(x).logits
    before = sum(p.numel() for p in vit.parameters())
    network.backbone = fold(cast(Any, network.backbone))
    torch.testing.assert_close(network(x).logits, expected, atol=1e-5, rtol=0)
    assert sum(p.numel() for p in network.backbone.parameters()) == before


def test_moment_heads_without_a_second_moment_change_nothing(vit: VisionTransformer) -> None:
    x = torch.randn(3, 3, 32, 32)
    expected = vit(x)
    config = AdapterConfig(method="none", moment_heads=2)
    torch.testing.assert_close(adapt(base("vit"), config, name="vit")(x), base("vit")(x))
    with_heads = adapt(vit, config, name="vit")
    torch.testing.assert_close(with_heads(x), expected)
    set_moments(with_heads, 3)
    assert not torch.allclose(with_heads(x), expected, atol=1e-4)


def test_more_moment_heads_than_heads_are_refused(vit: VisionTransformer) -> None:
    with pytest.raises(AdapterError, match=r"at most the 2 heads.*got 3"):
        adapt(vit, AdapterConfig(moment_heads=3), name="vit")
