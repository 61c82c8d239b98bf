"""What a figure on a dataset is worth: which dataset, split, labels and event images it is of."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from evlora.clips import ClipConfig
from evlora.datasets.manifest import Manifest
from evlora.messages import listed


@dataclass(frozen=True, slots=True)
class Protocol:
    """What a figure was measured on, as results state it."""

    dataset: str
    """What its authors call it, or the layout and the folder of people's own."""
    split: str
    """train, val or test."""
    samples: int
    split_name: str
    """The published split, or `even`; empty where the dataset has one alone."""
    split_source: str
    """The lists, folders or choice that gave it."""
    label_source: str
    """Where the labels came from."""
    event_source: str
    """Whether events are drawn here, and how, or the dataset's own event images; empty without
    events."""

    def as_dict(self) -> dict[str, Any]:
        """Its values, for results in JSON."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """The same for readers, without its split source."""
        by = f" of the split {self.split_name}" if self.split_name else ""
        parts = [f"{self.dataset}, {self.split}{by}, {self.samples:,} samples"]
        parts += [f"labels: {self.label_source}"] if self.label_source else []
        parts += [f"events: {self.event_source}"] if self.event_source else []
        return "; ".join(parts)

    @property
    def line(self) -> str:
        """All of it for readers, as it stands beside a table of figures."""
        return "; ".join([self.sentence, *([f"split by: {s}"] if (s := self.split_source) else [])])


def protocol_of(manifest: Manifest, split: str, clip: ClipConfig) -> Protocol:
    """What a figure on a split of a dataset is of.

    Args:
        manifest: The dataset.
        split: train, val or test.
        clip: How its clips are made.

    Raises:
        DatasetError: It has no such split.
    """
    samples = manifest.split(split)
    own = sum(sample.event_images is not None for sample in samples)
    drawn = f"drawn from events as {clip.representation}"
    if "event" not in clip.modalities:
        event_source = ""
    elif own in (0, len(samples)):
        event_source = "event images of the dataset" if own else drawn
    else:
        event_source = f"event images of the dataset in {own:,} samples, else {drawn}"
    return Protocol(
        dataset=manifest.dataset or f"{manifest.layout} {manifest.source.name}",
        split=split,
        samples=len(samples),
        split_name=manifest.split_name,
        split_source=manifest.split_source,
        label_source=manifest.label_source,
        event_source=event_source,
    )


def measured_on(figures: Iterable[tuple[str, Protocol | None]]) -> list[str]:
    """What the figures of a table are of: a line for all, or for those that have it in common.

    Args:
        figures: Name of each row and what its figure is of; None where that is not known.
    """
    names_of: dict[str, dict[str, None]] = {}
    for name, protocol in figures:
        if protocol is not None:
            names_of.setdefault(protocol.line, {})[name] = None
    if len(names_of) == 1:
        return list(names_of)
    return [f"{listed(names)}: {line}" for line, names in names_of.items()]
