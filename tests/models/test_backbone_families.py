"""Backbones of every family: they build, run, train, share their weights and load their files."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from adapter_networks import SETTINGS
from backbone_families import FAMILIES, ROTARY, TINY, VARIANTS, Family, configuration, tiny
from safetensors.torch import load_file, save_file
from slow import slow_but
from timm import create_model, get_pretrained_cfg
from torch import Tensor, nn

from evlora.bundle import load_bundle, save_bundle
from evlora.errors import BackboneError, RecipeError, ShapeError
from evlora.models import Backbone, BackboneConfig, build_backbone
from evlora.models.adapters import METHODS, AdapterConfig, adapt, unwrapped
from evlora.models.adapters.from_peft.rows import ROWS
from evlora.models.backbone import (
    blocks_of,
    embed_images,
    image_statistics,
    pool_tokens,
    share_weights,
)
from evlora.models.fusion import SharedStage
from evlora.recognizer import Recognizer, RecognizerConfig

the_six = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
every_family = pytest.mark.parametrize(
    "family", (FAMILIES | VARIANTS).values(), ids=[*FAMILIES, *VARIANTS]
)
slow_but_two_families = slow_but(
    (FAMILIES | VARIANTS).items(), quick=lambda case: case[0] in ("CLIP", "DINOv3"), named=True
)
every_rotary = pytest.mark.parametrize(
    "family", [(FAMILIES | VARIANTS)[name] for name in ROTARY], ids=ROTARY
)


@every_family
def test_blocks_called_one_by_one_give_what_timm_gives(family: Family) -> None:
    backbone = tiny(family)
    options: dict[str, Any] = {**TINY}
    reference = create_model(family.name, num_classes=0, img_size=family.size, **options)
    reference.load_state_dict(backbone.state_dict())
    images = torch.randn(2, 3, *family.size)
    tokens = embed_images(backbone, images)
    for block in blocks_of(backbone):
        tokens = block(tokens)
    own_pool = cast(str, reference.global_pool).replace("avg", "mean")
    ours = pool_tokens(backbone, tokens, own_pool)
    torch.testing.assert_close(ours, reference.eval()(images))


@every_family
def test_a_view_shares_every_tensor_of_any_family(family: Family) -> None:
    backbone = tiny(family)
    view = share_weights(backbone)
    originals = [*backbone.parameters(), *backbone.buffers()]
    shared = [*view.parameters(), *view.buffers()]
    assert all(one is other for one, other in zip(originals, shared, strict=True))
    images = torch.randn(1, 3, *family.size)
    torch.testing.assert_close(view(images), backbone(images), rtol=0, atol=0)


@every_rotary
def test_joined_views_have_the_same_positions_each(family: Family) -> None:
    backbone = tiny(family)
    block = blocks_of(backbone)[1]
    first, second = (embed_images(backbone, torch.randn(1, 3, *family.size)) for _ in range(2))
    one, other = block(torch.cat([first, second], dim=1)).chunk(2, dim=1)
    other_again, one_again = block(torch.cat([second, first], dim=1)).chunk(2, dim=1)
    torch.testing.assert_close(one, one_again)
    torch.testing.assert_close(other, other_again)


@every_rotary
def test_a_block_knows_where_its_patches_are(family: Family) -> None:
    backbone = tiny(family)
    block = blocks_of(backbone)[1]
    tokens = embed_images(backbone, torch.randn(1, 3, *family.size))
    prefix, patches = tokens.split([backbone.num_prefix_tokens, 6], dim=1)
    turned_round = block(torch.cat([prefix, patches.roll(1, dims=1)], dim=1))
    assert not torch.allclose(
        block(tokens)[:, backbone.num_prefix_tokens :].roll(1, dims=1),
        turned_round[:, backbone.num_prefix_tokens :],
        atol=1e-4,
    )


def test_tokens_without_a_place_are_refused() -> None:
    backbone = tiny(FAMILIES["EVA-02"])
    with pytest.raises(ShapeError, match=r"expected N = 7 for each view.*got N = 9"):
        blocks_of(backbone)[0](torch.randn(1, 9, 32))


@the_six
def test_images_are_normalised_as_the_family_was_trained(family: Family) -> None:
    published = get_pretrained_cfg(family.name)
    assert published is not None
    mean, std = image_statistics(tiny(family))
    assert mean.flatten().tolist() == pytest.approx(published.mean)
    assert std.flatten().tolist() == pytest.approx(published.std)


MODELS: dict[str, dict[str, Any]] = {
    "velora": {"network": "velora"},
    "single_stream": {"network": "single_stream", "temporal": "attention"},
}


def recognizer_of(
    family: Family, network: str, adapter: dict[str, Any], **settings: Any
) -> Recognizer:
    config = RecognizerConfig.model_validate(
        {
            "clip": {
                "size": list(family.size),
                "frames": 2,
                "modalities": ["rgb", "event"] if network == "velora" else ["rgb"],
            },
            "backbone": configuration(family),
            "model": {**MODELS[network], "pool": family.pool, "adapter": adapter, **settings},
        }
    )
    return Recognizer(tiny(family), config, ("left", "right", "still"))


def answer(recognizer: Recognizer) -> Any:
    generator = torch.Generator().manual_seed(3)
    count = len(recognizer.config.clip.modalities)
    shape = (4, 2, 3, *recognizer.config.clip.size_px)
    return recognizer(*(torch.randn(shape, generator=generator) for _ in range(count)))


def train(recognizer: Recognizer, *, steps: int) -> list[float]:
    recognizer.train()
    optimizer = torch.optim.AdamW(recognizer.trained_tensors().values(), lr=3e-3)
    losses: list[float] = []
    for _ in range(steps):
        output = answer(recognizer)
        loss = nn.functional.cross_entropy(output.logits, torch.tensor([0, 1, 2, 0]))
        loss = loss + sum(output.terms.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    recognizer.eval()
    return losses


@pytest.mark.parametrize("method", slow_but(["lora", "lv_adapter"], quick="lora".__eq__))
@pytest.mark.parametrize("network", slow_but(MODELS, quick="velora".__eq__))
@pytest.mark.parametrize("family", slow_but_two_families)
def test_every_family_trains_and_comes_back_from_its_bundle(
    family: Family, network: str, method: str, tmp_path: Path
) -> None:
    recognizer = recognizer_of(family, network, {"method": method, "rank": 2})
    frozen = {
        name: tensor.detach().clone()
        for name, tensor in recognizer.named_parameters()
        if not tensor.requires_grad
    }
    losses = train(recognizer, steps=2)
    assert losses[1] < losses[0]
    for name, tensor in recognizer.named_parameters():
        if name in frozen:
            torch.testing.assert_close(tensor, frozen[name], rtol=0, atol=0)
        else:
            assert tensor.grad is not None, f"{name} is trained, but nothing uses it"
    with torch.inference_mode():
        before = answer(recognizer).logits
        after = answer(load_bundle(save_bundle(recognizer, tmp_path / "bundle"))).logits
    assert torch.equal(before, after)


@pytest.mark.parametrize("network", slow_but(MODELS, quick="velora".__eq__))
@the_six
def test_adapters_in_the_attention_are_used(family: Family, network: str) -> None:
    recognizer = recognizer_of(family, network, {"sites": "attention", "rank": 2})
    require_all_used(recognizer)


@pytest.mark.parametrize("network", MODELS)
def test_adapters_on_the_one_qkv_layer_of_eva_are_used(network: str) -> None:
    family = VARIANTS["EVA-02 with one qkv layer"]
    recognizer = recognizer_of(family, network, {"sites": "attention", "rank": 2})
    assert any("attn.qkv.lora_B" in name for name in recognizer.trained_tensors())
    require_all_used(recognizer)


def require_all_used(recognizer: Recognizer) -> None:
    # The gates of the fusion open in the first step, then a pair's factors move one by one.
    train(recognizer, steps=3)
    for name, tensor in recognizer.trained_tensors().items():
        if "lora_" in name:
            assert tensor.grad is not None, name
            assert tensor.grad.any(), name


@pytest.mark.parametrize(
    "method",
    slow_but([name for name in METHODS if name != "vpt"], quick=("lora", "ssf").__contains__),
)
@pytest.mark.parametrize("family", [FAMILIES["DINOv3"], FAMILIES["EVA-02"]], ids=["DINOv3", "EVA"])
def test_every_method_suits_rotary_positions(family: Family, method: str) -> None:
    backbone = tiny(family)
    settings: dict[str, Any] = {"vera": {"rank": 16}, "oft": {"options": {"block_size": 8}}}
    if method in ROWS:  # at the attention, since the FFN of EVA has a width without divisors
        settings[method] = {**SETTINGS[method], "sites": "attention"}
    adapter = AdapterConfig(method=method, **settings.get(method, {}))
    adapted = cast(Backbone, unwrapped(adapt(share_weights(backbone), adapter, name="view")))
    images = torch.randn(1, 3, *family.size)
    tokens, expected = embed_images(adapted, images), embed_images(backbone, images)
    for block, plain in zip(blocks_of(adapted), blocks_of(backbone), strict=True):
        tokens, expected = block(tokens), plain(expected)
    assert tokens.isfinite().all()
    if method not in (
        "adalora",
        "vera",
        "unilora",
        "vblora",
    ):  # these do not start as the frozen network
        torch.testing.assert_close(tokens, expected, rtol=1e-4, atol=1e-4)


@every_family
def test_a_weight_file_of_the_family_loads_strictly(family: Family, tmp_path: Path) -> None:
    stored = tiny(family).state_dict()
    path = tmp_path / "weights.safetensors"
    save_file({**stored, "head.weight": torch.zeros(5, 32), "head.bias": torch.zeros(5)}, path)
    loaded = build_backbone(configuration(family, str(path)), size=family.size).state_dict()
    assert loaded.keys() == stored.keys()
    for name, tensor in loaded.items():
        torch.testing.assert_close(tensor, stored[name], rtol=0, atol=0)
    del stored["blocks.1.norm2.weight"]
    save_file({**stored, "blocks.1.norm3.weight": torch.zeros(32)}, path)
    with pytest.raises(
        BackboneError, match=r"missing \(blocks.1.norm2.*not in the model \(.*norm3"
    ):
        build_backbone(configuration(family, str(path)), size=family.size)


@every_family
def test_weights_serve_another_image_size(family: Family, tmp_path: Path) -> None:
    height, width = family.size
    square = tiny(family._replace(size=(height, height)))
    path = tmp_path / "square.safetensors"
    save_file(square.state_dict(), path)
    backbone = build_backbone(configuration(family, str(path)), size=(2 * height, 2 * width))
    assert len(embed_images(backbone, torch.randn(1, 3, 2 * height, 2 * width))[0]) == (
        backbone.num_prefix_tokens + 4 * 6
    )
    assert pool_of(backbone.eval(), family, (2 * height, 2 * width)).isfinite().all()
    kept = load_file(path)
    for name, tensor in backbone.state_dict().items():
        if name != "pos_embed":
            torch.testing.assert_close(tensor, kept[name], rtol=0, atol=0)


def pool_of(backbone: Backbone, family: Family, size: tuple[int, int]) -> Tensor:
    tokens = embed_images(backbone, torch.randn(1, 3, *size))
    for block in blocks_of(backbone):
        tokens = block(tokens)
    return pool_tokens(backbone, tokens, family.pool)


def test_positions_trained_in_every_block_are_refused() -> None:
    config = BackboneConfig(
        name="vit_small_patch16_rope_mixed_224", weights="random", options={"depth": 1}
    )
    with pytest.raises(BackboneError, match="choose a model without rope_mixed in its name"):
        build_backbone(config, size=(32, 32))


@pytest.mark.parametrize(
    ("name", "pool", "words"),
    [
        ("SigLIP 2", "token", "set model.pool to map"),
        ("SigLIP 2", "mean", "set model.pool to map, or backbone.name to its …_gap_… model"),
        ("SigLIP 2 without its head", "token", "set model.pool to mean"),
        ("CLIP", "map", "set model.pool to token"),
    ],
)
@pytest.mark.parametrize("network", MODELS)
def test_a_pool_that_the_backbone_lacks_is_refused(
    name: str, pool: str, words: str, network: str
) -> None:
    family = (FAMILIES | VARIANTS)[name]._replace(pool=pool)
    with pytest.raises(RecipeError, match=words):
        recognizer_of(family, network, {"rank": 2})


@pytest.mark.parametrize("name", ["EVA-02", "EVA-02 with one qkv layer", "DINOv3"])
def test_what_the_shared_stage_passes_on_is_the_ffn_of_the_low_rank_pairs(name: str) -> None:
    block = blocks_of(tiny((FAMILIES | VARIANTS)[name]))[0]
    stage = SharedStage(block, AdapterConfig(rank=2, alpha=6, dropout=0.0), ("rgb",))
    for parameter in stage.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    tensors = dict(stage.named_parameters())

    def pair(layer: str, x: Tensor) -> Tensor:
        down, up = (
            next(t for key, t in tensors.items() if f"mlp.{layer}.lora_{factor}." in key)
            for factor in "AB"
        )
        return 3 * x @ down.T @ up.T

    z = torch.randn(1, 7, 32)
    if name == "EVA-02":
        hidden = nn.functional.silu(pair("fc1_g", z)) * pair("fc1_x", z)
    elif name == "DINOv3":
        hidden = nn.functional.gelu(pair("fc1", z))
    else:
        gate, value = pair("fc1", z).chunk(2, dim=-1)
        hidden = nn.functional.silu(gate) * value
    torch.testing.assert_close(stage.low_rank_branch(z), pair("fc2", hidden), rtol=1e-4, atol=1e-4)
