"""Sites: which layers they are, and networks without them."""

from typing import Any, cast

import pytest
from adapter_networks import base
from peft.tuners.lora import LoraLayer
from timm import create_model
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters import METHODS, AdapterConfig, adapt, unwrapped
from evlora.recipe import build

# peft 0.21 uses a name of transformers that its version 6 will not have
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_check:FutureWarning")


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


def small_vit() -> VisionTransformer:
    vit = create_model(
        "vit_tiny_patch16_224", num_classes=0, img_size=32, embed_dim=24, depth=2, num_heads=2
    )
    return cast(VisionTransformer, vit).requires_grad_(False)


@pytest.mark.parametrize(
    ("names", "layers"),
    [
        ("fc1", {"blocks.0.mlp.fc1", "blocks.1.mlp.fc1"}),
        (["mlp.fc1", "qkv"], {f"blocks.{i}.{n}" for i in (0, 1) for n in ("mlp.fc1", "attn.qkv")}),
        ([r"blocks\.1\..*fc."], {"blocks.1.mlp.fc1", "blocks.1.mlp.fc2"}),
        ("blocks.0.attn.proj", {"blocks.0.attn.proj"}),
    ],
)
@pytest.mark.parametrize("method", ["lora", "dora", "vera", "oft", "ia3", "lv_adapter"])
def test_layers_may_be_named_in_place_of_sites(method: str, names: Any, layers: set[str]) -> None:
    options = {"block_size": 8} if method == "oft" else {}
    config = AdapterConfig(method=method, target_modules=names, options=options)
    adapted: Any = adapt(small_vit(), config, name="backbone")
    assert set(adapted.base_model.targeted_module_names) == layers


@pytest.mark.parametrize(
    ("names", "layers"),
    [
        ("patch_embed.proj", {"patch_embed.proj"}),
        (["fc1", r"patch_embed\..*"], {"patch_embed.proj", "blocks.0.mlp.fc1", "blocks.1.mlp.fc1"}),
        ("proj", {"blocks.0.attn.proj", "blocks.1.attn.proj"}),
    ],
)
def test_a_convolution_is_named_in_full(names: Any, layers: set[str]) -> None:
    config = AdapterConfig(method="lora", target_modules=names)
    adapted: Any = adapt(small_vit(), config, name="backbone")
    assert set(adapted.base_model.targeted_module_names) == layers


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("fc3", r"target_modules: expected names of linear layers, 'fc3' matches 0 of 8 .*fc.\?"),
        (["fc1", "quv"], r"'quv' matches 0 of 8 in VisionTransformer; did you mean qkv\?"),
        ("norm1", "'norm1' matches 0 of 8"),
        ("fc(1", "expected names or regular expressions, got 'fc\\(1'"),
        ([], "expected names of layers, got"),
        (["fc1", ""], "expected names of layers, got"),
    ],
)
def test_names_that_match_no_layer_are_refused_with_the_nearest(names: Any, message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        adapt(small_vit(), AdapterConfig(target_modules=names), name="backbone")


def test_layers_are_named_for_methods_that_have_sites_and_without_sites() -> None:
    with pytest.raises(AdapterError, match="vpt finds its own places and takes none"):
        AdapterConfig(method="vpt", target_modules="fc1")
    with pytest.raises(AdapterError, match="expected no sites beside it, got ffn"):
        AdapterConfig(sites="ffn", target_modules="fc1")


def test_a_view_without_the_named_layers_stays_as_it_is() -> None:
    keys = {
        "backbone.name": "vit_tiny_patch16_224",
        "backbone.weights": "random",
        "backbone.options": {"patch_size": 16, "embed_dim": 24, "depth": 3, "num_heads": 2},
        "clip.size": 32,
        "model.adapter.sites": None,
        "model.adapter.target_modules": [r"blocks\.2\.mlp\.fc1"],
    }
    recognizer = build("demo", num_classes=3, overrides=keys)
    trained = [name for name in recognizer.trained_tensors() if "lora_A" in name]
    of_views = [name for name in trained if ".views." in name]
    assert len(of_views) == 2
    assert all("blocks.2.mlp.fc1" in name for name in of_views)
    with pytest.raises(AdapterError, match=r"shared_adapter\.target_modules"):
        build("demo", num_classes=3, overrides={**keys, "model.shared_adapter.target_modules": "a"})
