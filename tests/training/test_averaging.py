"""The moving average: what it is, and that it is what is validated and kept."""

from pathlib import Path
from typing import Any

import pytest
import torch

import evlora
from evlora.bundle import load_bundle
from evlora.datasets import read_manifest
from evlora.errors import RecipeError
from evlora.evaluation import evaluate
from evlora.training.averaging import MovingAverage


def test_the_average_follows_by_its_decay_and_faster_in_the_first_steps() -> None:
    learned = torch.zeros(3)
    average = MovingAverage({"weight": learned}, decay=0.5)
    expected = 0.0
    for steps in (1, 2, 100):
        learned += 1
        average.follow(steps=steps)
        decay = min(0.5, (1 + steps) / (10 + steps))
        expected = decay * expected + (1 - decay) * float(learned[0])
    torch.testing.assert_close(average.tensors["weight"], torch.full((3,), expected))


def test_exchanging_twice_changes_nothing() -> None:
    learned = torch.randn(5)
    before = learned.clone()
    average = MovingAverage({"weight": learned}, decay=0.9)
    learned *= 3
    average.exchange()
    assert torch.equal(learned, before)
    average.exchange()
    assert torch.equal(learned, 3 * before)
    assert torch.equal(average.tensors["weight"], before)


def test_counts_are_taken_as_they_are() -> None:
    count = torch.tensor(1)
    average = MovingAverage({"seen": count}, decay=0.9)
    count += 6
    average.follow(steps=1)
    assert average.tensors["seen"] == 7


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_bundle_holds_the_average_and_its_accuracy(
    keep: str, tiny_settings: dict[str, Any]
) -> None:
    settings = {**tiny_settings, "training.ema": 0.9, "training.keep": keep}
    run = evlora.train("demo", overrides=settings)
    kept = load_bundle(run.bundle)
    manifest = read_manifest(settings["data.root"])
    measured = evaluate(kept, manifest, split="val").top1
    assert measured == pytest.approx(run.metrics["val_top1"])

    name = "best" if keep == "best" else "last"
    state = torch.load(Path(run.dir) / "checkpoints" / f"{name}.ckpt", weights_only=True)
    tensors = kept.learned_tensors()
    assert tensors.keys() == state["average"].keys()
    assert all(torch.equal(tensors[key], state["average"][key]) for key in tensors)
    # What was learned last is another thing, from which a resumed run goes on.
    assert any(not torch.equal(tensors[key], state["state_dict"][key]) for key in tensors)


def test_adalora_is_refused(tiny_settings: dict[str, Any]) -> None:
    settings = {**tiny_settings, "training.ema": 0.9, "model.adapter": {"method": "adalora"}}
    with pytest.raises(RecipeError, match=r"training\.ema: AdaLoRA takes ranks away"):
        evlora.train("demo", overrides=settings)
