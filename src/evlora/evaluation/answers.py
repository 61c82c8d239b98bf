"""What a recognizer answers for each sample of a split: few numbers, however many the classes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from evlora.answering import Precision, for_answers
from evlora.clips import Batch, Modality
from evlora.datasets import AllTestViews, Manifest
from evlora.datasets.loading import InOrder, loader_options
from evlora.errors import BundleError
from evlora.messages import listed
from evlora.packing import clip_dataset
from evlora.rank_group import ALONE, Ranks
from evlora.recognizer import Recognizer

BATCH_SIZE = 16
RANKED = 5
"""Labels that are kept of each sample, the most probable first."""
NUMBERS: dict[str, Any] = {
    **{"labels": np.int64, "ranked": np.int64},
    **{"probabilities": np.float64, "surprise": np.float64},
}
"""The arrays of `Answers`."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers for N samples, in the order of the manifest."""

    names: tuple[str, ...]
    """Of the samples."""
    classes: tuple[str, ...]
    """Names of the K classes."""
    labels: NDArray[np.int64]
    """Numbers of the true classes, shape (N,)."""
    ranked: NDArray[np.int64]
    """Numbers of the most probable classes, shape (N, min(5, K))."""
    probabilities: NDArray[np.float64]
    """Of these classes, of the same shape."""
    surprise: NDArray[np.float64]
    """Negative logarithm of the true class's probability, shape (N,)."""

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Probability of the most probable class, shape (N,)."""
        return self.probabilities[:, 0]

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Whether the first label is the true one, shape (N,)."""
        return self.ranked[:, 0] == self.labels

    @property
    def is_among_first(self) -> NDArray[np.bool_]:
        """Whether the true label is among the first five, shape (N,)."""
        return (self.ranked == self.labels[:, None]).any(axis=1)

    def part(self, chosen: NDArray[Any]) -> "Answers":
        """The answers for some of the samples, by their places or by a mask."""
        places = np.arange(len(self.names))[chosen]
        return Answers(
            tuple(self.names[place] for place in places),
            self.classes,
            self.labels[places],
            self.ranked[places],
            self.probabilities[places],
            self.surprise[places],
        )

    def ranked_labels(self, place: int) -> list[tuple[str, float]]:
        """The most probable labels of the sample at this place, each with its probability."""
        pairs = zip(self.ranked[place], self.probabilities[place], strict=True)
        return [(self.classes[number], float(probability)) for number, probability in pairs]


class ScoredBatch(NamedTuple):
    """Some samples with their labels, shape (B,), and log-probabilities, shape (B, K)."""

    names: list[str]
    labels: Tensor
    scores: Tensor


def scored_batches(
    recognizer: Recognizer,
    manifest: Manifest,
    *,
    split: str,
    batch_size: int | None,
    workers: int,
    without: Modality | None,
    precision: Precision,
    corruption: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[ScoredBatch]:
    """The samples of a split with the logarithms of their classes' probabilities, on the CPU.

    The arguments are those of `evaluate`. Of several ranks each has every N-th batch of those that
    one process makes, so that the answers are the same.

    Raises:
        BundleError: The recognizer answers NaN; after the last batch.
        DatasetError: The split is empty, or only the hidden modality is left.
    """
    config = recognizer.clip_config.hiding(without).damaged_by(corruption)
    dataset = clip_dataset(manifest, split, config)
    device = next(recognizer.parameters()).device
    answering = for_answers(recognizer, precision=precision)
    views = config.test_views.count
    size = samples_of_a_batch(recognizer, batch_size)
    places = ranks.places(len(dataset), stretch=size)
    loader = DataLoader(
        AllTestViews(dataset),
        sampler=InOrder(dataset, places),
        **loader_options(batch_size=size, workers=workers),
    )
    unsound: list[str] = []
    done = 0
    for batch in cast(Iterable[Batch], loader):
        rgb, events, *_ = batch.to(device)
        with torch.inference_mode():
            scores = answering.log_probabilities(rgb, events, views=views).cpu()
        assert batch.labels is not None  # a manifest's samples have labels
        names = batch.samples[::views]
        unsound += [n for n, is_nan in zip(names, scores.isnan().any(1), strict=True) if is_nan]
        done += len(names)
        if progress is not None:
            progress(done, len(places))
        yield ScoredBatch(names, batch.labels[::views], scores)
    if unsound:
        raise BundleError(
            f"expected probabilities, the recognizer answers NaN for {len(unsound)} of "
            f"{len(places)} samples ({listed(unsound)}); try precision fp32, or train it again"
        )


def samples_of_a_batch(recognizer: Recognizer, batch_size: int | None) -> int:
    """Samples of one call of the network, each of them in all its test views.

    Args:
        recognizer: What answers.
        batch_size: Clips; None for the default.
    """
    if batch_size is None:
        batch_size = 1 if recognizer.network.depends_on_batch else BATCH_SIZE
    return max(1, batch_size // recognizer.clip_config.test_views.count)


def answers_of(batches: Iterable[ScoredBatch], classes: tuple[str, ...]) -> Answers:
    """The answers in these batches, of which the scores are not kept."""
    names: list[str] = []
    most = min(RANKED, len(classes))
    of_none = torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.float64)
    none = (of_none[0], *(one.view(0, most) for one in of_none), of_none[1])
    columns: list[tuple[Tensor, ...]] = [none]  # a rank may have no batch
    for batch in batches:
        top = batch.scores.topk(most, dim=1)
        true = batch.scores.gather(1, batch.labels[:, None])[:, 0]
        names += batch.names
        columns.append((batch.labels, top.indices, top.values.exp().double(), -true.double()))
    labels, ranked, probabilities, surprise = (
        torch.cat(column).numpy() for column in zip(*columns, strict=True)
    )
    return Answers(tuple(names), classes, labels, ranked, probabilities, surprise)


def answers_of_all(
    batches: Iterable[ScoredBatch], classes: tuple[str, ...], ranks: Ranks, *, stretch: int
) -> Answers:
    """The answers of all ranks, in the order of the manifest.

    Args:
        batches: Of this rank.
        classes: Names of the classes.
        ranks: Among which the batches were divided.
        stretch: Samples of a batch.
    """
    if ranks.size == 1:
        return answers_of(batches, classes)

    def own() -> dict[str, list[Any]]:
        answers = answers_of(batches, classes)
        return {"names": list(answers.names)} | {
            name: getattr(answers, name).tolist() for name in NUMBERS
        }

    parts = ranks.gather(own)
    columns = {
        name: ranks.in_order([part[name] for part in parts], stretch=stretch) for name in parts[0]
    }
    numbers = {name: np.array(columns[name], dtype=kind) for name, kind in NUMBERS.items()}
    return Answers(tuple(columns["names"]), classes, **numbers)
