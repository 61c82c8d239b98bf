"""Sites: which layers they are, and networks without them."""

from typing import cast

import pytest
from adapter_networks import base
from peft.tuners.lora import LoraLayer
from timm import create_model
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from evlora.errors import AdapterError
from evlora.models.adapters import METHODS, AdapterConfig, adapt, unwrapped

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
