"""The loss of scores, and the weights of classes in it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def mean_cross_entropy(scores: Tensor, targets: Tensor, objective: Mapping[str, Any]) -> Tensor:
    """The mean over clips, also of weighted ones.

    torch divides by the weights in the batch instead, so that several ranks would learn otherwise
    than one process with all their clips.
    """
    if "weight" not in objective:
        return cross_entropy(scores, targets, **objective)
    return cross_entropy(scores, targets, reduction="none", **objective).mean()


def balanced_weights(class_counts: Tensor) -> Tensor:
    """Weights by which all classes that have clips count equally, with a mean of 1 over clips.

    Args:
        class_counts: Clips of each class, shape (K,); the weight of one without is 0.
    """
    counts = class_counts.double()
    weights = counts.sum() / (counts.clamp(min=1) * (counts > 0).sum())
    return torch.where(counts > 0, weights, 0.0)
