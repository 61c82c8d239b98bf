"""The manifest: a prepared dataset's index, one line a sample, checked as a whole before use.

A prepared dataset is a folder with `dataset.json` (what it is) and `manifest.jsonl` (its samples).
The recordings stay where they are, in the source folder; paths are relative to it. A packed one
holds its clips beside these two, and its samples' paths only name what they were made of.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evlora.datasets.bucket import Bucket
from evlora.datasets.holding_out import hold_out
from evlora.datasets.plain_lines import PlainSamples
from evlora.datasets.rendering import PackedAbout
from evlora.datasets.samples import NO_SPLIT, SPLITS, Sample
from evlora.errors import DatasetError


@dataclass(frozen=True, slots=True)
class Manifest:
    """The samples of a dataset, with its classes and the folder that its files lie in."""

    layout: str
    """The layout that it was prepared from, as `evlora prepare` names it."""
    source: Path
    """The folder to which the samples' paths are relative."""
    labels: tuple[str, ...]
    """Names of the classes; a class's number is its place."""
    samples: tuple[Sample, ...] | PlainSamples
    notes: tuple[str, ...] = ()
    """What whoever prepared it should know; not stored."""
    split_source: str = ""
    """Where the split came from: `train_label.txt`, `folders train/ and test/`, `evenly chosen,
    seed 0`, … Results name it."""
    packed: PackedAbout | None = None
    """How the clips in the shards at `source` were packed; None where the files are recordings."""
    bucket: Bucket | None = None
    """What fetches the shards to `source`; None where they lie there."""
    allows_outside: bool = False
    """Whether its files may lie outside of `source`, as whoever prepared it agreed."""
    dataset: str = ""
    """What its authors call the dataset, such as N-Caltech101; empty for people's own."""
    split_name: str = ""
    """The published split, such as `eventbind`, or `even`; empty where there is one alone."""
    label_source: str = ""
    """Where the labels came from: names of folders, a list, a column."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that hold samples."""
        return tuple(self.counts)

    @property
    def counts(self) -> dict[str, int]:
        """Samples in each split."""
        if isinstance(self.samples, PlainSamples):
            return self.samples.counts
        count = Counter(sample.split for sample in self.samples)
        return {name: count[name] for name in SPLITS if name in count}

    def split(self, name: str) -> Sequence[Sample]:
        """The samples of a split.

        Raises:
            DatasetError: The dataset has none.
        """
        if isinstance(self.samples, PlainSamples):
            found = self.samples.of_split(name)
        else:
            found = [sample for sample in self.samples if sample.split == name]
        if not found:
            raise DatasetError(
                f"split {name!r}: expected one that the dataset has, with recordings in "
                f"{self.source}: it has "
                f"{', '.join(f'{n} in {split}' for split, n in self.counts.items()) or 'none'}; "
                "name one of these"
            )
        return found

    def with_validation(
        self, fraction: float, *, seed: int, apart: str | None = None
    ) -> "Manifest":
        """The manifest with a split val: its own, or else a part of train, held out evenly.

        The choice is that of `hold_out`.

        Args:
            fraction: Share of train to hold out, in [0, 1); 0 holds out nothing.
            seed: Picks the samples.
            apart: A column of the samples, no value of which is on both sides then.

        Raises:
            DatasetError: The share leaves nothing in one of the two parts, a sample lacks the
                column, or no value of it can be held out.
        """
        if "val" in self.splits or fraction == 0:
            return self
        train = self.split("train")
        held_out, how = hold_out(train, fraction, seed=seed, apart=apart, where=self.source)
        if not 0 < len(held_out) < len(train):
            of_class = Counter(sample.label for sample in train)
            alone = sum(count == 1 for count in of_class.values())
            raise DatasetError(
                f"{self.source}: expected a validation share that leaves samples on both sides, "
                f"got {fraction} of {len(train)} training samples, of which each class keeps one "
                f"({alone:,} of {len(of_class):,} classes have no other); choose another share, "
                "or data.validation_fraction=0"
            )
        origin = f"val: {fraction:g} of train, {how}, seed {seed}"
        return replace(
            self,
            split_source=f"{self.split_source}; {origin}" if self.split_source else origin,
            samples=tuple(
                replace(sample, split="val") if sample.sample in held_out else sample
                for sample in self.samples
            ),
        )

    def with_shots(self, shots: int, *, seed: int) -> "Manifest":
        """The manifest with `shots` samples of each class in train; the others are in no split.

        The choice depends on the seed and on the samples' names; with one seed, more shots are
        those of fewer and some besides.

        Args:
            shots: Training samples of each class.
            seed: Picks them.

        Raises:
            DatasetError: A class has fewer.
        """
        names: dict[str, list[str]] = {label: [] for label in self.labels}
        for sample in sorted(self.split("train"), key=lambda sample: sample.sample):
            names[sample.label].append(sample.sample)
        fewest = min(names, key=lambda label: len(names[label]))
        if len(names[fewest]) < shots:
            raise DatasetError(
                f"{self.source}: expected {shots} training samples or more of each class, "
                f"{fewest!r} has {len(names[fewest])}; set data.shots to no more than that"
            )
        generator = np.random.default_rng(seed)
        kept = {
            own[place]
            for own in names.values()
            for place in generator.permutation(len(own))[:shots]
        }
        return replace(
            self,
            samples=tuple(
                replace(sample, split=NO_SPLIT)
                if sample.split == "train" and sample.sample not in kept
                else sample
                for sample in self.samples
            ),
        )
