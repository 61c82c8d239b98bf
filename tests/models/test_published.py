"""The released network, against a second reading of its description in plain formulas."""

from pathlib import Path
from typing import Any

import pytest
import torch
from published_reference import answer

from evlora import import_published, load_bundle
from evlora.bundle import Recognizer
from published_release import SMALL, checkpoint, save


def clips(batch: int, size: int = SMALL.pixels, moments: int = 3) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    shape = (batch, moments, 3, size, size)
    return tuple(torch.randn(shape, generator=generator) for _ in range(2))


def imported(content: dict[str, Any], tmp_path: Path) -> Recognizer:
    file = save(content, tmp_path / "released.pth")
    return load_bundle(import_published(file, tmp_path / "bundle"))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("batch", [1, 3])
def test_it_answers_as_the_description_says(batch: int, prefix: str, tmp_path: Path) -> None:
    content = checkpoint(prefix=prefix)
    recognizer = imported(content, tmp_path)
    rgb, events = clips(batch)
    with torch.inference_mode():
        logits, terms = recognizer(rgb, events)
        expected, loss = answer(content, rgb, events)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(terms["reconstruction"], loss, atol=1e-4, rtol=1e-4)
