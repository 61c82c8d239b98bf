"""The counts of a profile are those of the modules."""

from typing import Any

import pytest
import torch
from adapter_networks import SETTINGS, shake
from timm.models.vision_transformer import VisionTransformer
from torch.utils.flop_counter import FlopCounterMode

from evlora.models import build_backbone
from evlora.profiling import count_parameters, example_batch, measure_ms, profile
from evlora.recipe import build, load_recipe
from evlora.recipe.schema import TrainingConfig
from evlora.training.cost import measure_step
from evlora.utilisation import Machine, limit


def test_the_counts_are_those_of_the_module(tiny_settings: dict[str, Any]) -> None:
    recognizer = build("demo", num_classes=4, overrides=tiny_settings)
    counts = count_parameters(recognizer)
    assert counts.total == sum(p.numel() for p in recognizer.parameters())
    assert counts.trained == sum(p.numel() for p in recognizer.parameters() if p.requires_grad)
    assert counts.trained == sum(part.trained for part in counts.by_part)
    assert counts.saved_mb == pytest.approx(4e-6 * counts.trained)


@pytest.mark.parametrize(
    ("method", "parts"),
    [("lora", {"backbone", "temporal", "head"}), ("full", {"backbone", "temporal", "head"})],
)
def test_one_modality_has_a_backbone_a_temporal_part_and_a_head(
    method: str, parts: set[str], tiny_settings: dict[str, Any]
) -> None:
    model = {"network": "single_stream", "temporal": "transformer", "adapter": {"method": method}}
    changes = {**tiny_settings, "clip.modalities": ["event"], "model": model}
    recognizer = build("demo", num_classes=4, overrides=changes)
    counts = count_parameters(recognizer)
    assert {part.part for part in counts.by_part} == parts
    assert counts.trained == sum(part.trained for part in counts.by_part)
    backbone = sum(p.numel() for p in build_backbone_of(changes).parameters())
    (adapted,) = (part for part in counts.by_part if part.part == "backbone")
    assert counts.adapter_percent == pytest.approx(100 * adapted.trained / backbone)
    assert (counts.adapter_percent == 100) is (method == "full")
    assert profile(recognizer).flops > 0


def build_backbone_of(settings: dict[str, Any]) -> VisionTransformer:
    recipe = load_recipe("demo", settings)
    return build_backbone(recipe.backbone, size=recipe.clip.size_px)


def test_a_mean_over_time_is_no_part(tiny_settings: dict[str, Any]) -> None:
    changes = {**tiny_settings, "clip.modalities": ["rgb"], "model": {"network": "single_stream"}}
    counts = count_parameters(build("demo", num_classes=4, overrides=changes))
    assert [part.part for part in counts.by_part] == ["backbone", "head"]


@pytest.mark.slow
def test_the_papers_setting_counts_as_derived() -> None:
    """CLIP ViT-B/16, 8 frames, 114 classes; a block carries 4·(768 + 3072) numbers a layer."""
    overrides = {"backbone.weights": "random"}
    counts = count_parameters(build("velora_vitb16_clip", num_classes=114, overrides=overrides))
    lora_per_block = 2 * 4 * (768 + 3072)
    trained = {part.part: part.trained for part in counts.by_part}
    assert trained == {
        "rgb view": 12 * lora_per_block + 768,
        "event view": 12 * lora_per_block + 768,
        "difference view": 11 * lora_per_block + 768,
        "reconstruction": lora_per_block,
        "shared stage": 2 * lora_per_block + 2 * 768,
        "head": 2 * 768 * 114 + 114,
    }


def test_operations_are_those_of_a_real_forward(tiny_settings: dict[str, Any]) -> None:
    recognizer = build("demo", num_classes=4, overrides=tiny_settings).eval()
    clip = torch.randn(1, 2, 3, 32, 32)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        recognizer(clip, clip)
    assert profile(recognizer).flops == counter.get_total_flops() > 0


@pytest.mark.parametrize(("count", "seen"), [(None, 16), (5, 5 + 1)])
def test_operations_are_those_of_the_patches_that_are_seen(
    count: int | None, seen: int, tiny_settings: dict[str, Any]
) -> None:
    """By hand, for events alone through two low-level blocks and a high-level one."""
    changes = {
        **tiny_settings,
        "clip.modalities": ["event"],
        "backbone.options": {"patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2},
        "model": {"adapter": {"method": "none"}, "active_patches": count},
    }

    def block(tokens: int) -> int:  # qkv, projection and FFN are 12 D² a token, attention 2 N D
        return 2 * tokens * (12 * 24**2 + 2 * tokens * 24)

    moment = 2 * 16 * 3 * 8**2 * 24 + 2 * block(1 + seen)
    whole = 2 * moment + block(1 + 16) + 2 * 24 * 4  # the clip has two moments
    assert profile(build("demo", num_classes=4, overrides=changes)).flops == whole


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [
        *({"model.adapter": {"method": name, **kept}} for name, kept in SETTINGS.items()),
        {"model.adapter_per_view": False},
    ],
    ids=str,
)
def test_every_kind_of_adapter_is_profiled_and_stays_as_it_was(
    keys: dict[str, Any], tiny_settings: dict[str, Any]
) -> None:
    recognizer = build("demo", num_classes=5, overrides={**tiny_settings, **keys}).eval()
    shake(recognizer, 0.05)
    batch = example_batch(recognizer, 1)
    before, counted = recognizer.answer(batch.rgb, batch.events), count_parameters(recognizer)
    measured = profile(recognizer)
    assert measured.flops > 0
    assert measured.parameters == counted
    assert count_parameters(recognizer) == counted
    assert torch.equal(recognizer.answer(batch.rgb, batch.events), before)


def test_nothing_is_measured_unless_asked(tiny_settings: dict[str, Any]) -> None:
    recognizer = build("demo", num_classes=4, overrides=tiny_settings)
    assert profile(recognizer).latency is None
    measured = profile(recognizer, repeats=2)
    assert measured.latency is not None
    assert measured.latency["fastest_ms"] <= measured.latency["median_ms"]
    assert measured.memory is not None
    assert measured.memory["weights_mb"] > 0


@pytest.mark.slow
def test_the_efficiency_is_measured_with_the_latency(tiny_settings: dict[str, Any]) -> None:
    recognizer = build("demo", num_classes=4, overrides=tiny_settings)
    assert profile(recognizer).efficiency is None
    measured = profile(recognizer, repeats=2)
    assert measured.efficiency is not None
    assert measured.latency is not None
    reached = measured.flops / measured.latency["median_ms"] / 1e6
    share = reached / measured.efficiency.peak_gflops_per_s
    assert measured.efficiency.utilisation == pytest.approx(share)
    assert 0 < measured.efficiency.bf16_difference < 0.05
    assert "\n" not in measured.efficiency.limit
    assert not recognizer.training


@pytest.mark.slow
def test_what_is_kept_by_part_adds_up_to_what_autograd_keeps(
    tiny_settings: dict[str, Any],
) -> None:
    recognizer = build("demo", num_classes=4, overrides=tiny_settings)
    measured = profile(recognizer, repeats=1).efficiency
    assert measured is not None
    assert {"rgb view", "event view", "difference view", "shared stage"} <= set(measured.kept_mb)
    config = TrainingConfig(batch_size=1)
    whole = measure_step(recognizer, config, repeats=1).activations_mb
    assert sum(measured.kept_mb.values()) == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize(
    ("flops", "weight_bytes", "words"),
    [(90, 1, "matrix products: 90%"), (1, 40, "reading weights"), (2, 1, "passes over memory")],
)
def test_what_limits_follows_from_the_machines_rates(
    flops: int, weight_bytes: int, words: str
) -> None:
    machine = Machine(flops_per_s=100, bytes_per_s=100)
    line = limit(machine, flops=flops, weight_bytes=weight_bytes, seconds=1.0)
    assert words in line


def test_the_dictionary_has_the_documented_keys(tiny_settings: dict[str, Any]) -> None:
    content = profile(build("demo", num_classes=4, overrides=tiny_settings)).as_dict()
    assert set(content) == {"parameters", "flops", "memory", "latency", "efficiency"}
    keys = {"total", "trained", "trained_percent", "adapter_percent", "saved_mb", "by_part"}
    assert set(content["parameters"]) == keys
    assert content["parameters"]["by_part"]["head"] == {"total": 196, "trained": 196}


def test_the_example_is_what_the_recognizer_takes(tiny_settings: dict[str, Any]) -> None:
    recognizer = build("demo", num_classes=4, overrides=tiny_settings)
    batch, again = (example_batch(recognizer, 3, seed=5) for _ in range(2))
    assert batch.rgb is not None
    assert batch.rgb.shape == (3, 2, 3, 32, 32)
    assert torch.equal(batch.rgb, again.rgb)
    assert recognizer.recognize(batch.rgb, batch.events).logits.shape == (3, 4)


def test_calls_are_timed_in_turn_and_the_first_round_does_not_count() -> None:
    now, called = [0.0], list[str]()

    def call(name: str, seconds: float) -> None:
        called.append(name)
        now[0] += seconds if len(called) > 2 else 100

    one, other = measure_ms(
        lambda: call("one", 0.5), lambda: call("other", 2), repeats=2, clock=lambda: now[0]
    )
    assert (one, other) == ([500, 500], [2000, 2000])
    assert called == 3 * ["one", "other"]
