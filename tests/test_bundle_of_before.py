"""A bundle that commit 69e9e99 wrote opens and answers as it did; see tests/data/before."""

import json
from pathlib import Path

import torch

from evlora.bundle import load_bundle


def test_a_bundle_written_before_gives_equal_logits(project_root: Path) -> None:
    before = project_root / "tests" / "data" / "before"
    generator = torch.Generator().manual_seed(1)
    rgb, events = (torch.randn(2, 2, 3, 16, 16, generator=generator) for _ in range(2))
    recognizer = load_bundle(before / "bundle")
    with torch.inference_mode():
        logits = recognizer(rgb, events).logits
    expected = torch.tensor(json.loads((before / "logits.json").read_text()))
    torch.testing.assert_close(logits, expected, atol=1e-6, rtol=0)
