"""The most active patches: which they are, what becomes of the others, and what stays as it was."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from backbone_families import FAMILIES, VARIANTS, Family, tiny
from torch import Tensor, nn

from evlora.errors import RecipeError
from evlora.models import VELoRA, VELoRAConfig
from evlora.models.backbone import BackboneConfig, blocks_of, build_backbone, embed_images
from evlora.models.sparsity import most_active, through_blocks

GRID = (2, 3)
every_family = pytest.mark.parametrize(
    "family", (FAMILIES | VARIANTS).values(), ids=[*FAMILIES, *VARIANTS]
)


def event_image(events: dict[int, int]) -> Tensor:
    """White, of 2 × 3 patches of 8 px, with red pixels: how many, by the number of the patch."""
    picture = torch.ones(3, 16, 24)
    for place, count in events.items():
        row, column = divmod(place, GRID[1])
        patch = picture[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        for number in range(count):
            patch[1:, number % 8, number // 8] = -0.8
    return picture[None]


def active(images: Tensor, count: int, **settings: Any) -> list[list[int]]:
    return most_active(images, count=count, grid=GRID, **settings).tolist()


def test_the_patches_with_most_events_are_kept_in_the_order_of_their_places() -> None:
    picture = event_image({0: 3, 2: 20, 3: 7, 5: 6})
    assert active(picture, 2) == [[2, 3]]
    assert active(picture, 3) == [[2, 3, 5]]


def test_what_is_blank_is_found_in_the_picture_whatever_its_colour() -> None:
    picture = event_image({0: 3, 2: 20, 3: 7})
    assert active(-picture, 2) == active(picture, 2)
    assert active(0.3 * picture - 1, 2) == active(picture, 2)


def test_where_the_blank_is_known_more_than_half_of_a_picture_may_be_active() -> None:
    difference = torch.ones(1, 3, 16, 24)
    difference[..., 8:, 8:16] = 0
    assert active(difference, 5, blank=0.0) == [[0, 1, 2, 3, 5]]


def test_of_equally_active_patches_the_first_are_kept() -> None:
    assert active(event_image({}), 4) == [[0, 1, 2, 3]]
    assert active(event_image({1: 5, 3: 5, 4: 9, 5: 5}), 2) == [[1, 4]]


@pytest.mark.parametrize("blank", [None, 0.0])
def test_the_choice_does_not_depend_on_the_pictures_beside_it(blank: float | None) -> None:
    """Each picture is one patch, turned six ways, whose sums could differ by rounding alone."""
    patches = torch.randn(9, 3, 8, 8)
    ways = [way.rot90(turns, (2, 3)) for turns in range(3) for way in (patches, patches.mT)]
    images = torch.cat([torch.cat(ways[:3], dim=3), torch.cat(ways[3:], dim=3)], dim=2)
    together = active(images, 3, blank=blank)
    assert together == [active(image[None], 3, blank=blank)[0] for image in images]
    assert together == [[0, 1, 2]] * 9


def test_the_choice_needs_nothing_that_is_not_deterministic_on_a_gpu() -> None:
    torch.use_deterministic_algorithms(True)  # as training does
    try:
        kept = most_active(event_image({2: 20}).to("meta"), count=2, grid=GRID)
    finally:
        torch.use_deterministic_algorithms(False)
    assert kept.shape == (1, 2)


def test_kept_tokens_go_back_to_their_places_and_blank_ones_have_the_mean() -> None:
    backbone = tiny(FAMILIES["DINOv2"])  # a class token and four registers
    tokens = torch.randn(2, 5 + 6, 32)
    places = torch.tensor([[1, 4], [0, 5]])
    seen: list[Tensor] = []

    def doubled(x: Tensor) -> Tensor:
        seen.append(x)
        return 2 * x

    out = through_blocks(backbone, [doubled], tokens, places)  # type: ignore[list-item]
    assert seen[0].shape == (2, 5 + 2 + 1, 32)
    expected = tokens.clone()
    for number, kept in enumerate(places.tolist()):
        blank = [5 + place for place in range(6) if place not in kept]
        expected[number, blank] = tokens[number, blank].mean(dim=0)
    torch.testing.assert_close(out, 2 * expected)


@every_family
def test_kept_patches_are_seen_where_they_are(family: Family) -> None:
    """Where nobody looks at what is skipped, the others come out as if it had not been there."""
    backbone = tiny(family)
    tokens = embed_images(backbone, torch.randn(2, 3, *family.size))
    prefix, patches = backbone.num_prefix_tokens, tokens.shape[1] - backbone.num_prefix_tokens
    places = torch.tensor([[1, 3, 4], [0, 2, 5]])
    hidden = torch.ones(2, 1, 1, prefix + 4, dtype=torch.bool)
    hidden[..., -1] = False
    shown = torch.zeros(2, patches, dtype=torch.bool).scatter(1, places, value=True)
    shown = torch.cat([torch.ones(2, prefix, dtype=torch.bool), shown], dim=1)

    class Unseen(nn.Module):
        def __init__(self, block: nn.Module) -> None:
            super().__init__()
            self.block = block

        def forward(self, x: Tensor, **positions: Tensor) -> Tensor:
            return self.block(x, attn_mask=hidden, **positions)

    blocks: Any = [Unseen(block) for block in blocks_of(backbone)]
    pruned = through_blocks(backbone, blocks, tokens, places)
    for block in blocks_of(backbone):
        tokens = block(tokens, attn_mask=shown[:, None, None])
    torch.testing.assert_close(pruned[shown], tokens[shown], atol=1e-4, rtol=1e-4)


def built(pool: str = "token", **settings: Any) -> VELoRA:
    """A VELoRA on images of 16 patches, its trained numbers off their starts."""
    torch.manual_seed(1)
    options: dict[str, Any] = {"patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2}
    config = BackboneConfig(name="vit_tiny_patch16_224", weights="random", options=options)
    network = VELoRA(
        build_backbone(config, size=(32, 32)),
        VELoRAConfig.model_validate({"pool": pool, **settings}),
        num_classes=5,
    )
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def learn(network: VELoRA) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Scores, the reconstruction, and the gradients of a clip."""
    torch.manual_seed(2)
    logits, terms, _ = network(torch.randn(2, 3, 3, 32, 32), torch.randn(2, 3, 3, 32, 32))
    (nn.functional.cross_entropy(logits, torch.tensor([0, 3])) + terms["reconstruction"]).backward()
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert all(p.grad is not None and p.grad.any() for p in trained.values())
    return logits, terms["reconstruction"], {name: p.grad for name, p in trained.items()}  # type: ignore[misc]


@pytest.mark.parametrize("count", [16, 17, 200])
def test_as_many_patches_as_there_are_is_off_to_the_last_bit(count: int) -> None:
    (off, term, gradients), (same, same_term, same_gradients) = (
        learn(built(active_patches=number)) for number in (None, count)
    )
    assert torch.equal(off, same)
    assert torch.equal(term, same_term)
    assert all(torch.equal(gradients[name], same_gradients[name]) for name in gradients)


def test_training_can_be_pruned_and_answers_not() -> None:
    pruned, both = ({"active_patches": 6, "thin_answers": answers} for answers in (False, True))
    answered, _, _ = learn(built(**pruned))
    assert torch.equal(answered, learn(built())[0])
    assert not torch.allclose(answered, learn(built(**both))[0], atol=1e-4)

    (trained, _, gradients), (expected, _, expected_gradients) = (
        learn(built(**settings).train()) for settings in (pruned, both)
    )
    assert torch.equal(trained, expected)
    assert all(torch.equal(gradients[name], expected_gradients[name]) for name in gradients)
    assert not torch.allclose(trained, learn(built().train())[0], atol=1e-4)


def test_one_blank_patch_is_its_own_mean() -> None:
    (off, _, gradients), (same, _, same_gradients) = (
        learn(built(active_patches=number)) for number in (None, 15)
    )
    torch.testing.assert_close(same, off)
    for name, gradient in gradients.items():
        torch.testing.assert_close(same_gradients[name], gradient, atol=1e-5, rtol=1e-3)
    assert not torch.allclose(learn(built(active_patches=8))[0], off, atol=1e-4)


def test_only_events_and_differences_are_pruned() -> None:
    network = built(active_patches=6)
    lengths: dict[str, int] = {}
    for name in network.views:
        network.view(name).vit.blocks[0].register_forward_hook(
            lambda module, given, out, name=name: lengths.update({name: given[0].shape[1]})
        )
    learn(network)
    assert lengths == {"rgb": 1 + 16, "event": 1 + 6 + 1, "difference": 1 + 6 + 1}


def test_differences_can_be_pruned_more_or_alone() -> None:
    for settings, expected in (
        ({"active_patches": 6, "active_difference_patches": 2}, (1 + 6 + 1, 1 + 2 + 1)),
        ({"active_difference_patches": 2}, (1 + 16, 1 + 2 + 1)),
    ):
        network = built(**settings)
        lengths: dict[str, int] = {}
        for name in ("event", "difference"):
            network.view(name).vit.blocks[0].register_forward_hook(
                lambda module, given, out, name=name, lengths=lengths: lengths.update(
                    {name: given[0].shape[1]}
                )
            )
        learn(network)
        assert (lengths["event"], lengths["difference"]) == expected


@pytest.mark.parametrize(
    "adapter",
    [
        {"method": "vpt", "options": {"tokens": 3}},
        {"method": "adaptformer"},
        {"method": "adapter_plus"},
        {"method": "ssf"},
        {"method": "full"},
        {"method": "lv_adapter"},
    ],
    ids=lambda adapter: adapter["method"],
)
def test_every_kind_of_adapter_learns_with_it(adapter: dict[str, Any]) -> None:
    learn(built(adapter=adapter, active_patches=6))


@every_family
def test_every_family_learns_with_it(family: Family) -> None:
    config = VELoRAConfig.model_validate({"pool": family.pool, "active_patches": 2})
    network = VELoRA(tiny(family), config, num_classes=5)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    rgb, events = torch.randn(2, 1, 2, 3, *family.size)
    logits, terms, _ = network(rgb, events)
    (nn.functional.cross_entropy(logits, torch.tensor([0])) + terms["reconstruction"]).backward()
    idle = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert idle == []


def test_frames_alone_leave_nothing_to_thin(make_network: Callable[..., VELoRA]) -> None:
    with pytest.raises(RecipeError, match=r"model.active_patches: expected events.*got.*\['rgb'\]"):
        make_network(modalities=("rgb",), active_patches=2)


def test_without_a_difference_there_is_none_to_thin(make_network: Callable[..., VELoRA]) -> None:
    with pytest.raises(RecipeError, match=r"active_difference_patches: expected both modalities"):
        make_network(difference=False, active_difference_patches=2)


def test_answers_with_all_patches_need_training_with_fewer(
    make_network: Callable[..., VELoRA],
) -> None:
    with pytest.raises(RecipeError, match=r"thin_answers: expected a number of patches .* got nei"):
        make_network(thin_answers=False)
