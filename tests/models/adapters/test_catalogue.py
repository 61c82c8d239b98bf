"""The catalogue: defaults, what is refused and how, and every method inside VELoRA."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from adapter_networks import SETTINGS, PlainMlp, base
from peft.tuners.lora import LoraLayer
from timm import create_model
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn.functional import cross_entropy

from evlora.bundle import load_bundle, save_bundle
from evlora.errors import AdapterError
from evlora.models import BackboneConfig, VELoRA, VELoRAConfig, build_backbone
from evlora.models.adapters import METHODS, AdapterConfig, adapt, added_by_lora, unwrapped
from evlora.models.backbone import share_weights
from evlora.recipe import build

# peft 0.21 asks transformers 5.23 in a way that it will no longer know in version 6
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_check:FutureWarning")

TINY = BackboneConfig(
    name="vit_tiny_patch16_224",
    weights="random",
    options={"patch_size": 16, "embed_dim": 24, "depth": 3, "num_heads": 2},
)


@pytest.fixture
def vit() -> VisionTransformer:
    return build_backbone(TINY, size=(32, 32))


def shake(module: nn.Module) -> None:
    """Move every trained number off its start."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))


def test_the_default_is_the_lora_of_the_paper() -> None:
    settings = AdapterConfig().settings()
    assert (settings.sites, settings.rank, settings.alpha, settings.dropout) == ("ffn", 4, 8, 0.01)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method": "lorra"}, "no adapter is called 'lorra'; there are: none, full, lora, dora"),
        (
            {"method": "bitfit", "rank": 4},
            r"adapter\.rank: bitfit has no rank; leave it out \(it has nothing to set\); over a "
            r"recipe that sets it, write .model\.adapter=\{method: bitfit\}",
        ),
        ({"method": "ssf", "sites": "ffn"}, r"has no sites; leave it out \(it has options\.init"),
        (
            {"method": "vera", "sites": "all"},
            r"adapter\.sites: vera has no place in the patch embedding.*both, or method to one of "
            "lora, dora, lora_fa",
        ),
        ({"method": "vera", "alpha": 4}, "vera has no alpha; leave it out .it has sites, rank, dr"),
        (
            {"options": {"rank": 4}},
            r"adapter\.options: rank: there is no such option; lora has: no",
        ),
        (
            {"method": "vpt", "options": {"token": 4}},
            r"adapter\.options: token: there is no such option; vpt has: tokens",
        ),
        ({"method": "vpt", "options": {"tokens": 0}}, r"tokens: .*greater than 0, got 0; vpt has"),
        ({"method": "adalora", "rank": 4, "options": {"initial_rank": 4}}, None),
    ],
)
def test_what_a_method_does_not_have_is_refused(given: dict[str, Any], words: str | None) -> None:
    if words is None:  # only the network's side of it can tell
        with pytest.raises(AdapterError, match="expected more than the final rank 4, got 4"):
            adapt(base("mlp"), AdapterConfig(**given, sites="linear"), name="mlp")
        return
    with pytest.raises(AdapterError, match=words):
        AdapterConfig.model_validate(given)


@pytest.mark.parametrize("method", ["none", "full"])
def test_recipes_of_old_that_gave_a_probe_a_rank_are_still_read(method: str) -> None:
    assert AdapterConfig(method=method, sites="ffn", rank=4, alpha=8, dropout=0.01)


@pytest.mark.parametrize("method", [m for m, row in METHODS.items() if row.sites == "ffn"])
def test_a_site_that_is_not_there_is_refused_with_the_layers_that_are(method: str) -> None:
    words = r"my net: cannot add .*ffn was not found in PlainMlp.*first, middle, last; sites=linear"
    with pytest.raises(AdapterError, match=words):
        adapt(base("mlp"), AdapterConfig(method=method), name="my net")


def test_sites_are_the_layers_that_they_name() -> None:
    def adapted_layers(site: str) -> set[str]:
        network = adapt(base("clip"), AdapterConfig.model_validate({"sites": site}), name="clip")
        found = (n for n, _ in network.named_parameters() if "lora_A" in n and ".layers.0." in n)
        return {name.split(".layers.0.")[1].split(".lora_A")[0] for name in found}

    attention = {f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
    assert adapted_layers("ffn") == {"mlp.fc1", "mlp.fc2"}
    assert adapted_layers("attention") == attention
    assert adapted_layers("both") == adapted_layers("linear") == {"mlp.fc1", "mlp.fc2"} | attention


@pytest.mark.parametrize(
    ("network", "stem"),
    [
        ("vit", {"patch_embed.proj"}),
        ("clip", {"embeddings.patch_embedding"}),
        ("swin", {"embeddings.patch_embeddings.projection"}),
        (
            "nano",
            {f"patch_embed.proj.{number}" for number in (0, 3, 7, 11, 15)}
            | {f"patch_embed.proj.{n}.{of}" for n in (6, 10, 14) for of in ("first", "second")},
        ),
    ],
)
def test_all_is_both_and_the_patch_embedding(network: str, stem: set[str]) -> None:
    def adapted_layers(site: str) -> set[str]:
        bare = base(network) if network != "nano" else create_model("evlora_nano")
        model = unwrapped(adapt(bare, AdapterConfig.model_validate({"sites": site}), name=network))
        return {name for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}

    added = adapted_layers("all") - adapted_layers("both")
    assert {name.removeprefix("vision_model.") for name in added} == stem


def test_a_network_without_a_patch_embedding_has_not_all() -> None:
    blocks = nn.Sequential(cast(VisionTransformer, base("vit")).blocks)
    with pytest.raises(AdapterError, match=r"expected a patch embedding in Sequential.*sites=both"):
        adapt(blocks, AdapterConfig(sites="all"), name="blocks")


@pytest.mark.parametrize("method", ["oft", "boft"])
def test_a_block_that_does_not_divide_a_width_is_refused(method: str) -> None:
    config = AdapterConfig(method=method, options={"block_size": 7})
    words = (
        r"block_size: expected a divisor.*got 7, and .*attn\.qkv takes 24; of use there: 8, 4, 2"
    )
    with pytest.raises(AdapterError, match=words):
        adapt(base("vit"), config, name="vit")


def test_boft_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("tried to compile")

    monkeypatch.setattr("torch.utils.cpp_extension.load", fail)
    adapt(base("vit"), AdapterConfig(method="boft"), name="vit")


def test_ia3_has_a_vector_on_the_hidden_features_of_the_ffn() -> None:
    network = adapt(base("vit"), AdapterConfig(method="ia3"), name="vit")
    vectors = [(n, p) for n, p in network.named_parameters() if "ia3_l" in n and "blocks.0." in n]
    shapes = {name.split("blocks.0.")[1]: tuple(vector.shape) for name, vector in vectors}
    assert shapes == {"attn.qkv.ia3_l.default": (72, 1), "mlp.fc2.ia3_l.default": (1, 96)}


def test_the_first_factor_of_lora_fa_stays_frozen_when_adapters_are_switched() -> None:
    network = cast(Any, adapt(base("vit"), AdapterConfig(method="lora_fa"), name="vit"))
    with network.disable_adapter():
        pass
    network.set_adapter("default")
    trained = [name for name, p in network.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_B" in name for name in trained)


def test_lv_adapter_is_half_in_where_it_is_told() -> None:
    config = AdapterConfig(method="lv_adapter", sites="attention", options={"pair": False})
    network = adapt(base("vit"), config, name="vit")
    names = [name for name, p in network.named_parameters() if p.requires_grad]
    assert len(names) == 4
    assert all(".attn." in name and "vector" in name for name in names)


IN_VELORA = [method for method in SETTINGS if method not in ("none", "full", "lora")]


@pytest.mark.parametrize("method", IN_VELORA)
def test_every_method_works_in_the_views_of_velora(method: str, vit: VisionTransformer) -> None:
    config = VELoRAConfig(adapter=AdapterConfig(method=method, **SETTINGS[method]))
    network = VELoRA(vit, config, num_classes=5)
    shake(network)
    rgb, events = torch.randn(2, 2, 3, 3, 32, 32)
    logits, terms, _ = network(rgb, events)
    (cross_entropy(logits, torch.tensor([0, 1])) + terms["reconstruction"]).backward()
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert [name for name, p in trained.items() if p.grad is None or not p.grad.any()] == []
    addresses = {p.data_ptr() for p in vit.parameters()}
    of_adapters = ("lora_A", "ranknum")  # what LoRA-FA and AdaLoRA hold and do not train
    assert all(
        p.data_ptr() in addresses or any(part in name for part in of_adapters)
        for name, p in network.named_parameters()
        if not p.requires_grad
    )


@pytest.mark.parametrize("method", IN_VELORA)
def test_every_method_survives_a_bundle(
    method: str, tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    adapter = {"method": method, **SETTINGS[method]}
    overrides = {**tiny_settings, "model.adapter": adapter}
    recognizer = build("demo", num_classes=4, overrides=overrides)
    shake(recognizer)
    recognizer.eval()
    rgb, events = torch.randn(2, 2, 2, 3, 32, 32)
    with torch.inference_mode():
        expected = recognizer(rgb, events).logits
        again = load_bundle(save_bundle(recognizer, tmp_path / "bundle"))(rgb, events).logits
    assert torch.equal(again, expected)


def test_the_shared_stage_takes_an_lv_adapter(vit: VisionTransformer) -> None:
    shared = AdapterConfig(method="lv_adapter", sites="ffn", rank=3)
    network = VELoRA(vit, VELoRAConfig(shared_adapter=shared), num_classes=5).eval()
    rgb, events = torch.randn(2, 2, 3, 3, 32, 32)
    before = network(rgb, events).logits
    stage = cast(Any, network.shared_stage)
    shake(stage.phi)
    fc1 = cast(Any, unwrapped(stage.phi)).mlp.fc1
    x = torch.randn(2, 5, 24)
    pair = fc1.lv_adapter_up["default"](fc1.lv_adapter_down["default"](x))
    torch.testing.assert_close(added_by_lora(fc1, x), pair)
    assert not torch.allclose(network(rgb, events).logits, before)


@pytest.mark.parametrize(
    "shared",
    [
        {"method": "dora"},
        {"method": "bitfit"},
        {"method": "none"},
        {"method": "lv_adapter", "options": {"pair": False}},
    ],
)
def test_the_shared_stage_refuses_what_has_no_pair_to_lend(
    shared: dict[str, Any], vit: VisionTransformer
) -> None:
    config = VELoRAConfig(shared_adapter=AdapterConfig.model_validate(shared))
    with pytest.raises(AdapterError, match=r"stage: expected .* low-rank pair, lora or lv_adapter"):
        VELoRA(vit, config, num_classes=5)


def test_a_shared_adapter_without_the_ffn_says_what_it_needs() -> None:
    with pytest.raises(AdapterError, match="got Linear; give the shared adapter sites that hold"):
        added_by_lora(PlainMlp().first, torch.randn(1, 1, 24))


@pytest.mark.parametrize("method", ["ssf", "bitfit", "ln_tuning"])
def test_folding_one_view_in_leaves_the_others_alone(method: str, vit: VisionTransformer) -> None:
    views = [share_weights(vit) for _ in range(2)]
    first = cast(Any, adapt(views[0], AdapterConfig(method=method), name="first"))
    shake(first)
    x = torch.randn(1, 3, 32, 32)
    expected = views[1](x)
    first.merge_and_unload()
    assert torch.equal(views[1](x), expected)
