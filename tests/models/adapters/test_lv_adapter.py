"""Lv-Adapter as a peft tuner, on the networks that it is for."""

import copy
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import save_file
from torch import Tensor, nn
from vision_networks import COMPILED, NETWORKS, WIDTHS, answer, timm_model, transformers_model

from evlora import LvAdapterConfig
from evlora.errors import AdapterError

# peft 0.21 and the tests use names of transformers that its version 6 will not have
pytestmark = pytest.mark.filterwarnings(
    "ignore:`(is_gradient_checkpointing|gradient_checkpointing_enable)` is:FutureWarning"
)


class Plain(nn.Module):
    """No transformer: a fused query, key and value, and a layer without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(6, 18)
        self.last = nn.Linear(6, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        return self.last(query * key + value)


PLAIN_TARGETS = ["qkv", "last"]


def perturb(model: nn.Module, *, seed: int = 1) -> None:
    """Moves what trains away from its start, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.1 * noise.to(parameter.dtype))


def plain_with(**settings: Any) -> PeftModel:
    torch.manual_seed(0)
    config = LvAdapterConfig(target_modules=PLAIN_TARGETS, rank=2, **settings)
    return get_peft_model(Plain().eval(), config).eval()


def trained_numbers(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_without_arguments_it_finds_its_layers(name: str) -> None:
    network = NETWORKS[name]
    model = get_peft_model(network.make(), LvAdapterConfig())
    found = model.base_model.targeted_module_names
    ends = (*network.attention_input, network.attention_output, *network.ffn)
    assert len(found) == network.blocks * len(ends)
    assert all(any(layer.endswith(f".{end}") for end in ends) for layer in found)


@pytest.mark.parametrize("name", NETWORKS)
def test_sites_are_found_by_their_words(name: str) -> None:
    network = NETWORKS[name]
    attention = (*network.attention_input, network.attention_output)
    for sites, ends in {
        "attention_input": network.attention_input,
        "attention": attention,
        "ffn": network.ffn,
        "both": (*attention, *network.ffn),
    }.items():
        model = get_peft_model(network.make(), LvAdapterConfig(sites=sites))
        assert len(model.base_model.targeted_module_names) == network.blocks * len(ends), sites


@pytest.mark.parametrize("name", NETWORKS)
def test_an_adapter_at_any_site_has_an_effect(name: str) -> None:
    network = NETWORKS[name]
    config = LvAdapterConfig(sites="both", rank=2)
    model = get_peft_model(network.make(), config).train()
    perturb(model)
    answer(model, network.images()).square().mean().backward()
    found = gradients(model)
    assert found.keys() == set(learning(model))
    assert all(gradient.any() for gradient in found.values())


class OwnBias(nn.Module):
    """An attention that adds its bias by itself, and reads the weight without calling the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.q_bias = nn.Linear(6, 18, bias=False), nn.Parameter(torch.zeros(18))


def test_an_attention_on_which_it_would_have_no_effect_is_refused() -> None:
    with pytest.raises(AdapterError, match=r"qkv: OwnBias adds a bias of its own"):
        get_peft_model(OwnBias(), LvAdapterConfig(target_modules=["qkv"]))


@pytest.mark.parametrize("name", NETWORKS)
def test_it_starts_as_the_network_and_merges_into_it(name: str) -> None:
    network = NETWORKS[name]
    images = network.images()
    base = network.make()
    expected = answer(base, images)
    model = get_peft_model(network.make(), LvAdapterConfig(rank=2)).eval()
    torch.testing.assert_close(answer(model, images), expected, atol=1e-6, rtol=0)

    perturb(model)
    adapted = answer(model, images)
    scale = float(adapted.detach().abs().max())
    assert not torch.allclose(adapted, expected, atol=1e-3 * scale)
    with model.disable_adapter():
        torch.testing.assert_close(answer(model, images), expected, atol=1e-6, rtol=0)

    merged = model.merge_and_unload()
    assert [type(part) for part in merged.modules()] == [type(part) for part in base.modules()]
    assert {k: v.shape for k, v in merged.state_dict().items()} == {
        k: v.shape for k, v in base.state_dict().items()
    }
    torch.testing.assert_close(answer(merged, images), adapted, atol=1e-5 * max(1.0, scale), rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_was_saved_is_loaded_exactly(name: str, tmp_path: Path) -> None:
    network = NETWORKS[name]
    model = get_peft_model(network.make(), LvAdapterConfig(rank=2)).eval()
    perturb(model)
    model.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(network.make(), tmp_path).eval()
    assert torch.equal(answer(again, network.images()), answer(model, network.images()))
    assert trained_numbers(again) == 0
    trainable = PeftModel.from_pretrained(network.make(), tmp_path, is_trainable=True)
    assert trained_numbers(trainable) == trained_numbers(model)


def test_transformers_loads_it_without_peft_being_named(tmp_path: Path) -> None:
    network = NETWORKS["ViT"]
    model = get_peft_model(network.make(), LvAdapterConfig(rank=2)).eval()
    perturb(model)
    model.save_pretrained(tmp_path)
    expected = answer(model, network.images())
    vit = network.make()
    vit.load_adapter(str(tmp_path))
    assert torch.equal(answer(vit.eval(), network.images()), expected)
    base = network.make()
    again = PeftModel.from_pretrained(base, tmp_path, low_cpu_mem_usage=True).eval()
    assert torch.equal(answer(again, network.images()), expected)


def test_clips_text_tower_is_unchanged() -> None:
    text = {k: v for k, v in WIDTHS.items() if not k.endswith("_size") or k == "hidden_size"}
    text |= {"vocab_size": 100, "intermediate_size": 48, "bos_token_id": 0, "eos_token_id": 1}
    clip = transformers_model("CLIP", vision_config=WIDTHS, text_config=text)
    model = get_peft_model(clip, LvAdapterConfig(rank=1))
    found = model.base_model.targeted_module_names
    assert len(found) == 12
    assert all(name.startswith("vision_model.") for name in found)


def test_the_layer_computes_the_formula() -> None:
    model = plain_with(scale=0.5, vector="both", shift=True, vector_scale=3)
    perturb(model)
    layer = model.base_model.model.qkv
    x = torch.randn(3, 6)
    weight, bias = layer.base_layer.weight, layer.base_layer.bias
    v, u = (
        1 + 3 * (stored["default"] - 1)
        for stored in (layer.lv_adapter_vector, layer.lv_adapter_input_vector)
    )
    a, b = layer.lv_adapter_down["default"].weight, layer.lv_adapter_up["default"].weight
    assert a.shape == (2, 6)
    assert b.shape == (18, 2)
    shift = 3 * layer.lv_adapter_shift["default"]
    expected = v * ((u * x) @ weight.T + bias) + 0.5 * x @ a.T @ b.T + shift
    torch.testing.assert_close(layer(x), expected)


def test_ranks_of_single_layers_go_by_their_names() -> None:
    model = plain_with(rank_pattern={"qkv": 3, "last": 0})
    assert model.base_model.model.qkv.lv_adapter_down["default"].weight.shape == (3, 6)
    assert not model.base_model.model.last.lv_adapter_down
    model.add_adapter("second", LvAdapterConfig(target_modules=PLAIN_TARGETS, rank=1))
    assert model.base_model.model.last.lv_adapter_down["second"].weight.shape == (1, 6)


OF_BEFORE = {
    "auto_mapping": {"base_model_class": "Plain", "parent_library": "test_lv_adapter"},
    "base_model_name_or_path": None,
    "exclude_modules": None,
    "inference_mode": True,
    "modules_to_save": None,
    "peft_type": "LV_ADAPTER",
    "peft_version": "0.21.2",
    "revision": None,
    "task_type": None,
    "activation": "none",
    "dropout": 0.0,
    "initialisation": "kaiming",
    "pair": True,
    "rank": 2,
    "scale": 1.0,
    "sites": ["attention_output", "ffn"],
    "target_modules": PLAIN_TARGETS,
}
"""What adapter_config.json held until 30 November 2026, but for the vector."""


@pytest.mark.parametrize("has_vector", [True, False])
def test_a_file_of_before_gives_what_it_gave(has_vector: bool, tmp_path: Path) -> None:
    text = json.dumps({**OF_BEFORE, "vector": has_vector})
    (tmp_path / "adapter_config.json").write_text(text, encoding="utf-8")
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}
    for name, outputs in (("qkv", 18), ("last", 4)):
        shapes = {"down.weight": (2, 6), "up.weight": (outputs, 2)}
        shapes |= {"vector": (outputs,)} if has_vector else {}
        for part, shape in shapes.items():
            value = torch.randn(shape, generator=generator)
            tensors[f"base_model.model.{name}.lv_adapter_{part}"] = value
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    plain = Plain().eval()
    x = torch.randn(3, 6)
    expected: dict[str, Tensor] = {}
    for name in PLAIN_TARGETS:
        prefix = f"base_model.model.{name}.lv_adapter_"
        vector = tensors.get(f"{prefix}vector", torch.ones(()))
        added = x @ tensors[f"{prefix}down.weight"].T @ tensors[f"{prefix}up.weight"].T
        expected[name] = vector * getattr(plain, name)(x) + added
    model = PeftModel.from_pretrained(plain, tmp_path)
    for name in PLAIN_TARGETS:
        torch.testing.assert_close(getattr(model.base_model.model, name)(x), expected[name])


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, {"vector", "shift", "down", "up"}),
        ({"vector": "output", "shift": False}, {"vector", "down", "up"}),
        ({"vector": True}, {"vector", "down", "up"}),
        ({"vector": "input", "shift": False}, {"input_vector", "down", "up"}),
        ({"vector": "both", "shift": True}, {"vector", "input_vector", "shift", "down", "up"}),
        ({"vector": "none", "shift": False}, {"down", "up"}),
        ({"vector": False}, {"down", "up"}),
        ({"vector": "output", "shift": False, "pair": False}, {"vector"}),
        ({"vector": "none", "shift": True, "pair": False}, {"shift"}),
    ],
)
def test_vector_and_pair_can_be_turned_off(options: dict[str, Any], names: set[str]) -> None:
    model = plain_with(**options)
    trained = {n.split("lv_adapter_")[1].split(".")[0] for n in learning(model)}
    assert trained == names
    perturb(model)
    x = torch.randn(3, 6)
    expected = model(x)
    before = model.base_model.model.last.base_layer.bias
    model.merge_adapter()
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=0)
    model.unmerge_adapter()
    assert model.base_model.model.last.base_layer.bias is before
    assert torch.equal(model(x), expected)
    torch.testing.assert_close(model.merge_and_unload()(x), expected, atol=1e-5, rtol=0)


def learning(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_merging_a_bottleneck_is_refused(activation: str) -> None:
    model = plain_with(activation=activation)
    x = torch.randn(3, 6)
    straight = plain_with()
    for adapted in (model, straight):
        perturb(adapted)
    expected = model(x)
    assert not torch.allclose(expected, straight(x))
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(AdapterError, match=f"'default'.*activation='{activation}'"):
            merge()
    assert torch.equal(model(x), expected)
    # the vector alone is linear, with or without an activation
    assert plain_with(activation=activation, pair=False).merge_and_unload() is not None


def test_only_the_adapters_that_are_merged_must_be_linear() -> None:
    model = plain_with()
    bent = LvAdapterConfig(target_modules=PLAIN_TARGETS, rank=2, activation="relu")
    model.add_adapter("bent", bent)
    model.merge_adapter()
    model.unmerge_adapter()
    with pytest.raises(AdapterError, match="'bent'"):
        model.merge_adapter(["default", "bent"])
    assert not model.base_model.model.qkv.merged


@pytest.mark.parametrize("initialisation", ["kaiming", "normal", "orthogonal"])
def test_every_initialisation_starts_as_the_layer(initialisation: str) -> None:
    model = plain_with(initialisation=initialisation)
    x = torch.randn(3, 6)
    with model.disable_adapter():
        expected = model(x)
    assert torch.equal(model(x), expected)
    a = model.base_model.model.qkv.lv_adapter_down["default"].weight
    assert a.abs().sum() > 0
    if initialisation == "orthogonal":
        torch.testing.assert_close(a @ a.T, torch.eye(2))


def test_dropout_acts_in_training_only() -> None:
    model = plain_with(dropout=0.5)
    perturb(model)
    x = torch.randn(64, 6)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


def test_unmerging_puts_back_the_very_parameters() -> None:
    model = plain_with()
    perturb(model)
    layers = [model.base_model.model.qkv, model.base_model.model.last]
    before = [(layer.base_layer.weight, layer.base_layer.bias) for layer in layers]
    x = torch.randn(3, 6)
    expected = model(x)
    model.merge_adapter()
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=0)
    model.to(torch.float64)
    model.to(torch.float32)
    model.unmerge_adapter()
    for layer, (weight, bias) in zip(layers, before, strict=True):
        assert layer.base_layer.weight is weight
        assert layer.base_layer.bias is bias
    assert torch.equal(model(x), expected)


def test_merging_does_not_change_networks_that_share_the_weights() -> None:
    base = Plain().eval()
    shared = {id(p): p for p in base.parameters()}
    other = copy.deepcopy(base, shared)
    assert other.qkv.weight is base.qkv.weight
    x = torch.randn(3, 6)
    expected = other(x)
    model = get_peft_model(base, LvAdapterConfig(target_modules=PLAIN_TARGETS, rank=2))
    perturb(model)
    model.merge_and_unload()
    assert torch.equal(other(x), expected)


def test_a_safe_merge_refuses_numbers_that_are_not_finite() -> None:
    model = plain_with()
    model.base_model.model.qkv.lv_adapter_vector["default"].data[3] = float("nan")
    with pytest.raises(AdapterError, match=r"'default'.*not finite"):
        model.merge_and_unload(safe_merge=True)


def test_several_adapters_do_not_disturb_each_other(tmp_path: Path) -> None:
    model = plain_with()
    x = torch.randn(3, 6)
    perturb(model, seed=1)
    first = model(x)
    model.add_adapter("second", LvAdapterConfig(target_modules=["last"], rank=3))
    assert torch.equal(model(x), first)
    model.set_adapter("second")
    assert all(".second" in name for name in learning(model))
    perturb(model, seed=2)
    second = model(x)
    assert not torch.allclose(second, first)
    model.set_adapter("default")
    assert torch.equal(model(x), first)

    model.save_pretrained(tmp_path)
    torch.manual_seed(0)
    again = PeftModel.from_pretrained(Plain().eval(), tmp_path)
    again.load_adapter(tmp_path / "second", "second")
    assert torch.equal(again(x), first)
    again.set_adapter("second")
    assert torch.equal(again(x), second)

    model.delete_adapter("second")
    assert torch.equal(model(x), first)
    assert not [name for name in model.state_dict() if "second" in name]


def test_active_together_they_merge_to_what_they_computed() -> None:
    model = plain_with(vector="both", shift=True)
    perturb(model, seed=1)
    second = LvAdapterConfig(target_modules=PLAIN_TARGETS, rank=3, vector="both", shift=True)
    model.add_adapter("second", second)
    model.base_model.set_adapter(["default", "second"])
    perturb(model, seed=2)
    x = torch.randn(3, 6)
    expected = model(x)
    model.merge_adapter()
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=0)
    model.unmerge_adapter()
    assert torch.equal(model(x), expected)


def test_modules_to_save_are_trained_and_saved_too(tmp_path: Path) -> None:
    vit = timm_model("vit_tiny_patch16_224", num_classes=3).eval()
    base = copy.deepcopy(vit)
    model = get_peft_model(vit, LvAdapterConfig(rank=2, modules_to_save=["head"])).eval()
    assert any("head" in name for name in learning(model))
    perturb(model)
    images = torch.randn(2, 3, 32, 32)
    expected = model(images)
    model.save_pretrained(tmp_path)
    assert torch.equal(PeftModel.from_pretrained(base, tmp_path).eval()(images), expected)
    torch.testing.assert_close(model.merge_and_unload()(images), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["timm ViT", "CLIP", "VideoMAE"])
def test_bfloat16_trains_adapters_in_single_precision(name: str) -> None:
    network = NETWORKS[name]
    model = get_peft_model(network.make().to(torch.bfloat16), LvAdapterConfig(rank=2))
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    output = answer(model, network.images().to(torch.bfloat16))
    assert output.dtype == torch.bfloat16
    output.float().square().mean().backward()
    assert gradients(model).keys() == set(learning(model))
    merged = model.merge_and_unload()
    assert {p.dtype for p in merged.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("name", ["timm ViT", "CLIP"])
def test_autocast_gives_nearly_the_same(name: str) -> None:
    network = NETWORKS[name]
    model = get_peft_model(network.make(), LvAdapterConfig(rank=2)).eval()
    perturb(model)
    expected = answer(model, network.images())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = answer(model, network.images())
    largest_error = float((output - expected).detach().abs().max())
    assert largest_error <= 0.05 * float(expected.detach().abs().max())
    output.float().square().mean().backward()
    assert all(grad.isfinite().all() for grad in gradients(model).values())


def test_a_vector_near_one_is_not_rounded_away_in_half_precision() -> None:
    model = get_peft_model(
        nn.Sequential(nn.Linear(4, 4, dtype=torch.bfloat16)),
        LvAdapterConfig(target_modules=["0"], pair=False),
    )
    layer = model.base_model.model[0]
    x = torch.randn(256, 4, dtype=torch.bfloat16)
    with torch.no_grad():
        layer.lv_adapter_vector["default"].fill_(1 + 0.9 * 2**-8)  # 1 in bfloat16
        with model.disable_adapter():
            base = model(x)
        assert not torch.equal(model(x), base)


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_it_is_the_same(name: str) -> None:
    network = NETWORKS[name]
    model = get_peft_model(network.make(), LvAdapterConfig(rank=2)).eval()
    perturb(model)
    compiled = torch.compile(model.base_model.model, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        expected = answer(model, network.images())
        torch.testing.assert_close(answer(compiled, network.images()), expected)


@pytest.mark.parametrize("name", ["timm ViT", "CLIP", "Swin"])
def test_gradient_checkpointing_changes_no_gradient(name: str) -> None:
    network = NETWORKS[name]
    model = get_peft_model(network.make(), LvAdapterConfig(rank=2))
    perturb(model)

    def step() -> dict[str, Tensor]:
        answer(model, network.images()).square().mean().backward()
        return gradients(model)

    model.train()
    expected = step()
    inner = model.base_model.model
    if hasattr(inner, "set_grad_checkpointing"):
        inner.set_grad_checkpointing(True)
    else:
        inner.gradient_checkpointing_enable({"use_reentrant": False})
    found = step()
    assert found.keys() == expected.keys() == set(learning(model))
    for parameter, gradient in found.items():
        torch.testing.assert_close(gradient, expected[parameter])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vector": "none", "shift": False, "pair": False}, "all off"),
        ({"vector": "left"}, "vector: expected one of output, input, both, none, got 'left'"),
        ({"rank_pattern": {"fc1": -1}}, "rank_pattern: expected ranks of 0 or more"),
        ({"rank": 0}, "rank: expected 1 or more, got 0"),
        ({"dropout": 1.0}, "dropout: expected 0…1, got 1.0"),
        ({"activation": "tanh"}, "activation: expected one of none, relu, gelu, got 'tanh'"),
        ({"initialisation": "zeros"}, "initialisation: expected one of kaiming, normal"),
        ({"sites": "mlp"}, "sites: expected some of attention_input, .*, got 'mlp'"),
        ({"sites": []}, "no sites"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        LvAdapterConfig(**settings)


def unusual() -> Iterator[tuple[nn.Module, LvAdapterConfig, str]]:
    attention = nn.Sequential(nn.MultiheadAttention(8, 2))
    encoder = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16))
    yield Plain(), LvAdapterConfig(), "no transformer blocks in Plain.*target_modules"
    yield attention, LvAdapterConfig(target_modules=["out_proj"]), "0.out_proj.*MultiheadAttention"
    yield encoder, LvAdapterConfig(target_modules=["linear1"]), "0.linear1.*TransformerEncoderLayer"
    yield (
        nn.Sequential(nn.Conv2d(3, 3, 1)),
        LvAdapterConfig(target_modules=["0"]),
        "expected a torch.nn.Linear, got Conv2d",
    )


@pytest.mark.parametrize(("model", "config", "message"), list(unusual()))
def test_layers_that_it_cannot_adapt_are_refused(
    model: nn.Module, config: LvAdapterConfig, message: str
) -> None:
    with pytest.raises(AdapterError, match=message):
        get_peft_model(model, config)


def test_three_per_cent_of_a_vit_b_whatever_the_denominator() -> None:
    from timm import create_model

    with torch.device("meta"):
        backbone = create_model("vit_base_patch16_224", num_classes=0)
        total = sum(p.numel() for p in backbone.parameters())
        trained = trained_numbers(get_peft_model(backbone, LvAdapterConfig()))
    assert total == 85_798_656
    assert trained == 2_525_184
    head = 769 * 1000
    assert 2.9 <= 100 * trained / total <= 3.1
    assert 2.9 <= 100 * trained / (total + head) <= 3.1


def test_a_larger_rank_adds_the_same_number_again() -> None:
    counts = []
    for rank in (1, 2, 3):
        model = get_peft_model(NETWORKS["timm ViT"].make(), LvAdapterConfig(rank=rank))
        counts.append(trained_numbers(model))
    steps = [b - a for a, b in pairwise(counts)]
    assert steps[0] == steps[1] == 2 * (4 * 24 + 2 * 24 + 2 * (24 + 96))
