"""A whole run by the fast functions ends where the plain one does."""

from pathlib import Path
from typing import Any

import pytest
import torch

import evlora
from evlora.bundle import load_bundle
from evlora.recognizer import Recognizer

# Without Adam, which makes a step of rounding where a gradient is zero.
LEARNING = {
    "training.optimizer": "sgd",
    "training.learning_rate": 0.01,
    "training.ema": 0.9,
    "training.mixup": 0.5,
    "training.epochs": 2,
}
NETWORKS: dict[str, dict[str, Any]] = {
    "ViT": {},
    "evlora-nano with pairs in its stem": {
        "backbone.name": "evlora_nano",
        "backbone.options": {"embed_dim": 24, "depth": 2, "num_heads": 2},
    },
}


class Stop(Exception):  # noqa: N818 - it is no error
    pass


def scores(recognizer: Recognizer) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (3, 2, 3, 32, 32)
    images = [torch.randint(256, shape, generator=generator, dtype=torch.uint8) for _ in range(2)]
    with torch.inference_mode():
        return recognizer.answer(images[0], images[1])


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_with_average_and_mixup_resumed_saved_and_merged_it_ends_as_the_plain_run(
    network: str, tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    settings = {**tiny_settings, **LEARNING, **NETWORKS[network]}
    plain = evlora.train(
        "demo", overrides={**settings, "training.fast": [], "run.dir": str(tmp_path / "plain")}
    )

    def stop(line: str) -> None:
        if line.startswith("epoch   1/"):
            raise Stop

    with pytest.raises(Stop):
        evlora.train("demo", overrides=settings, report=stop)
    fast = evlora.train("demo", overrides=settings, resume=True)

    one, other = load_bundle(fast.bundle), load_bundle(plain.bundle)
    for name, tensor in other.trained_tensors().items():
        found = one.trained_tensors()[name]
        torch.testing.assert_close(found, tensor, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scores(one.eval()), scores(other.eval()), rtol=1e-4, atol=1e-4)
    merged = evlora.for_answers(one)
    assert merged is not one
    torch.testing.assert_close(scores(merged), scores(other), rtol=1e-4, atol=1e-4)
