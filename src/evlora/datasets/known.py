"""What is known of published datasets: a table with a source for every fact, in `known.yaml`."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from pydantic import Field

from evlora.config import Config
from evlora.errors import DatasetError
from evlora.escaping import markdown
from evlora.messages import suggestion
from evlora.untrusted_yaml import parse_yaml

FACTS = ("classes", "samples", "modalities", "size", "published", "licence")
"""What is stated of a dataset, in this order, where somebody states it."""


class Fact(Config):
    """Something that is stated of a dataset."""

    value: str
    source: str
    """Key of the source."""


class Figure(Config):
    """An accuracy that somebody reports."""

    method: str
    top1: float = Field(gt=0, le=100)
    """Per cent."""
    protocol: str
    """Split and pictures, as far as they are stated."""
    source: str


class KnownDataset(Config):
    """A published dataset."""

    layout: str | None = None
    """The layout that reads it; None where none does."""
    splits: tuple[str, ...] = ()
    """Names that `split=` takes, the usual one first, or what else gives the split."""
    facts: Mapping[str, Fact]
    """Of `FACTS`, those that are stated."""
    figures: tuple[Figure, ...] = ()
    notes: tuple[Fact, ...] = ()
    """What one should know before comparing a figure."""

    def stated(self, name: str) -> str:
        """A fact, or empty."""
        return self.facts[name].value if name in self.facts else ""


class Known(Config):
    """The whole table."""

    datasets: Mapping[str, KnownDataset]
    sources: Mapping[str, str]


@cache
def known_datasets() -> Known:
    """The table that ships with evlora."""
    text = resources.files("evlora.datasets").joinpath("known.yaml").read_text("utf-8")
    return Known.model_validate(parse_yaml(text))


def known_dataset(name: str) -> tuple[str, KnownDataset]:
    """The dataset with this name, or that this layout reads.

    Raises:
        DatasetError: There is none.
    """
    datasets = known_datasets().datasets
    for title, dataset in datasets.items():
        if name.lower() in (title.lower(), dataset.layout):
            return title, dataset
    nearest = suggestion(name, datasets, listing="evlora datasets")
    raise DatasetError(f"nothing is known of a dataset called {name!r}; {nearest}")


def described(name: str) -> dict[str, Any]:
    """Everything that is known of a dataset as plain values, with sources in full.

    Raises:
        DatasetError: Nothing is.
    """
    title, dataset = known_dataset(name)
    sources = known_datasets().sources

    def with_source(fact: Fact | Figure) -> dict[str, Any]:
        return {**fact.model_dump(), "source": sources[fact.source]}

    return {
        "dataset": title,
        "layout": dataset.layout,
        "splits": list(dataset.splits),
        "facts": {key: with_source(dataset.facts[key]) for key in FACTS if key in dataset.facts},
        "figures": [with_source(figure) for figure in dataset.figures],
        "notes": [with_source(note) for note in dataset.notes],
    }


def page() -> str:
    """The documentation's page of all datasets, in Markdown."""
    known = known_datasets()
    lines = [
        "# Known datasets",
        "",
        "What authors and others state of published datasets, by `evlora datasets`; its file is",
        "`src/evlora/datasets/known.yaml`, and `evlora datasets --markdown` writes this page. Each",
        "fact has its source in brackets; what is empty is not stated, or was not found. evlora",
        "downloads none of them. Figures are those of the sources, none was measured here.",
        "",
        "| dataset | classes | samples | modalities | `layout` | `split=` |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {_cell(one.stated('classes'))} | {_cell(one.stated('samples'))} "
        f"| {_cell(one.stated('modalities'))} | {_code(one.layout)} | {', '.join(one.splits)} |"
        for name, one in known.datasets.items()
    ]
    for name in known.datasets:
        lines += ["", f"## {name}", "", *_section(described(name))]
    return "\n".join(lines) + "\n"


def _section(one: Mapping[str, Any]) -> list[str]:
    lines = [
        f"- {key.capitalize()}: {_cell(fact['value'])} [{_cell(fact['source'])}]"
        for key, fact in one["facts"].items()
    ]
    lines += [f"- {_cell(note['value'])} [{_cell(note['source'])}]" for note in one["notes"]]
    if one["figures"]:
        lines += ["", "| method | top-1, % | protocol | source |", "|---|---:|---|---|"]
        lines += [
            f"| {_cell(figure['method'])} | {figure['top1']:.2f} | {_cell(figure['protocol'])} "
            f"| {_cell(figure['source'])} |"
            for figure in one["figures"]
        ]
    return lines


def _cell(text: str) -> str:
    return markdown(text)


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""
