"""The network: its stages, what it trains, and what it refuses."""

from collections.abc import Callable

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.nn.functional import cross_entropy, mse_loss

from evlora.errors import AdapterError, RecipeError, ShapeError
from evlora.models import VELoRA
from evlora.models.adapters import added_by_lora, unwrapped
from evlora.models.fusion import frame_difference

Make = Callable[..., VELoRA]

ABLATIONS = [
    {},
    {"difference": False},
    {"reconstruction": False},
    {"shared_stage": False},
    {"difference": False, "reconstruction": False, "shared_stage": False},
    {"high_blocks": 2},
    {"pool": "mean"},
    {"adapter": {"method": "none"}},
    {"adapter": {"method": "dora"}},
    {"adapter": {"sites": "both", "rank": 2}},
    {"adapter": {"sites": "attention"}},
    {"adapter": {"method": "full"}},
    {"adapter_per_view": False},
    {"adapter_per_view": False, "adapter": {"method": "full"}},
    {"active_patches": 2},
    {"beside_mean": ("trend", "change")},
]


def clips(batch: int = 2, moments: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (batch, moments, 3, 32, 32)
    return torch.randn(shape), torch.randn(shape)


def shake(network: VELoRA) -> None:
    """Move every trained number off its start, where the low-rank pairs are zero."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))


@pytest.mark.parametrize("settings", ABLATIONS, ids=str)
def test_every_ablation_answers_and_every_trained_number_learns(
    make_network: Make, settings: dict[str, object]
) -> None:
    network = make_network(**settings)
    shake(network)
    rgb, events = clips()
    logits, terms, _ = network(rgb, events)
    assert logits.shape == (2, 5)
    assert set(terms) == ({"reconstruction"} if settings.get("reconstruction", True) else set())
    loss = cross_entropy(logits, torch.tensor([0, 1])) + sum(terms.values())
    loss.backward()
    idle = [
        name
        for name, p in network.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert idle == []


def test_full_trains_every_weight_of_the_backbone(make_network: Make) -> None:
    network = make_network(adapter={"method": "full"})
    assert all(parameter.requires_grad for parameter in network.vit.parameters())


def test_the_views_own_scores_add_up_to_those_of_all(make_network: Make) -> None:
    network = make_network(shared_stage=False).eval()
    shake(network)
    logits, _, by_view = network(*clips())
    assert list(by_view) == ["difference", "rgb", "event"]
    biases = (len(by_view) - 1) * network.head.bias  # each of them has it
    torch.testing.assert_close(torch.stack([*by_view.values()]).sum(dim=0) - biases, logits)


@pytest.mark.parametrize("modality", ["rgb", "event"])
def test_one_modality_alone_has_one_view_and_nothing_to_fuse(
    make_network: Make, modality: str
) -> None:
    network = make_network(modalities=(modality,))
    assert list(network.views) == [modality]
    assert network.shared_stage is None
    assert network.reconstruction is None
    rgb, events = clips()
    alone = {"rgb": (rgb, None), "event": (None, events)}[modality]
    assert network(*alone).logits.shape == (2, 5)


def test_the_three_views_share_the_storage_of_all_frozen_weights(make_network: Make) -> None:
    network = make_network()
    frozen: dict[str, set[int]] = {}
    for name in network.views:
        for key, parameter in network.view(name).vit.named_parameters():
            if not parameter.requires_grad:
                frozen.setdefault(key, set()).add(parameter.untyped_storage().data_ptr())
    assert len(frozen) > 30
    assert all(len(addresses) == 1 for addresses in frozen.values())


def test_one_set_of_adapters_serves_all_views_and_is_saved_and_counted_once(
    make_network: Make,
) -> None:
    apart, together = make_network(), make_network(adapter_per_view=False)
    views = [together.view(name) for name in together.views]
    assert len({id(view.vit) for view in views}) == 1
    assert len({id(view.embedding) for view in views}) == 3

    def trained(network: VELoRA, part: str) -> int:
        own = [p for name, p in network.named_parameters() if part in name and p.requires_grad]
        return sum(p.numel() for p in own)

    # Of the difference view there are two blocks of three.
    assert trained(apart, "adapted.") * 3 == trained(together, "all_views.") * 8
    assert trained(together, "adapted.") == 0


def test_the_fused_blocks_are_the_backbones_own(
    make_network: Make, backbone: VisionTransformer
) -> None:
    network = make_network()
    addresses = {p.data_ptr() for p in backbone.parameters()}
    frozen = [p for p in network.parameters() if not p.requires_grad]
    assert frozen
    assert all(parameter.data_ptr() in addresses for parameter in frozen)
    assert sum(p.numel() for p in frozen) == sum(p.numel() for p in backbone.parameters())


def test_no_frozen_tensor_receives_a_gradient(make_network: Make) -> None:
    network = make_network()
    logits, terms, _ = network(*clips())
    (logits.sum() + terms["reconstruction"]).backward()
    assert all(p.grad is None for p in network.parameters() if not p.requires_grad)


def test_lora_changes_nothing_before_the_first_step(
    make_network: Make, backbone: VisionTransformer
) -> None:
    network = make_network(modalities=("rgb",)).eval()
    rgb, _ = clips(moments=1)
    torch.testing.assert_close(network(rgb).logits, network.head(backbone.eval()(rgb[:, 0])))


def test_the_shared_stage_changes_nothing_before_the_first_step(make_network: Make) -> None:
    network = make_network().eval()
    with_stage = network(*clips_again()).logits
    network.shared_stage = None
    torch.testing.assert_close(network(*clips_again()).logits, with_stage)


def clips_again() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return clips()


def test_the_order_of_time_matters_only_to_the_difference(make_network: Make) -> None:
    rgb, events = clips()
    shuffled = [2, 0, 1]
    for is_on in (False, True):
        network = make_network(difference=is_on).eval()
        shake(network)
        forwards = network(rgb, events).logits
        differs = not torch.allclose(
            network(rgb[:, shuffled], events[:, shuffled]).logits, forwards, atol=1e-5
        )
        assert differs is is_on


def test_what_stands_beside_the_mean_changes_nothing_before_the_first_step(
    make_network: Make,
) -> None:
    torch.manual_seed(0)
    plain = make_network()
    torch.manual_seed(0)
    both = make_network(beside_mean=("trend", "change"))
    both.load_state_dict(plain.state_dict(), strict=False)
    rgb, events = clips()
    torch.testing.assert_close(both.eval()(rgb, events).logits, plain.eval()(rgb, events).logits)


def test_a_trend_knows_the_order_of_the_moments_and_a_change_does_not(make_network: Make) -> None:
    rgb, events = clips()
    for name, knows in (("trend", True), ("change", False)):
        network = make_network(beside_mean=(name,))
        shake(network)
        forward = network.eval()(rgb, events).logits
        backward = network(rgb.flip(1), events.flip(1)).logits
        assert torch.allclose(forward, backward, atol=1e-5) != knows, name


def test_one_moment_has_neither_trend_nor_change(make_network: Make) -> None:
    plain = make_network(difference=False)
    both = make_network(difference=False, beside_mean=("trend", "change"))
    shake(both)
    plain.load_state_dict(
        {name: x for name, x in both.state_dict().items() if ".over_time." not in name}
    )
    rgb, events = clips(moments=1)
    torch.testing.assert_close(both.eval()(rgb, events).logits, plain.eval()(rgb, events).logits)


def test_a_clip_does_not_depend_on_its_neighbours_in_the_batch(make_network: Make) -> None:
    network = make_network().eval()
    shake(network)
    rgb, events = clips(batch=3)
    together = network(rgb, events).logits
    alone = torch.cat([network(rgb[i : i + 1], events[i : i + 1]).logits for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_the_difference_is_the_sum_of_both_absolute_changes() -> None:
    rgb, events = clips(batch=1)
    difference = frame_difference(rgb, events)
    assert difference.shape == (1, 2, 3, 32, 32)
    expected = (rgb[0, 2] - rgb[0, 1]).abs() + (events[0, 2] - events[0, 1]).abs()
    torch.testing.assert_close(difference[0, 1], expected)


def test_the_forward_is_the_six_steps_written_plainly(make_network: Make) -> None:
    """Loops over clips, moments and blocks, on weights with the adapters merged in."""
    network = make_network().eval()
    shake(network)
    rgb, events = clips()
    logits, terms, _ = network(rgb, events)

    images = {
        "difference": (rgb.diff(dim=1).abs() + events.diff(dim=1).abs()),
        "rgb": rgb,
        "event": events,
    }
    tokens = {}
    for name, pictures in images.items():
        vit, embedding = network.view(name).vit, network.view(name).embedding
        per_clip = []
        for clip in pictures:
            per_moment = []
            for picture in clip:
                patches = vit.patch_embed.proj(picture[None]).flatten(2).transpose(1, 2)
                x = torch.cat([vit.cls_token, patches], dim=1) + vit.pos_embed
                for number in range(2):
                    block = vit.blocks[number]
                    x = x + block.attn(block.norm1(x))
                    x = x + block.mlp(block.norm2(x))
                per_moment.append(x[0])
            per_clip.append(sum(per_moment) / len(per_moment) + embedding)
        tokens[name] = torch.stack(per_clip)

    rho = unwrapped(network.reconstruction.rho)
    expected = mse_loss(rho(tokens["event"]), tokens["rgb"])
    expected = expected + mse_loss(rho(tokens["rgb"]), tokens["event"])
    torch.testing.assert_close(terms["reconstruction"], expected)

    phi = unwrapped(network.shared_stage.phi)
    z = phi(torch.cat([tokens["difference"], tokens["rgb"], tokens["event"]], dim=1))
    parts = {"rgb": z[:, 5:10], "event": z[:, 10:15]}
    features = []
    for name, part in parts.items():
        hidden = low_rank(phi.mlp.fc1, part)
        branch = low_rank(phi.mlp.fc2, torch.nn.functional.gelu(hidden))
        view = network.view(name).vit
        block = view.blocks[2]
        x = tokens[name] + block.attn(block.norm1(tokens[name]))
        gate = network.shared_stage.gates[name]
        x = x + (block.mlp(block.norm2(x)) + gate * part + branch)
        features.append(view.norm(x)[:, 0])
    expected_logits = torch.cat(features, dim=1) @ network.head.weight.T + network.head.bias
    torch.testing.assert_close(logits, expected_logits, atol=1e-5, rtol=1e-4)


def low_rank(layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    return x @ a.T @ b.T * 2.0  # α / r = 16 / 8


def test_the_zero_start_of_both_low_rank_pairs_is_no_dead_end(make_network: Make) -> None:
    """S(z) alone would have no gradient at its start: both of its factors are zero there."""
    network = make_network()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.5)
    for _ in range(4):
        logits = network(*clips()).logits
        optimizer.zero_grad()
        cross_entropy(logits, torch.tensor([0, 1])).backward()
        optimizer.step()
    pairs = [p for name, p in network.shared_stage.named_parameters() if "lora_B" in name]
    assert pairs
    assert all(pair.any() for pair in pairs)


def test_added_by_lora_refuses_a_plain_layer() -> None:
    with pytest.raises(AdapterError, match="got Linear"):
        added_by_lora(torch.nn.Linear(2, 2), torch.randn(1, 1, 2))


def test_normalize_uses_the_backbones_own_statistics(make_network: Make) -> None:
    images = torch.full((1, 1, 3, 2, 2), 255, dtype=torch.uint8)
    torch.testing.assert_close(make_network().normalize(images), torch.ones(1, 1, 3, 2, 2))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"high_blocks": 3}, "expected 1…2 of the backbone's 3 blocks, got 3"),
        ({"modalities": ()}, "expected rgb, event, or both"),
        ({"modalities": ("rgb", "rgb")}, "expected rgb, event, or both"),
    ],
)
def test_a_contradicting_configuration_is_refused(
    make_network: Make, settings: dict[str, object], words: str
) -> None:
    with pytest.raises(RecipeError, match=words):
        make_network(**settings)


def test_an_unknown_adapter_is_refused_with_the_catalogue(make_network: Make) -> None:
    with pytest.raises(AdapterError, match="no adapter is called 'lorra'; did you mean lora"):
        make_network(adapter={"method": "lorra"})


def test_an_adapter_that_matches_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, make_network: Make
) -> None:
    from evlora.models.adapters import sites

    monkeypatch.setitem(sites.TARGETS, "ffn", r"no\.such\.layer")
    with pytest.raises(AdapterError, match=r"difference view: cannot add lora.*not found"):
        make_network()


def test_wrong_inputs_are_refused_by_name(make_network: Make) -> None:
    rgb, events = clips()
    network = make_network()
    with pytest.raises(ShapeError, match="event: expected images of shape"):
        network(rgb)
    with pytest.raises(ShapeError, match=r"rgb: expected shape \(B, T, 3, H, W\)"):
        network(rgb[:, :, :2], events)
    with pytest.raises(ShapeError, match=r"event: expected shape .*T=3"):
        network(rgb, events[:, :2])
    with pytest.raises(ShapeError, match="expected at least two moments"):
        network(rgb[:, :1], events[:, :1])
