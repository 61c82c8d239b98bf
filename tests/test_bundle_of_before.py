"""Bundles that earlier commits wrote open and answer as they did.

See tests/data/before (commit 69e9e99) and tests/data/before_lv_adapter (d879c4e).
"""

import json
from pathlib import Path

import pytest
import torch

from evlora.bundle import load_bundle, save_bundle


@pytest.mark.parametrize("name", ["before", "before_lv_adapter"])
def test_a_bundle_written_before_gives_equal_logits(project_root: Path, name: str) -> None:
    before = project_root / "tests" / "data" / name
    generator = torch.Generator().manual_seed(1)
    rgb, events = (torch.randn(2, 2, 3, 16, 16, generator=generator) for _ in range(2))
    recognizer = load_bundle(before / "bundle")
    with torch.inference_mode():
        logits = recognizer(rgb, events).logits
    expected = torch.tensor(json.loads((before / "logits.json").read_text()))
    torch.testing.assert_close(logits, expected, atol=1e-6, rtol=0)


def test_a_bundle_written_before_keeps_its_defaults_when_written_again(
    project_root: Path, tmp_path: Path
) -> None:
    before = project_root / "tests" / "data" / "before_lv_adapter"
    recognizer = load_bundle(before / "bundle")
    again = load_bundle(save_bundle(recognizer, tmp_path / "again"))
    assert again.config == recognizer.config
    expected = recognizer.state_dict()
    assert again.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in again.state_dict().items())
