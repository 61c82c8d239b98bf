"""The table of published datasets: a source for every fact, and layouts that there are."""

import json
from pathlib import Path

import pytest
from command import Command

from evlora.datasets.known import FACTS, described, known_datasets, page
from evlora.datasets.layouts import LAYOUTS
from evlora.errors import DatasetError


def test_every_fact_names_a_source_that_is_listed() -> None:
    known = known_datasets()
    used: set[str] = set()
    for name, dataset in known.datasets.items():
        assert set(dataset.facts) <= set(FACTS), name
        stated = [*dataset.facts.values(), *dataset.notes, *dataset.figures]
        assert stated, name
        for fact in stated:
            assert known.sources.get(fact.source), f"{name}: {fact}"
            used.add(fact.source)
    assert used == set(known.sources)


def test_every_layout_of_events_that_others_publish_is_known() -> None:
    layouts = {dataset.layout for dataset in known_datasets().datasets.values()} - {None}
    rows = {row.name: row for row in LAYOUTS}
    assert layouts <= set(rows)
    images = {"cifar100", "svhn", "food101", "hmdb51", "something_something_v2"}
    assert {row.name for row in LAYOUTS if row.dataset} - images == layouts
    for name, dataset in known_datasets().datasets.items():
        assert dataset.layout is None or rows[dataset.layout].dataset == name


def test_the_page_of_the_docs_is_made_from_the_table(project_root: Path) -> None:
    assert (project_root / "docs" / "known-datasets.md").read_text(encoding="utf-8") == page()


def test_the_command_shows_one_dataset_with_its_sources(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evlora = Command(monkeypatch, capsys)
    assert len(evlora("datasets").stdout.splitlines()) == 3 + len(known_datasets().datasets)
    shown = evlora("datasets", "ncaltech101").stdout
    assert "95.29 % EventBind: split eventbind" in shown
    assert "[github.com/jiazhou-garland/EventBind at 2ac998d, Dataloader/]" in shown
    assert json.loads(evlora("datasets", "N-Cars", "--json").stdout) == described("ncars")
    assert evlora("datasets", "--markdown").stdout == page()


def test_an_unknown_dataset_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(DatasetError, match=r"'N-Caltech'.*N-Caltech101"):
        described("N-Caltech")
