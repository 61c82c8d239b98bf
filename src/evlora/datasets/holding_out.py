"""Which samples of a dataset are held out, to test with or to validate with."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from evlora.datasets.samples import Sample
from evlora.errors import DatasetError
from evlora.messages import listed


def hold_out(
    samples: Sequence[Sample], fraction: float, *, seed: int, apart: str | None, where: object
) -> tuple[set[str], str]:
    """Names of about a share of the samples, and how they were chosen, in words.

    Args:
        samples: Whom to choose from.
        fraction: The share, in (0, 1).
        seed: Picks them.
        apart: A column of which no value is both in what is held out and in what is left; None
            takes the share of each class.
        where: What they are of, for messages.

    Raises:
        DatasetError: A sample lacks the column, or no value of it can be held out.
    """
    if apart is None:
        return choose_evenly(samples, fraction, seed=seed), "evenly chosen"
    for sample in samples:
        if not sample.value_of(apart):
            columns = listed(sorted(dict(sample.columns)), none="none")
            raise DatasetError(
                f"{where}: expected each sample to have a value of {apart!r}, {sample.sample} has "
                f"none (its columns: {columns}); name a column that all of them have"
            )
    held_out = choose_apart(samples, apart, fraction, seed=seed)
    if not held_out:
        values = len({sample.value_of(apart) for sample in samples})
        raise DatasetError(
            f"{where}: expected values of {apart!r} of which some can be held out, together about "
            f"{fraction:g} of {len(samples):,} samples, so that each class keeps one; of its "
            f"{values:,} none can; choose another share or another column"
        )
    return held_out, f"no {apart} on both sides"


def choose_evenly(samples: Sequence[Sample], fraction: float, *, seed: int) -> set[str]:
    """Names of a share of the samples, each class giving its part and keeping one at least.

    The choice depends on the seed and on the samples' names and labels, not on their order.

    Args:
        samples: Whom to choose from.
        fraction: The share, in (0, 1); one sample is chosen at least where a class can spare it.
        seed: Picks the samples.
    """
    by_label: dict[str, list[str]] = {}
    for sample in sorted(samples, key=lambda sample: sample.sample):
        by_label.setdefault(sample.label, []).append(sample.sample)
    names = sorted(by_label)
    shares = np.array([fraction * len(by_label[name]) for name in names])
    counts = np.floor(shares).astype(int)
    missing = max(1, round(fraction * len(samples))) - int(counts.sum())
    for place in np.argsort(counts - shares, kind="stable")[: max(0, missing)]:
        counts[place] += 1
    generator = np.random.default_rng(seed)
    chosen: set[str] = set()
    for name, count in zip(names, counts, strict=True):
        order = generator.permutation(len(by_label[name]))
        most = min(int(count), len(order) - 1)
        chosen |= {by_label[name][place] for place in order[:most]}
    return chosen


def choose_apart(samples: Sequence[Sample], column: str, fraction: float, *, seed: int) -> set[str]:
    """Names of about a share of the samples, those of a value of a column all or none.

    Values, such as persons, are taken in the seed's order where that brings the classes nearer to
    their shares and leaves each class a sample; empty where none can be taken so.

    Args:
        samples: Whom to choose from; each has the column.
        column: Of the samples, as `Sample.value_of` takes it.
        fraction: The share, in (0, 1).
        seed: Orders the values.
    """
    counts = Counter(sample.label for sample in samples)
    by_value: dict[str, list[Sample]] = {}
    for sample in samples:
        by_value.setdefault(sample.value_of(column) or "", []).append(sample)
    values = sorted(by_value)
    chosen: set[str] = set()
    held: Counter[str] = Counter()

    def distance(counted: Counter[str]) -> float:
        return sum(abs(counted[label] - fraction * count) for label, count in counts.items())

    for place in np.random.default_rng(seed).permutation(len(values)):
        own = by_value[values[place]]
        added = held + Counter(sample.label for sample in own)
        leaves_one = all(added[label] < count for label, count in counts.items())
        if leaves_one and distance(added) < distance(held):
            held = added
            chosen |= {sample.sample for sample in own}
    return chosen
