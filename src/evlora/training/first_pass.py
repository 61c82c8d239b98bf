"""The pass over training clips that an adapter needs before the first step."""

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.data import DataLoader

from evlora.clips import Batch
from evlora.datasets.loading import InOrder, loader_options
from evlora.models.adapters import (
    choosing_entries,
    models_awaiting_inputs,
    models_choosing_entries,
    starting_from_inputs,
)
from evlora.recognizer import Recognizer, adapted_parts
from evlora.training.data import ClipDataModule
from evlora.training.features import FeatureDataset

MOST_CLIPS = 128
"""Clips that decide where a pair starts, or which entries are trained."""
TEMPERATURE = 0.1
"""Of the contrast of classes, as published by Khosla et al."""


def start_from_clips(
    recognizer: Recognizer,
    data: ClipDataModule,
    *,
    device: torch.device,
    report: Callable[[str], None],
) -> None:
    """Let training clips decide where pairs start (EVA), and which entries are trained (GPS).

    Nothing happens where no adapter asks for it. Every rank sees the same clips, chosen by the seed
    of the data.

    Args:
        recognizer: Untrained, before `prepare_training`.
        data: Its training clips.
        device: Where the pass is made.
        report: Takes a line about it.

    Raises:
        AdapterError: There are fewer tokens in a batch than twice an adapter's rank, or no batch
            has two clips of a class beside one of another.
    """
    adapted = adapted_parts(recognizer).values()
    waiting, choosing = models_awaiting_inputs(adapted), models_choosing_entries(adapted)
    if not waiting and not choosing:
        return
    count, loader = _chosen(data, mixed=bool(choosing))
    was_training = recognizer.training
    recognizer.to(device).eval()
    batches = (batch.to(device) for batch in loader)
    if waiting:
        report(f"adapters start from the inputs of {count} training clips")
        with starting_from_inputs(waiting), torch.no_grad():
            for batch in batches:
                recognizer.recognize(batch.rgb, batch.events)  # the reconstruction as well
    else:
        report(f"adapters choose entries by the gradients of {count} training clips")
        with choosing_entries(choosing):
            _pass_back(recognizer, batches)
    recognizer.train(was_training)


def _chosen(data: ClipDataModule, *, mixed: bool) -> tuple[int, DataLoader[Batch]]:
    """The number of clips, and the clips themselves in whole batches, of mixed classes or not."""
    clips = data.training.clips if isinstance(data.training, FeatureDataset) else data.training
    size = data.options["batch_size"]
    count = min(len(clips), MOST_CLIPS)
    if count > size:
        count -= count % size  # whole batches
    order = torch.randperm(len(clips), generator=torch.Generator().manual_seed(data.seed))
    drawn: list[int] = order[:count].tolist()
    chosen = drawn if mixed else sorted(drawn)  # the dataset's order is quicker to read
    options: Any = loader_options(batch_size=size, workers=0)
    return count, DataLoader(cast(Any, clips), sampler=InOrder(clips, chosen), **options)


def _pass_back(recognizer: Recognizer, batches: Iterable[Batch]) -> None:
    """Gather gradients of what the head will get: the head itself knows nothing yet."""
    features: list[Tensor] = []
    handle = cast(Any, recognizer.network).head.register_forward_pre_hook(
        lambda _head, given: features.append(given[0])
    )
    for batch in batches:
        output = recognizer.recognize(batch.rgb, batch.events)
        assert batch.labels is not None  # of a training split
        loss = contrast(features.pop(), batch.labels)
        (loss + sum(output.terms.values())).backward()
    handle.remove()
    recognizer.zero_grad(set_to_none=True)


def contrast(features: Tensor, labels: Tensor) -> Tensor:
    """The supervised contrastive loss (Khosla et al., NeurIPS 2020), by which GPS chooses.

    Args:
        features: Of clips, shape (B, D).
        labels: Their classes, shape (B,).

    Returns:
        A scalar; 0 where no clip has another one of its class beside it.
    """
    others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    alike = (labels[:, None] == labels) & others
    if not alike.any():
        return 0 * features.sum()
    directions = normalize(features.float(), dim=1)
    similar = (directions @ directions.T / TEMPERATURE).masked_fill(~others, -torch.inf)
    log_share = similar - similar.logsumexp(dim=1, keepdim=True)  # (B, B)
    of_each = -log_share.masked_fill(~alike, 0).sum(dim=1) / alike.sum(dim=1).clamp(min=1)
    return of_each.sum() / alike.any(dim=1).sum()
