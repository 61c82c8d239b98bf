"""LST: its formula, where it joins the backbone, and that nothing is kept of the frozen blocks."""

import copy
from typing import Any, cast

import pytest
import torch
from adapter_networks import base, inputs, shake
from peft import get_peft_model
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from evlora.errors import AdapterError
from evlora.models import VELoRA, VELoRAConfig
from evlora.models.adapters import AdapterConfig, LstConfig, adapt, unwrapped
from evlora.models.adapters.lst import LstLayer
from evlora.models.config import SingleStreamConfig
from evlora.models.fast import Settings, set_blocks
from evlora.models.single_stream import SingleStream

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_check:FutureWarning")

CONFIG = AdapterConfig(method="lst", rank=8)


def layers_of(module: nn.Module) -> list[Any]:
    return [cast(Any, part) for part in module.modules() if isinstance(part, LstLayer)]


def keep_graphs(module: nn.Module) -> list[bool]:
    """Filled in a forward: whether each frozen block's output has a graph."""
    found: list[bool] = []
    for layer in layers_of(module):
        layer.base_layer.register_forward_hook(
            lambda _block, _given, output: found.append(output.requires_grad)
        )
    return found


def test_behind_the_last_block_the_side_network_is_added() -> None:
    model = adapt(base("vit"), CONFIG, name="vit").eval()
    shake(model)
    vit = cast(Any, base("vit"))
    first, second = layers_of(model)
    assert "default" not in first.lst_gate
    assert "default" not in first.lst_up
    z = vit.norm_pre(vit._pos_embed(vit.patch_embed(inputs("vit"))))
    z = vit.blocks[0](z)
    s = first.lst_block["default"](first.lst_down["default"](z))
    z = vit.blocks[1](z)
    gate = torch.sigmoid(10 * second.lst_gate["default"])
    s = second.lst_block["default"](gate * s + (1 - gate) * second.lst_down["default"](z))
    expected = vit.norm(z + second.lst_up["default"](s))[:, 0]
    torch.testing.assert_close(model(inputs("vit")), expected)


@pytest.mark.parametrize("ideas", [(), ("attention", "ffn")])
def test_nothing_of_the_frozen_blocks_has_a_graph(
    ideas: tuple[Any, ...], vit: VisionTransformer
) -> None:
    network = SingleStream(vit, SingleStreamConfig(adapter=CONFIG), frames=2, num_classes=4)
    set_blocks(network, Settings(frozenset(ideas), "block" if ideas else "none"))
    found = keep_graphs(network)
    network.train()(torch.randn(2, 2, 3, 32, 32)).logits.square().sum().backward()
    assert found == [False] * 3
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_in_velora_only_the_blocks_behind_the_mean_over_time_have_one(
    vit: VisionTransformer,
) -> None:
    network = VELoRA(vit, VELoRAConfig(adapter=CONFIG), num_classes=4)
    shake(network, 0.1)
    found = {name: keep_graphs(network.view(name)) for name in ("difference", "rgb", "event")}
    output = network.train()(*torch.randn(2, 2, 2, 3, 32, 32))
    (output.logits.square().sum() + sum(output.terms.values())).backward()
    assert found == {
        "difference": [False, False],
        "rgb": [False, False, True],
        "event": [False, False, True],
    }
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)
    joins = [[layer.joins for layer in layers_of(network.view(name))] for name in found]
    assert joins == [[False, True], [False, True, True], [False, True, True]]


def test_the_last_blocks_alone_can_have_a_ladder(vit: VisionTransformer) -> None:
    config = AdapterConfig(method="lst", rank=8, blocks=2)
    first, second = layers_of(adapt(vit, config, name="vit"))
    assert (first.begins, second.begins, second.joins) == (True, False, True)
    assert isinstance(cast(Any, unwrapped(vit)).blocks[0], Block)


def test_stages_of_other_widths_have_ladders_of_their_own() -> None:
    model = get_peft_model(cast(Any, base("swin")), LstConfig(rank=8))
    places = [(layer.begins, layer.joins) for layer in layers_of(model)]
    assert places == [(True, False), (False, True), (True, True)]


def test_blocks_that_are_called_again_or_alone_are_refused() -> None:
    model = adapt(base("vit"), CONFIG, name="vit").train()
    with pytest.raises(AdapterError, match=r"one after the other.* found none before it"):
        layers_of(model)[1](torch.zeros(1, 5, 24))
    cast(Any, model).base_model.model.set_grad_checkpointing(True)
    with pytest.raises(AdapterError, match=r"set_grad_checkpointing"):
        model(inputs("vit")).sum().backward()


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
def test_it_compiles_in_one_piece_and_a_copy_has_a_side_network_of_its_own() -> None:
    model = adapt(base("vit"), CONFIG, name="vit").eval()
    shake(model)
    x = inputs("vit")
    expected = model(x)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), expected)
    copied = copy.deepcopy(model)
    torch.testing.assert_close(copied(x), expected)
    sides = [{layer.side for layer in layers_of(one)} for one in (model, copied)]
    assert [len(side) for side in sides] == [1, 1]
    assert not sides[0] & sides[1]


def test_heads_that_do_not_divide_the_width_and_other_places_are_refused() -> None:
    with pytest.raises(AdapterError, match="heads: expected a divisor of the rank, 10, got 4"):
        LstConfig(rank=10)
    model = get_peft_model(cast(Any, base("vit")), LstConfig(rank=8))
    with pytest.raises(AdapterError, match=r"second adapter.*joins: \[0\]"):
        model.add_adapter("second", LstConfig(rank=8, joins=[0]))
