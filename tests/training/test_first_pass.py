"""What a run does before its first step where adapters start from what they see."""

from typing import Any

import torch

import evlora
from evlora.recognizer import adapted_parts


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
