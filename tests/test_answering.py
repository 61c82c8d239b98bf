"""The copy of a recognizer that answers: folded adapters, half precision, new weights."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from adapter_networks import SETTINGS, shake
from slow import slow_but

from evlora import StreamingRecognizer
from evlora.answering import for_answers, has_bf16, is_wholly_foldable
from evlora.bundle import load_bundle, save_bundle
from evlora.errors import BundleError
from evlora.models.adapters import METHODS
from evlora.profiling import example_batch
from evlora.recipe import build
from evlora.recognizer import Recognizer

NETWORKS = {
    "velora": {},
    "single_stream": {"model": {"network": "single_stream"}, "clip.modalities": ["rgb"]},
}
FOLDABLE = [name for name, row in METHODS.items() if row.config is not None and row.is_foldable]


@pytest.fixture
def recognizer(tiny_settings: dict[str, Any]) -> Recognizer:
    return _built(tiny_settings, "velora", "lora")


def _built(tiny_settings: dict[str, Any], network: str, method: str) -> Recognizer:
    adapter = {"method": method, **SETTINGS[method]}
    keys = {**tiny_settings, **NETWORKS[network], "model.adapter": adapter}
    recognizer = build("velora_vitb16_clip", num_classes=5, overrides=keys).eval()
    shake(recognizer, by=0.05)
    return recognizer


def _scores(recognizer: Recognizer) -> torch.Tensor:
    batch = example_batch(recognizer, 2)
    with torch.inference_mode():
        return recognizer.answer(batch.rgb, batch.events)


def _storages(recognizer: Recognizer) -> set[int]:
    return {tensor.data_ptr() for tensor in recognizer.parameters()}


QUICK = ("lora", "dora", "ia3", "oft", "lv_adapter", "ssf")


@pytest.mark.parametrize("network", slow_but(NETWORKS, quick="velora".__eq__))
@pytest.mark.parametrize("method", slow_but(FOLDABLE, quick=QUICK.__contains__))
def test_folded_adapters_answer_the_same(
    tiny_settings: dict[str, Any], network: str, method: str
) -> None:
    recognizer = _built(tiny_settings, network, method)
    before = {name: tensor.clone() for name, tensor in recognizer.state_dict().items()}
    batch = example_batch(recognizer, 2)
    with torch.inference_mode():
        expected = recognizer.recognize(batch.rgb, batch.events).logits
    folded = for_answers(recognizer)
    scale = float(expected.abs().max())
    torch.testing.assert_close(_scores(folded), expected, rtol=0, atol=1e-5 * max(1.0, scale))
    assert folded is not recognizer
    left = [name for name, m in folded.named_modules() if hasattr(m, "base_layer")]
    # The shared stage also uses its LoRA as a branch beside the frozen layers.
    assert all(name.startswith("network.shared_stage.") for name in left)
    for name, tensor in recognizer.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert recognizer.trained_tensors()


@pytest.mark.parametrize("method", ["adaptformer", "adapter_plus", "vpt", "none", "full"])
def test_what_cannot_be_folded_stays_as_it_is(tiny_settings: dict[str, Any], method: str) -> None:
    recognizer = _built(tiny_settings, "single_stream", method)
    assert for_answers(recognizer) is recognizer
    assert is_wholly_foldable(recognizer) is (method in ("none", "full"))


def test_an_lv_adapter_with_an_activation_stays_as_it_is(tiny_settings: dict[str, Any]) -> None:
    adapter = {"method": "lv_adapter", "options": {"activation": "gelu"}}
    keys = {**tiny_settings, **NETWORKS["single_stream"], "model.adapter": adapter}
    recognizer = build("velora_vitb16_clip", num_classes=5, overrides=keys)
    assert for_answers(recognizer) is recognizer


def test_each_view_has_its_own_folded_weights_and_shares_all_others(
    recognizer: Recognizer,
) -> None:
    folded = for_answers(recognizer)
    views = [folded.network.get_submodule(f"views.{name}.adapted") for name in ("rgb", "event")]
    rgb, event = (dict(view.named_parameters()) for view in views)
    assert rgb.keys() == event.keys()
    own = {name for name in rgb if rgb[name].data_ptr() != event[name].data_ptr()}
    folded_layers = {"patch_embed.proj", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"}
    assert own
    assert all(any(layer in name for layer in folded_layers) for name in own)
    assert rgb["norm.weight"].data_ptr() in _storages(recognizer)


def test_the_copy_is_kept_until_the_weights_change(recognizer: Recognizer) -> None:
    folded = for_answers(recognizer)
    assert for_answers(recognizer) is folded
    learned = recognizer.trained_tensors()
    adapter = next(tensor for name, tensor in learned.items() if "rgb" in name and "lora_B" in name)
    adapter.data.add_(0.1)  # which leaves no version behind
    renewed = for_answers(recognizer)
    assert renewed is not folded
    torch.testing.assert_close(_scores(renewed), _scores(recognizer), rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        cast(torch.nn.LayerNorm, recognizer.network.vit.norm).weight.mul_(2.0)
    torch.testing.assert_close(
        _scores(for_answers(recognizer)), _scores(recognizer), rtol=1e-5, atol=1e-5
    )


def test_a_recognizer_that_has_answered_still_learns_and_is_saved(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    expected = _scores(for_answers(recognizer))
    batch = example_batch(recognizer, 2)
    recognizer.train()
    recognizer.recognize(batch.rgb, batch.events).logits.sum().backward()
    assert all(
        parameter.grad is not None
        for name, parameter in recognizer.trained_tensors().items()
        if "lora_B" in name and "reconstruction" not in name
    )
    loaded = load_bundle(save_bundle(recognizer, tmp_path / "bundle"))
    torch.testing.assert_close(_scores(loaded.eval()), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(BundleError, match="for_answers"):
        save_bundle(for_answers(recognizer), tmp_path / "folded")
    assert not (tmp_path / "folded").exists()


def test_half_precision_answers_nearly_the_same_in_half_the_memory(recognizer: Recognizer) -> None:
    exact, half = for_answers(recognizer), for_answers(recognizer, precision="bf16")
    scores, near = _scores(exact), _scores(half).float()
    difference = float((near - scores).abs().max())
    assert 0 < difference < 0.05 * float(scores.abs().max())
    weight = half.network.get_submodule("views.rgb.adapted.blocks.0.attn.qkv").weight
    assert weight.dtype == torch.bfloat16
    assert {p.dtype for p in recognizer.parameters()} == {torch.float32}
    assert _scores(recognizer).dtype == torch.float32


def test_auto_is_half_precision_only_where_the_device_has_it(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for is_there in (True, False):
        monkeypatch.setattr("evlora.answering.has_bf16", lambda _, is_there=is_there: is_there)
        copy = for_answers(recognizer, precision="auto")
        assert (copy.answer_type == torch.bfloat16) is is_there
    assert isinstance(has_bf16(recognizer), bool)


def test_a_stream_answers_folded_and_sees_new_weights_after_a_reset(
    recognizer: Recognizer,
) -> None:
    stream = StreamingRecognizer(recognizer)
    batch = example_batch(recognizer, 1)
    assert batch.rgb is not None
    assert batch.events is not None
    moments = list(zip(batch.rgb[0], batch.events[0], strict=True))

    def last() -> torch.Tensor:
        answers = [stream.push(rgb, events) for rgb, events in moments]
        assert answers[-1] is not None
        return answers[-1]

    with torch.inference_mode():
        before = recognizer.answer(batch.rgb, batch.events)[0]
    torch.testing.assert_close(last(), before, rtol=1e-5, atol=1e-5)
    shake(recognizer, by=0.05)
    stream.reset()
    with torch.inference_mode():
        after = recognizer.answer(batch.rgb, batch.events)[0]
    torch.testing.assert_close(last(), after, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(before, after, rtol=1e-3, atol=1e-3)
