"""What a run does before its first step where adapters start from what they see."""

from typing import Any

import pytest
import torch

import evlora
from evlora.errors import AdapterError
from evlora.models.adapters.gps import GpsLayer
from evlora.recognizer import adapted_parts, tensors_beside_adapters
from evlora.training.first_pass import contrast


def test_a_run_starts_from_its_clips_and_its_bundle_opens(own_settings: dict[str, Any]) -> None:
    changes = {
        "model.adapter": {"method": "lora", "rank": 2, "options": {"init": "eva"}},
        "training.epochs": 1,
        "training.learning_rate": 1e-9,
    }
    lines: list[str] = []
    run = evlora.train(
        "nano_photographs", overrides={**own_settings, **changes}, report=lines.append
    )
    assert "adapters start from the inputs of 12 training clips" in lines
    recognizer = evlora.load_bundle(run.bundle)
    (part,) = adapted_parts(recognizer).values()
    starts = [m.lora_A["default"].weight for m in part.modules() if hasattr(m, "lora_A")]
    assert starts
    for start in starts:  # principal components, which a random start is not
        torch.testing.assert_close(start @ start.T, torch.eye(2), atol=1e-3, rtol=0)


def test_every_part_of_velora_starts_from_its_clips(tiny_settings: dict[str, Any]) -> None:
    changes = {
        "model.adapter": {"method": "lora", "rank": 2, "options": {"init": "eva"}},
        "training.epochs": 1,
        "training.learning_rate": 1e-9,
    }
    run = evlora.train("velora_vitb16_clip", overrides={**tiny_settings, **changes})
    parts = adapted_parts(evlora.load_bundle(run.bundle))
    assert parts.keys() == {"rgb", "event", "difference", "reconstruction", "shared_stage"}
    for name, part in parts.items():
        if name != "shared_stage":  # which has an adapter of its own
            for layer in (m for m in part.modules() if hasattr(m, "lora_A")):
                start = layer.lora_A["default"].weight
                torch.testing.assert_close(start @ start.T, torch.eye(2), atol=1e-3, rtol=0)


def test_the_contrast_is_that_of_its_paper() -> None:
    features, labels = torch.randn(5, 7), torch.tensor([0, 1, 0, 0, 2])
    z = features / features.norm(dim=1, keepdim=True)
    similar = (z @ z.T / 0.1).exp()
    losses = [
        -sum((similar[i, j] / (similar[i].sum() - similar[i, i])).log() for j in others) / 2
        for i, others in ((0, (2, 3)), (2, (0, 3)), (3, (0, 2)))
    ]
    torch.testing.assert_close(contrast(features, labels), sum(losses) / 3, atol=1e-4, rtol=1e-4)
    alone = contrast(features[:1].requires_grad_(), labels[:1])
    alone.backward()
    assert alone == 0


def test_a_run_chooses_entries_by_gradients_and_its_bundle_keeps_them(
    own_settings: dict[str, Any],
) -> None:
    gps = {"method": "gps", "options": {"entries": 3}}
    changes = {"model.adapter": gps, "training.epochs": 1}
    lines: list[str] = []
    run = evlora.train(
        "nano_photographs", overrides={**own_settings, **changes}, report=lines.append
    )
    assert "adapters choose entries by the gradients of 12 training clips" in lines
    recognizer = evlora.load_bundle(run.bundle)
    layers = [part for part in recognizer.modules() if isinstance(part, GpsLayer)]
    places = [(layer.base_layer.weight, layer.gps_places["default"]) for layer in layers]
    largest = [w.abs().topk(3).indices.sort().values.int() for w, _ in places]
    assert not any(torch.equal(p, at) for (_, p), at in zip(places, largest, strict=True))
    learned = recognizer.learned_tensors()  # what a checkpoint holds
    assert sum("gps_places" in name for name in learned) == len(layers)
    assert not any("gps" in name for name in tensors_beside_adapters(recognizer))


def test_batches_without_two_clips_of_a_class_are_refused(own_settings: dict[str, Any]) -> None:
    changes = {"model.adapter": "gps", "training.batch_size": 1}
    with pytest.raises(AdapterError, match=r"gps: expected gradients.*training\.batch_size"):
        evlora.train("nano_photographs", overrides={**own_settings, **changes})
