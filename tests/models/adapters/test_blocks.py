"""Blocks: found by one rule in the networks of timm and transformers, with their layers."""

import pytest
from peft import get_peft_model
from timm import create_model
from torch import nn
from vision_networks import NETWORKS, WIDTHS, transformers_model

from evlora.models.adapters import AdapterConfig, adapt
from evlora.models.adapters.adapter_plus import AdapterPlusConfig
from evlora.models.adapters.blocks import Block, blocks_of
from evlora.models.adapters.vpt import VptConfig

# peft 0.21 uses a name of transformers that its version 6 will not have
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_check:FutureWarning")


def ends(names: tuple[str, ...], block: Block) -> tuple[str, ...]:
    return tuple(name.removeprefix(f"{block.name}.") for name in names)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_block_knows_its_layers(name: str) -> None:
    network = NETWORKS[name]
    found = blocks_of(network.make())
    assert len(found) == network.blocks
    for block in found:
        assert ends(block.attention_input, block) == network.attention_input
        assert ends(block.attention_output, block) == (network.attention_output,)
        assert ends(block.ffn, block) == network.ffn


@pytest.mark.parametrize("method", ["lora", "lv_adapter", "adaptformer", "vpt", "adapter_plus"])
def test_adapted_blocks_are_found_as_they_were_before(method: str) -> None:
    def places(model: nn.Module) -> list[tuple[str, ...]]:
        return [(b.name, *b.attention_input, *b.attention_output, *b.ffn) for b in blocks_of(model)]

    network = NETWORKS["timm ViT"]
    vit = network.make()
    adapt(vit, AdapterConfig(method=method), name="vit")
    assert places(vit) == places(network.make())


def test_a_single_block_is_found_under_no_name() -> None:
    (block,) = blocks_of(create_model("vit_tiny_patch16_224", depth=1).blocks[0])
    assert (block.name, block.attention_output) == ("", ("attn.proj",))


@pytest.mark.parametrize("config", [AdapterPlusConfig(), VptConfig()], ids=["adapter_plus", "vpt"])
def test_no_method_that_looks_for_blocks_adapts_a_text_tower(config: object) -> None:
    text = {k: v for k, v in WIDTHS.items() if not k.endswith("_size") or k == "hidden_size"}
    text |= {"vocab_size": 100, "intermediate_size": 48, "bos_token_id": 0, "eos_token_id": 1}
    clip = transformers_model("CLIP", vision_config=WIDTHS, text_config=text)
    found = get_peft_model(clip, config).base_model.targeted_module_names
    assert len(found) == 2
    assert all(name.startswith("vision_model.") for name in found)
