"""A search over keys: what is tried, that it resumes, and what it refuses."""

import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evlora.errors import RecipeError
from evlora.search import Searched, search

pytestmark = pytest.mark.skipif(find_spec("optuna") is None, reason="the extra search is missing")


@pytest.fixture
def settings(tiny_settings: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    return {
        **tiny_settings,
        "run.dir": str(tmp_path / "search"),
        "training.keep": "best",
        "training.epochs": 1,
        "training.batch_size": 40,
        "training.accelerator": "cpu",
    }


@pytest.mark.slow
def test_a_search_goes_on_where_it_was_stopped(settings: dict[str, Any], tmp_path: Path) -> None:
    over = ["training.learning_rate=1e-4..1e-2", "training.label_smoothing=0,0.1"]
    lines: list[str] = []
    search("demo", over=over, overrides=settings, trials=1, report=lines.append)
    found = search("demo", over=over, overrides=settings, trials=2, report=lines.append)
    assert [line.split(":")[0] for line in lines] == ["trial 1/1", "trial 2/2"]
    assert [one.state for one in found] == ["complete", "complete"]
    assert found[0].val_top1 is not None
    assert found[1].val_top1 is not None
    assert found[0].val_top1 >= found[1].val_top1
    assert found[0].protocol is not None
    assert (found[0].protocol.split, found[0].protocol) == ("val", found[1].protocol)
    rates = [one.keys["training.learning_rate"] for one in found]
    assert len(set(rates)) == 2
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    for one in found:
        assert (one.folder / "bundle" / "config.json").is_file()
    lines.clear()
    assert search("demo", over=over, overrides=settings, trials=2, report=lines.append) == found
    assert lines == []


@pytest.mark.parametrize("end", [SystemExit(143), KeyboardInterrupt()])
def test_a_trial_of_a_stopped_process_is_resumed_with_its_keys(
    end: BaseException, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    over = ["training.learning_rate=1e-4..1e-2"]

    def stopped(*_: Any, **__: Any) -> Any:
        raise end

    monkeypatch.setattr("evlora.search.train", stopped)
    with pytest.raises(type(end)):
        search("demo", over=over, overrides=settings, trials=1)
    trained = SimpleNamespace(metrics={"val_top1": 0.5})
    monkeypatch.setattr("evlora.search.train", lambda *_, **__: trained)
    found = search("demo", over=over, overrides=settings, trials=1)
    assert [one.state for one in found] == ["complete", "fail"]
    assert found[0].keys == found[1].keys


def test_workers_make_no_more_trials_than_asked_for_and_no_trial_twice(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*_: Any, **__: Any) -> SimpleNamespace:
        time.sleep(0.3)
        return SimpleNamespace(metrics={"val_top1": 0.5})

    monkeypatch.setattr("evlora.search.train", trained)
    over = ["training.learning_rate=1e-4..1e-2"]

    def work(_: int) -> None:
        search("demo", over=over, overrides=settings, trials=3)

    with ThreadPoolExecutor(2) as workers:
        list(workers.map(work, range(2)))
    found = search("demo", over=over, overrides=settings, trials=3)
    assert [one.state for one in found] == ["complete"] * 3
    assert len({one.folder for one in found}) == 3
    assert not list(Path(settings["run.dir"]).rglob("*.lock"))


@pytest.mark.parametrize("text", ["rate", "rate=", "rate=3", "rate=2..1", "rate=1..inf", "=1..2"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="expected a key with a range or with values"):
        Searched.parse(text)


def test_trials_without_a_best_epoch_are_refused(settings: dict[str, Any]) -> None:
    over = ["training.learning_rate=1e-4..1e-2"]
    with pytest.raises(RecipeError, match=r"training\.keep: expected best"):
        search("demo", over=over, overrides={**settings, "training.keep": "last"})


def test_a_key_that_is_none_is_refused_before_any_trial(settings: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="learning_rat"):
        search("demo", over=["training.learning_rat=1e-4..1e-2"], overrides=settings)
    assert not Path(settings["run.dir"]).exists()
