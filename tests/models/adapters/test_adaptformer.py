"""AdaptFormer as a peft tuner, on the networks that it is for."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import Tensor, nn
from vision_networks import COMPILED, NETWORKS, answer, timm_model

from evlora import AdaptFormerConfig
from evlora.errors import AdapterError

# peft 0.21 and the tests use names of transformers that its version 6 will not have
pytestmark = pytest.mark.filterwarnings(
    "ignore:`(is_gradient_checkpointing|gradient_checkpointing_enable)` is:FutureWarning"
)


def perturb(model: nn.Module, *, seed: int = 1) -> None:
    """Moves what trains away from its start, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator))


def adapted(name: str, **settings: Any) -> PeftModel:
    network = NETWORKS[name].make()
    return get_peft_model(network, AdaptFormerConfig(bottleneck=3, **settings)).eval()


def learning(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def gradients(model: nn.Module) -> dict[str, Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def bottleneck(model: nn.Module, path: str, x: Tensor) -> Tensor:
    """The paper's formula, s·W_up(ReLU(W_down·x)), with the numbers of the layer at this path."""
    layer = model.get_submodule(path)
    down, up = layer.adaptformer_down["default"], layer.adaptformer_up["default"]
    hidden = torch.relu(x @ down.weight.T + down.bias)
    return 0.1 * (hidden @ up.weight.T + up.bias)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_starts_as_the_network_and_can_be_taken_off(name: str) -> None:
    network = NETWORKS[name]
    base, images = network.make(), network.images()
    expected = answer(base, images)
    model = adapted(name)
    assert len(model.base_model.targeted_module_names) == network.blocks
    torch.testing.assert_close(answer(model, images), expected, atol=1e-6, rtol=0)
    perturb(model)
    assert not torch.allclose(answer(model, images), expected, atol=1e-3)
    with model.disable_adapter():
        torch.testing.assert_close(answer(model, images), expected, atol=1e-6, rtol=0)
    unloaded = model.unload()
    torch.testing.assert_close(answer(unloaded, images), expected, atol=1e-6, rtol=0)
    assert [type(part) for part in unloaded.modules()] == [type(part) for part in base.modules()]
    assert unloaded.state_dict().keys() == base.state_dict().keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_what_was_saved_is_loaded_exactly(name: str, tmp_path: Path) -> None:
    network = NETWORKS[name]
    model = adapted(name)
    perturb(model)
    model.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(network.make(), tmp_path).eval()
    assert torch.equal(answer(again, network.images()), answer(model, network.images()))
    assert not learning(again)


@pytest.mark.parametrize("name", NETWORKS)
def test_all_its_parameters_train_and_no_others(name: str) -> None:
    model = adapted(name).train()
    perturb(model)
    answer(model, NETWORKS[name].images()).square().mean().backward()
    assert gradients(model).keys() == learning(model)
    assert all("adaptformer_" in parameter for parameter in learning(model))


def test_it_reads_the_residual_stream_before_the_norm_in_timm() -> None:
    model = adapted("timm ViT")
    perturb(model)
    base = NETWORKS["timm ViT"].make()
    tokens = torch.randn(2, 5, 24)
    block = base.blocks[0]
    x = tokens + block.ls1(block.attn(block.norm1(tokens)))
    ffn = block.mlp(block.norm2(x))
    expected = x + block.ls2(ffn + bottleneck(model.base_model.model, "blocks.0.mlp", x))
    torch.testing.assert_close(model.base_model.model.blocks[0](tokens), expected)


def test_it_reads_the_residual_stream_before_the_norm_in_clip() -> None:
    model = adapted("CLIP")
    perturb(model)
    base = NETWORKS["CLIP"].make()
    tokens = torch.randn(2, 5, 24)
    layer = base.encoder.layers[0]
    x = tokens + layer.self_attn(layer.layer_norm1(tokens))[0]
    ffn = layer.mlp(layer.layer_norm2(x))
    expected = x + ffn + bottleneck(model.base_model.model, "encoder.layers.0.mlp", x)
    torch.testing.assert_close(model.base_model.model.encoder.layers[0](tokens, None), expected)


def test_it_reads_the_residual_stream_before_the_norm_in_videomae() -> None:
    model = adapted("VideoMAE")
    perturb(model)
    base = NETWORKS["VideoMAE"].make()
    tokens = torch.randn(2, 5, 24)
    layer = base.encoder.layer[0]
    attention = layer.attention(layer.layernorm_before(tokens))
    x = tokens + (attention if isinstance(attention, Tensor) else attention[0])
    ffn = layer.output.dense(layer.intermediate(layer.layernorm_after(x)))
    expected = x + ffn + bottleneck(model.base_model.model, "encoder.layer.0.output", x)
    torch.testing.assert_close(model.base_model.model.encoder.layer[0](tokens), expected)


def test_the_papers_count_on_a_vit_b() -> None:
    from timm import create_model

    with torch.device("meta"):
        backbone = create_model("vit_base_patch16_224", num_classes=0)
        model = get_peft_model(backbone, AdaptFormerConfig())
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 1_189_632


def test_it_starts_as_published() -> None:
    layer = adapted("timm ViT").base_model.model.blocks[0].mlp
    down, up = layer.adaptformer_down["default"], layer.adaptformer_up["default"]
    assert not any(p.any() for p in (down.bias, up.weight, up.bias))
    bound = 1 / 24**0.5  # kaiming uniform with a = √5, over 24 inputs
    assert 0.5 * bound < down.weight.detach().abs().max() <= bound


def test_merging_it_is_refused() -> None:
    model = adapted("timm ViT")
    perturb(model)
    images = NETWORKS["timm ViT"].images()
    expected = model(images)
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(AdapterError, match="cannot merge AdaptFormer"):
            merge()
    assert torch.equal(model(images), expected)


@pytest.mark.parametrize("name", ["timm ViT", "VideoMAE"])
def test_several_adapters_do_not_disturb_each_other(name: str, tmp_path: Path) -> None:
    network = NETWORKS[name]
    images = network.images()
    model = adapted(name)
    perturb(model, seed=1)
    first = answer(model, images)
    model.add_adapter("second", AdaptFormerConfig(bottleneck=2, reads="ffn", dropout=0.5))
    assert torch.equal(answer(model, images), first)
    model.set_adapter("second")
    assert all(".second." in parameter for parameter in learning(model))
    perturb(model, seed=2)
    second = answer(model, images)
    assert not torch.allclose(second, first)
    model.set_adapter("default")
    assert torch.equal(answer(model, images), first)

    model.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(network.make(), tmp_path)
    again.load_adapter(tmp_path / "second", "second")
    assert torch.equal(answer(again, images), first)
    again.set_adapter("second")
    assert torch.equal(answer(again, images), second)

    model.delete_adapter("second")
    assert torch.equal(answer(model, images), first)
    model.delete_adapter("default")
    expected = answer(network.make(), images)
    inner = model.base_model.model  # a PeftModel without any adapter cannot be called
    torch.testing.assert_close(answer(inner, images), expected, atol=1e-6, rtol=0)


class Ffn(nn.Module):
    """Something with an FFN, and a norm by a name of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(6)
        self.ffn = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.ffn(self.before(x))


def test_a_norm_of_another_name_can_be_given() -> None:
    config = AdaptFormerConfig(target_modules=["ffn"], norm="before", bottleneck=3)
    base = Ffn()
    model = get_peft_model(copy.deepcopy(base), config).eval()
    perturb(model)
    x = torch.randn(2, 6)
    expected = base(x) + bottleneck(model.base_model.model, "ffn", x)
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("target", ["ffn", "ffn.2"])
def test_without_a_norm_it_reads_what_the_ffn_reads(target: str) -> None:
    config = AdaptFormerConfig(target_modules=[target], reads="ffn", bottleneck=3)
    base = Ffn()
    model = get_peft_model(copy.deepcopy(base), config).eval()
    perturb(model)
    x = torch.randn(2, 6)
    read = base.before(x) if target == "ffn" else base.ffn[:2](base.before(x))
    expected = base(x) + bottleneck(model.base_model.model, target, read)
    torch.testing.assert_close(model(x), expected)


def test_networks_that_it_cannot_adapt_are_refused() -> None:
    with pytest.raises(AdapterError, match=r"no transformer blocks in Ffn.*target_modules"):
        get_peft_model(Ffn(), AdaptFormerConfig())
    with pytest.raises(AdapterError, match=r"ffn: expected a norm.*found before, ffn.*reads='ffn'"):
        get_peft_model(Ffn(), AdaptFormerConfig(target_modules=["ffn"]))
    with pytest.raises(AdapterError, match=r"before: expected an FFN with linear layers"):
        get_peft_model(Ffn(), AdaptFormerConfig(target_modules=["before"], reads="ffn"))


def test_a_norm_behind_the_ffn_is_noticed() -> None:
    from timm.models.vision_transformer import ResPostBlock

    model = get_peft_model(
        timm_model("vit_tiny_patch16_224", block_fn=ResPostBlock), AdaptFormerConfig()
    )
    with pytest.raises(AdapterError, match=r"blocks.0.mlp was called without the residual stream"):
        model(torch.randn(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reads": "norm"}, "reads: expected residual or ffn, got 'norm'"),
        ({"bottleneck": 0}, "bottleneck: expected 1 or more, got 0"),
        ({"dropout": -0.1}, "dropout: expected 0…1, got -0.1"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        AdaptFormerConfig(**settings)


@pytest.mark.parametrize("name", ["timm ViT", "CLIP", "VideoMAE"])
def test_bfloat16_trains_adapters_in_single_precision(name: str) -> None:
    network = NETWORKS[name]
    config = AdaptFormerConfig(bottleneck=3)
    model = get_peft_model(network.make().to(torch.bfloat16), config)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    output = answer(model, network.images().to(torch.bfloat16))
    assert output.dtype == torch.bfloat16
    output.float().square().mean().backward()
    assert gradients(model).keys() == learning(model)


@pytest.mark.parametrize("name", ["timm ViT", "CLIP"])
def test_autocast_gives_nearly_the_same(name: str) -> None:
    model = adapted(name)
    perturb(model)
    expected = answer(model, NETWORKS[name].images()).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = answer(model, NETWORKS[name].images())
    assert float((output.detach() - expected).abs().max()) <= 0.05 * float(expected.abs().max())
    output.float().square().mean().backward()
    assert all(gradient.isfinite().all() for gradient in gradients(model).values())


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_in_one_piece_it_is_the_same(name: str) -> None:
    model = adapted(name)
    perturb(model)
    compiled = torch.compile(model.base_model.model, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        expected = answer(model, NETWORKS[name].images())
        torch.testing.assert_close(answer(compiled, NETWORKS[name].images()), expected)


@pytest.mark.parametrize("name", ["timm ViT", "CLIP", "Swin", "VideoMAE"])
def test_gradient_checkpointing_changes_no_gradient(name: str) -> None:
    model = adapted(name, dropout=0.0)
    perturb(model)

    def step() -> dict[str, Tensor]:
        answer(model, NETWORKS[name].images()).square().mean().backward()
        return gradients(model)

    model.train()
    expected = step()
    inner = model.base_model.model
    if hasattr(inner, "set_grad_checkpointing"):
        inner.set_grad_checkpointing(True)
    else:
        inner.gradient_checkpointing_enable({"use_reentrant": False})
    found = step()
    assert found.keys() == expected.keys() == learning(model)
    for parameter, gradient in found.items():
        torch.testing.assert_close(gradient, expected[parameter])


def test_nothing_remains_in_the_network_after_a_step() -> None:
    model = adapted("timm ViT").train()
    before = {name: set(vars(part)) for name, part in model.named_modules()}
    model(NETWORKS["timm ViT"].images()).sum().backward()
    assert {name: set(vars(part)) for name, part in model.named_modules()} == before
    held = [v for part in model.modules() for v in vars(part).values() if isinstance(v, Tensor)]
    assert held == []
