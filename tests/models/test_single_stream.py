"""The network for one modality: its temporal parts, its heads, and what it refuses."""

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.nn.functional import cross_entropy

from evlora.errors import AdapterError, RecipeError, ShapeError
from evlora.models import SingleStream, SingleStreamConfig, VELoRA, VELoRAConfig, build_network
from evlora.models.temporal import TemporalTransformer

SETTINGS = [
    {},
    {"pool": "mean"},
    {"temporal": "attention"},
    {"temporal": "transformer"},
    {"head": "norm_linear"},
    {"temporal": "transformer", "head": "norm_linear", "pool": "mean"},
    {"adapter": {"method": "none"}, "temporal": "attention"},
    {"adapter": {"method": "dora", "sites": "both", "rank": 2}},
]


def made(
    backbone: VisionTransformer,
    modality: str = "rgb",
    frames: int = 3,
    **settings: object,
) -> SingleStream:
    config = SingleStreamConfig.model_validate(settings)
    network = build_network(backbone, config, modalities=(modality,), frames=frames, num_classes=5)
    assert isinstance(network, SingleStream)
    return network


def clip(batch: int = 2, frames: int = 3) -> Tensor:
    return torch.randn(batch, frames, 3, 32, 32)


def shake(network: SingleStream) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("frames", [1, 3])
def test_every_setting_answers_and_every_trained_number_learns(
    settings: dict[str, object], frames: int, backbone: VisionTransformer
) -> None:
    network = made(backbone, frames=frames, **settings)
    shake(network)
    logits, terms, _ = network(clip(frames=frames))
    assert logits.shape == (2, 5)
    assert terms == {}
    cross_entropy(logits, torch.tensor([0, 1])).backward()
    idle = [
        name
        for name, p in network.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    # A single moment has nothing to be weighed against.
    assert idle == (
        ["temporal.query"] if (settings.get("temporal"), frames) == ("attention", 1) else []
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_no_weight_of_the_backbone_moves(
    settings: dict[str, object], backbone: VisionTransformer
) -> None:
    network = made(backbone, **settings)
    frozen = {id(p) for p in backbone.parameters()}
    assert not any(id(p) in frozen for p in network.parameters() if p.requires_grad)
    assert {id(p) for p in network.vit.parameters()} >= frozen


def test_full_trains_the_whole_backbone(backbone: VisionTransformer) -> None:
    network = made(backbone, adapter={"method": "full"})
    cross_entropy(network(clip()).logits, torch.tensor([0, 1])).backward()
    assert all(p.grad is not None for p in network.vit.parameters())


def test_events_alone_are_an_input_like_any_other(backbone: VisionTransformer) -> None:
    network = made(backbone, "event").eval()
    images = clip()
    torch.testing.assert_close(
        network(None, images).logits,
        network.head(network.vit(images.flatten(0, 1)).view(2, 3, 24).mean(1)),
    )
    with pytest.raises(ShapeError, match="event: expected images of shape"):
        network(images)


def test_one_image_is_the_backbone_and_a_linear_layer(backbone: VisionTransformer) -> None:
    network = made(backbone, frames=1).eval()
    images = clip(frames=1)
    torch.testing.assert_close(network(images).logits, network.head(backbone.eval()(images[:, 0])))


def test_attention_starts_as_the_mean_and_follows_its_query(backbone: VisionTransformer) -> None:
    images = clip()
    network = made(backbone, temporal="attention").eval()
    moments = backbone.eval()(images.flatten(0, 1)).view(2, 3, 24)
    torch.testing.assert_close(network.temporal(moments), moments.mean(dim=1))
    chosen = torch.nn.functional.layer_norm(moments[0, 1], (24,))
    with torch.no_grad():
        network.temporal.query.copy_(100 * chosen)
    torch.testing.assert_close(network.temporal(moments)[0], moments[0, 1], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("temporal", "knows_order"), [("mean", False), ("attention", False), ("transformer", True)]
)
def test_only_the_transformer_knows_the_order_of_the_moments(
    temporal: str, knows_order: bool, backbone: VisionTransformer
) -> None:
    network = made(backbone, temporal=temporal).eval()
    shake(network)
    images = clip()
    differs = not torch.allclose(
        network(images).logits, network(images[:, [2, 0, 1]]).logits, atol=1e-5
    )
    assert differs is knows_order


def test_the_transformer_learns_an_order_within_a_few_steps() -> None:
    """Rising and falling sequences of the same vectors, which differ from clip to clip."""
    part, head = TemporalTransformer(24, heads=2, frames=6), torch.nn.Linear(24, 2)
    learned = [*part.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(learned, lr=2e-3)
    direction = torch.randn(24)

    def draw(clips: int) -> tuple[Tensor, Tensor]:
        rises = torch.arange(clips) % 2
        steps = torch.linspace(-1, 1, 6) * (2 * rises[:, None] - 1)
        noise = 0.5 * torch.randn(clips, 6, 24)
        return steps[..., None] * direction + torch.randn(clips, 1, 24) + noise, rises

    for _ in range(60):
        moments, rises = draw(16)
        optimizer.zero_grad()
        cross_entropy(head(part(moments)), rises).backward()
        optimizer.step()
    moments, rises = draw(200)
    assert float((head(part(moments)).argmax(dim=1) == rises).float().mean()) > 0.95


def test_a_clip_does_not_depend_on_its_neighbours_in_the_batch(
    backbone: VisionTransformer,
) -> None:
    network = made(backbone, temporal="transformer", head="norm_linear").eval()
    shake(network)
    images = clip(batch=3)
    alone = torch.cat([network(images[i : i + 1]).logits for i in range(3)])
    torch.testing.assert_close(network(images).logits, alone, atol=1e-5, rtol=1e-5)


def test_the_norm_of_the_head_is_that_of_adaptformer(backbone: VisionTransformer) -> None:
    """Batch norm without weights, eps 1e-6, and a linear layer that starts at std 0.01."""
    network = made(backbone, head="norm_linear", frames=1)
    images = clip(batch=6, frames=1)
    features = backbone.eval()(images[:, 0])
    expected = (features - features.mean(0)) / (features.var(0, correction=0) + 1e-6).sqrt()
    torch.testing.assert_close(network.train()(images).logits, network.head.linear(expected))
    assert float(network.head.linear.weight.detach().std()) == pytest.approx(0.01, rel=0.2)
    assert [name for name, _ in network.head.named_parameters()] == ["linear.weight", "linear.bias"]


def test_a_training_batch_of_one_clip_is_normed_by_what_was_seen(
    backbone: VisionTransformer,
) -> None:
    network = made(backbone, head="norm_linear").train()
    network(clip(batch=4))
    alone = clip(batch=1)
    in_training = network(alone).logits
    torch.testing.assert_close(in_training, network.eval()(alone).logits)


def test_the_kind_of_network_is_that_of_its_configuration(backbone: VisionTransformer) -> None:
    network = build_network(
        backbone, VELoRAConfig(), modalities=("rgb", "event"), frames=3, num_classes=5
    )
    assert isinstance(network, VELoRA)


def test_wrong_settings_are_refused_with_the_cure(backbone: VisionTransformer) -> None:
    with pytest.raises(RecipeError, match=r"single_stream takes one.*model\.network to velora"):
        build_network(
            backbone,
            SingleStreamConfig(),
            modalities=("rgb", "event"),
            frames=3,
            num_classes=5,
        )
    with pytest.raises(AdapterError, match="no adapter is called 'lorra'"):
        made(backbone, adapter={"method": "lorra"})
    with pytest.raises(ShapeError, match=r"the T=3 moments.*got T=4; set clip\.frames"):
        made(backbone, temporal="transformer")(clip(frames=4))
