"""The pass over training clips that an adapter needs before the first step."""

from collections.abc import Callable

import torch
from torch.utils.data import DataLoader

from evlora.datasets.loading import InOrder, loader_options
from evlora.models.adapters import models_awaiting_inputs, starting_from_inputs
from evlora.recognizer import Recognizer, adapted_parts
from evlora.training.data import ClipDataModule
from evlora.training.features import FeatureDataset

MOST_CLIPS = 128
"""Clips whose inputs decide where a pair starts."""


def start_from_clips(
    recognizer: Recognizer,
    data: ClipDataModule,
    *,
    device: torch.device,
    report: Callable[[str], None],
) -> None:
    """Let what the adapted layers see of training clips decide where their pairs start.

    Nothing happens where no adapter asks for it (`init: eva` of LoRA). Every rank sees the same
    clips, chosen by the seed of the data.

    Args:
        recognizer: Untrained, before `prepare_training`.
        data: Its training clips.
        device: Where the pass is made.
        report: Takes a line about it.

    Raises:
        AdapterError: There are fewer tokens in a batch than twice an adapter's rank.
    """
    waiting = models_awaiting_inputs(adapted_parts(recognizer).values())
    if not waiting:
        return
    clips = data.training.clips if isinstance(data.training, FeatureDataset) else data.training
    size = data.options["batch_size"]
    count = min(len(clips), MOST_CLIPS)
    if count > size:
        count -= count % size  # whole batches
    order = torch.randperm(len(clips), generator=torch.Generator().manual_seed(data.seed))
    chosen = sorted(order[:count].tolist())
    report(f"adapters start from the inputs of {count} training clips")
    loader = DataLoader(
        clips, sampler=InOrder(clips, chosen), **loader_options(batch_size=size, workers=0)
    )
    was_training = recognizer.training
    recognizer.to(device).eval()
    with starting_from_inputs(waiting), torch.no_grad():
        for batch in loader:
            moved = batch.to(device)
            recognizer.answer(moved.rgb, moved.events)
    recognizer.train(was_training)
