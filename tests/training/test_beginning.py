"""How runs begin: in a folder where one failed, with more epochs, from a bundle, or not at all."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger

import evlora
from evlora.bundle import load_bundle, save_bundle
from evlora.datasets import read_manifest
from evlora.datasets.manifest import Manifest
from evlora.datasets.storage import write_manifest
from evlora.errors import DatasetError, RunError
from evlora.recipe import build, load_recipe
from evlora.training import run as running
from evlora.training.starting import start

RECIPE = "nano_photographs"


def test_a_run_that_failed_before_its_first_checkpoint_does_not_block_its_folder(
    own_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RunError("no step was taken")

    with monkeypatch.context() as patch:
        patch.setattr(running, "fit", fail)
        with pytest.raises(RunError, match="no step was taken"):
            evlora.train(RECIPE, overrides=own_settings)
    folder = Path(own_settings["run.dir"])
    assert (folder / "recipe.yaml").is_file()

    changed = {**own_settings, "training.epochs": 1, "training.learning_rate": 1e-4}
    assert evlora.train(RECIPE, overrides=changed).bundle.is_dir()
    with pytest.raises(RunError, match="holds a run; resume it with --resume"):
        evlora.train(RECIPE, overrides=changed)


def test_a_folder_with_files_of_others_stays_refused(own_settings: dict[str, Any]) -> None:
    folder = Path(own_settings["run.dir"])
    folder.mkdir()
    (folder / "notes.txt").touch()
    with pytest.raises(RunError, match=r"found other things in it: notes\.txt; choose"):
        evlora.train(RECIPE, overrides=own_settings)


def test_a_finished_run_is_resumed_with_more_epochs(
    calm_run: Path, own_settings: dict[str, Any]
) -> None:
    folder = Path(own_settings["run.dir"])
    shutil.copytree(calm_run, folder)
    lines: list[str] = []
    more = {**own_settings, "training.epochs": 3}
    run = evlora.train(RECIPE, overrides=more, resume=True, report=lines.append)
    assert [line.split()[1] for line in lines if line.startswith("epoch")] == ["3/3"]
    described = json.loads((run.bundle / "config.json").read_text(encoding="utf-8"))
    assert described["recipe"]["training"]["epochs"] == 3

    lines.clear()
    evlora.train(RECIPE, overrides=more, resume=True, report=lines.append)
    assert lines == [f"{folder} holds a finished run; nothing is left to do"]
    for key, value in (("training.epochs", 2), ("training.learning_rate", 1e-4)):
        with pytest.raises(RunError, match=f"{key} was "):
            evlora.train(RECIPE, overrides={**more, key: value}, resume=True)


def test_an_extension_that_is_killed_is_not_taken_for_finished(
    calm_run: Path, own_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(own_settings["run.dir"])
    shutil.copytree(calm_run, folder)

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "fit", fail)
    more = {**own_settings, "training.epochs": 3}
    for _ in range(2):  # a second call resumes: it does not find a finished run
        with pytest.raises(KeyboardInterrupt):
            evlora.train(RECIPE, overrides=more, resume=True)


def test_a_run_begins_with_the_weights_of_a_bundle(
    calm_run: Path, own_settings: dict[str, Any]
) -> None:
    former = load_bundle(calm_run)
    recipe = load_recipe(RECIPE, {**own_settings, "training.start_from": calm_run, "run.seed": 5})
    lines: list[str] = []
    begun = start(recipe, former.labels, lines.append)
    assert lines == []
    assert begun.learned_tensors().keys() == former.learned_tensors().keys()
    for name, tensor in former.state_dict().items():
        assert torch.equal(begun.state_dict()[name], tensor), name

    others = start(recipe, ("a", "b", "c"), lines.append)
    assert "the head begins anew" in lines[0]
    for name, tensor in others.learned_tensors().items():
        if not name.startswith("network.head."):
            assert torch.equal(tensor, former.learned_tensors()[name]), name


def test_a_run_begins_with_the_ranks_that_adalora_has_kept(
    own_settings: dict[str, Any], tmp_path: Path
) -> None:
    keys = {**own_settings, "model.adapter": {"method": "adalora", "rank": 2}}
    torch.manual_seed(0)
    former = build(RECIPE, num_classes=3, overrides=keys)
    values = [tensor for name, tensor in former.named_parameters() if "lora_E" in name]
    with torch.no_grad():
        for tensor in former.trained_tensors().values():
            tensor.add_(0.05 * torch.randn_like(tensor))
        for number, value in enumerate(values):
            value[: number % len(value)] = 0
    bundle = save_bundle(former, tmp_path / "bundle")
    recipe = load_recipe(RECIPE, {**keys, "training.start_from": bundle})
    begun = start(recipe, former.labels, print)
    clip = torch.randn(1, recipe.clip.frames, 3, *recipe.clip.size_px)
    with torch.inference_mode():
        torch.testing.assert_close(begun.eval()(clip).logits, former.eval()(clip).logits)
    ranks = {p.shape[0] for name, p in begun.named_parameters() if "lora_E" in name}
    assert ranks == {3}  # the budget is spent anew


def test_a_start_from_another_network_is_refused_by_its_keys(
    calm_run: Path, own_settings: dict[str, Any]
) -> None:
    keys = {**own_settings, "training.start_from": calm_run}
    with pytest.raises(RunError, match=r"adapter\.method was lora, is dora.*; set these keys"):
        evlora.train(RECIPE, overrides={**keys, "model.adapter": "dora"})
    with pytest.raises(RunError, match=r"network; model\.adapter\.rank was \d+, is 1; set these"):
        evlora.train(RECIPE, overrides={**keys, "model.adapter.rank": 1})
    with pytest.raises(RunError, match=r"clip\.size was 32, is 48"):
        evlora.train(RECIPE, overrides={**keys, "clip.size": 48})
    assert not (Path(own_settings["run.dir"]) / "recipe.yaml").exists()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"clip.modalities": ["event"]}, r"found no events; .* clip\.modalities"),
        ({"clip.modalities": ["rgb", "event"]}, r"found no events; .* clip\.modalities=\[rgb\]"),
    ],
)
def test_what_the_samples_lack_is_refused_before_a_network_is_built(
    keys: dict[str, Any], words: str, own_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object) -> None:
        pytest.fail("a network was built")

    monkeypatch.setattr(running, "start", build)
    with pytest.raises(DatasetError, match=words):
        evlora.train(RECIPE, overrides={**own_settings, **keys})
    assert not (Path(own_settings["run.dir"]) / "recipe.yaml").exists()


def test_the_one_sample_that_lacks_a_modality_is_found(
    tiny_dataset: Path, few_pictures: Path, own_settings: dict[str, Any], tmp_path: Path
) -> None:
    both = read_manifest(tiny_dataset)
    picture = next(few_pictures.parent.rglob("*.png"))
    lacking = replace(both.split("train")[7], events=None, frames=str(picture))
    samples = tuple(lacking if one.sample == lacking.sample else one for one in both.samples)
    write_manifest(replace(both, samples=samples, allows_outside=True), tmp_path)
    keys = {**own_settings, "data.root": str(tmp_path), "clip.modalities": ["rgb", "event"]}
    with pytest.raises(DatasetError, match=f"sample {lacking.sample}: .*found no events"):
        evlora.train(RECIPE, overrides={**keys, "model": {"network": "velora"}})


def test_one_class_is_refused(
    few_pictures: Path, own_settings: dict[str, Any], tmp_path: Path
) -> None:
    manifest = read_manifest(few_pictures)
    label = manifest.labels[0]
    samples = tuple(sample for sample in manifest.samples if sample.label == label)
    write_manifest(Manifest("csv", manifest.source, (label,), samples), tmp_path)
    with pytest.raises(DatasetError, match="expected 2 classes or more to tell apart, got class0"):
        evlora.train(RECIPE, overrides={**own_settings, "data.root": str(tmp_path)})


def test_a_moved_dataset_is_found_with_the_option_that_the_message_names(
    few_pictures: Path, own_settings: dict[str, Any], tmp_path: Path
) -> None:
    manifest = read_manifest(few_pictures)
    moved = Manifest("csv", tmp_path / "gone", manifest.labels, manifest.samples)
    (tmp_path / "dataset").mkdir()
    write_manifest(moved, tmp_path / "dataset")
    keys = {**own_settings, "data.root": str(tmp_path / "dataset")}
    with pytest.raises(DatasetError, match=r"data\.source=FOLDER to train .*--source FOLDER"):
        evlora.train(RECIPE, overrides=keys)
    keys["data.source"] = str(manifest.source)
    assert evlora.train(RECIPE, overrides={**keys, "training.epochs": 1}).bundle.is_dir()


class _Steps(Callback):
    def __init__(self) -> None:
        self.seen = 0

    def on_train_batch_end(self, *_: object) -> None:
        self.seen += 1


class _Rows(Logger):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    name = version = "rows"

    def log_hyperparams(self, *_: object, **__: object) -> None:
        """Nothing."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Keep them."""
        self.rows.append(metrics)


def test_loggers_callbacks_and_devices_may_be_given(own_settings: dict[str, Any]) -> None:
    steps, rows = _Steps(), _Rows()
    keys = {**own_settings, "training.epochs": 1, "training.accelerator": "gpu"}
    run = evlora.train(
        RECIPE, overrides=keys, loggers=[rows], callbacks=steps, devices="cpu", report=None
    )
    assert steps.seen == 3
    assert any("val/top1" in row for row in rows.rows)
    assert (run.dir / "logs" / "csv").is_dir()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"devices": 0}, "devices: expected auto, cpu, cuda"),
        ({"devices": "gpu:1:2"}, "devices: expected auto, cpu, cuda"),
        ({"devices": [0, "a"]}, "devices: expected auto, cpu, cuda"),
        ({"loggers": ["wandb"]}, "loggers: expected objects of lightning.pytorch's Logger"),
        ({"callbacks": [print]}, "callbacks: expected objects of lightning.pytorch's Callback"),
    ],
)
def test_what_is_no_logger_callback_or_device_is_refused(
    given: dict[str, Any], words: str, own_settings: dict[str, Any]
) -> None:
    with pytest.raises(RunError, match=words):
        evlora.train(RECIPE, overrides=own_settings, **given)
    assert not Path(own_settings["run.dir"]).exists()


def test_a_run_reports_how_many_layers_its_names_match(own_settings: dict[str, Any]) -> None:
    lines: list[str] = []
    keys = {
        **own_settings,
        "training.epochs": 1,
        "model.adapter": {"method": "lora", "target_modules": ["fc1", "attn.qkv"]},
    }
    evlora.train(RECIPE, overrides=keys, report=lines.append)
    assert "note: layers that model.adapter.target_modules names: 4 in backbone" in lines
