"""Batch size and learning rate of `auto`: what is found, and where nothing can be."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import evlora
from evlora.bundle import load_bundle
from evlora.errors import RecipeError, RunError
from evlora.recipe import load_recipe
from evlora.training import finding
from evlora.training import run as running
from evlora.training.module import RecognizerModule
from evlora.training.stopping import StopSignals


def written(run: Path) -> dict[str, Any]:
    return yaml.safe_load((run / "recipe.yaml").read_text())["training"]


@pytest.mark.slow
def test_a_run_with_the_rate_found_is_that_of_the_number_and_resumes(
    own_settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(finding, "RATES", 60)
    lines: list[str] = []
    settings = {**own_settings, "training.learning_rate": "auto"}
    run = evlora.train("nano_photographs", overrides=settings, report=lines.append)
    rate = written(run.dir)["learning_rate"]
    assert 1e-6 < rate < 1
    assert lines[0] == f"training.learning_rate: {rate:g}, found in a test of 60 steps"
    assert capfd.readouterr().err == ""
    assert not [path for path in run.dir.iterdir() if path.name.startswith(".")]

    given = {**settings, "training.learning_rate": rate, "run.dir": str(tmp_path / "given")}
    same = evlora.train("nano_photographs", overrides=given)
    one, other = (load_bundle(path).learned_tensors() for path in (run.dir, same.dir))
    assert all(torch.equal(one[name], other[name]) for name in one)

    more = {**settings, "training.epochs": 3}
    lines.clear()
    evlora.train("nano_photographs", overrides=more, resume=True, report=lines.append)
    assert written(run.dir)["learning_rate"] == rate
    assert not [line for line in lines if "found" in line]


class OnGpu:
    """What is asked of a trainer whose device has a memory of its own."""

    world_size = 1
    strategy = type("Strategy", (), {"root_device": torch.device("cuda", 0)})


def limited(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *, clips: int) -> int:
    """The batch size that is found where this number of clips fits; there would be room for 8."""
    tried: list[int] = []
    step = RecognizerModule.training_step

    def training_step(self: RecognizerModule, batch: Any, batch_index: int) -> Any:
        tried.append(len(batch.samples))
        if tried[-1] > clips:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return step(self, batch, batch_index)

    monkeypatch.setattr(RecognizerModule, "training_step", training_step)
    monkeypatch.setattr(finding, "BATCHES_OF_AN_EPOCH", 1)
    recipe = load_recipe("nano_photographs", settings)
    trainer = finding.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    finding._require_findable(finding._with(recipe, batch_size="auto"), OnGpu())  # pyright: ignore
    monkeypatch.setattr(finding, "_require_findable", lambda *_: None)
    folder = Path(settings["run.dir"])
    folder.mkdir(exist_ok=True)
    asked = finding._with(recipe, batch_size="auto")
    signals = StopSignals(lambda line: None)
    found = finding.find_numbers(
        asked, trainer, folder, prepared=running._prepared, signals=signals
    )
    assert not list(folder.iterdir())
    assert max(tried) <= 8
    return found.training.clips_of_a_batch


@pytest.mark.parametrize(("clips", "found"), [(5, 4), (99, 8)])
def test_the_largest_batch_that_fits_is_found(
    clips: int, found: int, own_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert limited(own_settings, monkeypatch, clips=clips) == found


def test_where_no_clip_fits_the_run_ends(
    own_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match=r"training\.batch_size: not one clip fits"):
        limited(own_settings, monkeypatch, clips=0)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"training.batch_size": "auto"}, r"batch_size: auto looks for the end of a GPU's memory"),
        (
            {"training.learning_rate": "auto", "training.loraplus_ratio": 16},
            r"learning_rate: auto finds one rate for all layers",
        ),
        (
            {"training.learning_rate": "auto", "training.cache_features": "memory"},
            r"learning_rate: auto is found without cached features",
        ),
    ],
    ids=["cpu", "ratio", "features"],
)
def test_what_cannot_be_found_is_refused(
    keys: dict[str, Any], message: str, own_settings: dict[str, Any]
) -> None:
    with pytest.raises(RecipeError, match=rf"training\.{message}"):
        evlora.train("nano_photographs", overrides={**own_settings, **keys})


def test_several_devices_find_nothing(own_settings: dict[str, Any]) -> None:
    recipe = load_recipe("nano_photographs", {**own_settings, "training.learning_rate": "auto"})
    trainer: Any = type("Several", (OnGpu,), {"world_size": 2})
    with pytest.raises(RecipeError, match=r"found by one device, this run has 2; set a number"):
        finding._require_findable(recipe, trainer)
    with pytest.raises(RecipeError, match=r"training\.learning_rate: expected a number here"):
        recipe.training.peak_rate  # noqa: B018 - reading it raises
