"""Temperature scaling: probabilities that are as sure as they are right (Guo et al., ICML 2017)."""

import math
from pathlib import Path
from typing import Any

import torch
from scipy.optimize import minimize_scalar
from torch.nn.functional import cross_entropy

from evlora.answering import Precision
from evlora.datasets import Manifest, read_manifest
from evlora.errors import DatasetError
from evlora.evaluation.answers import scored_batches
from evlora.recognizer import Recognizer

MOST = 20.0
"""A temperature lies between its reciprocal and itself."""


def fit_temperature(
    recognizer: Recognizer,
    manifest: Manifest | str | Path,
    *,
    split: str = "val",
    batch_size: int | None = None,
    workers: int = 0,
    precision: Precision = "fp32",
) -> float:
    """The temperature at which the recognizer's probabilities fit a split best; it is set in it.

    Scores are divided by it before the softmax. The ranking of labels stays as it is, and so does
    each accuracy; `save_bundle` keeps the temperature.

    Args:
        recognizer: Gets the temperature.
        manifest: The dataset, or its folder.
        split: Samples that neither training nor the test use.
        batch_size: See `evaluate`.
        workers: Processes that read clips.
        precision: See `for_answers`.

    Raises:
        DatasetError: The split is empty, or has no wrong answer, so that no temperature fits.
    """
    if not isinstance(manifest, Manifest):
        manifest = read_manifest(manifest)
    former, recognizer.temperature = recognizer.temperature, 1.0
    try:
        batches = list(
            scored_batches(
                recognizer,
                manifest,
                split=split,
                batch_size=batch_size,
                workers=workers,
                without=None,
                precision=precision,
            )
        )
    finally:
        recognizer.temperature = former
    scores = torch.cat([batch.scores for batch in batches]).double()
    labels = torch.cat([batch.labels for batch in batches])
    if bool((scores.argmax(dim=1) == labels).all()):
        raise DatasetError(
            f"{manifest.source}: expected some wrong answers in the split {split}, which a "
            f"temperature is fitted to, all {len(labels)} are right; name a split with more samples"
        )

    def loss(logarithm: float) -> float:
        return float(cross_entropy(scores / math.exp(logarithm), labels))

    bounds = (-math.log(MOST), math.log(MOST))
    found: Any = minimize_scalar(loss, bounds=bounds, method="bounded")
    recognizer.temperature = math.exp(float(found.x))
    return recognizer.temperature
