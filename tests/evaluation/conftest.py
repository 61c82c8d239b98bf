"""Answers of made-up recognizers, for tests of figures."""

from collections.abc import Callable

import pytest
import torch

from evlora.evaluation import Answers
from evlora.evaluation.answers import ScoredBatch, answers_of

Drawn = tuple[Answers, torch.Tensor, torch.Tensor]


@pytest.fixture
def draw() -> Callable[..., Drawn]:
    """Answers of a recognizer that is right more often than not, with its scores and labels."""

    def make(samples: int = 400, classes: int = 7, *, seed: int = 0, skill: float = 2.0) -> Drawn:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(0, classes, (samples,), generator=generator)
        logits = torch.randn(samples, classes, generator=generator)
        logits[torch.arange(samples), labels] += skill
        scores = logits.log_softmax(dim=1)
        names = [f"s{number}" for number in range(samples)]
        batches = [
            ScoredBatch(names[i : i + 64], labels[i : i + 64], scores[i : i + 64])
            for i in range(0, samples, 64)
        ]
        return answers_of(batches, tuple(f"c{i}" for i in range(classes))), scores, labels

    return make
