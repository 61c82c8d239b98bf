"""What single keys of training change: batches, classes, rates, and when a run ends."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn.functional import cross_entropy

import evlora
from evlora.bundle import load_bundle
from evlora.clips import ClipConfig
from evlora.datasets import ClipDataset, Manifest, prepare, read_manifest
from evlora.datasets.storage import write_manifest
from evlora.errors import RecipeError
from evlora.recipe import build, load_recipe
from evlora.training import run as running
from evlora.training.data import ClipDataModule
from evlora.training.module import RecognizerModule
from evlora.training.objective import balanced_weights
from evlora.training.optimizing import make_optimizer, require_pairs
from evlora.training.ordering import EpochSampler

EVEN = {
    # No draw differs between one batch and two halves of it.
    "clip.augmentation": {"crop": 1.0, "colour": 0.0, "flip": False, "erase": 0.0},
    "model.adapter": {"method": "lora", "dropout": 0.0},
    "model.head": "linear",
    "training.mixup": 0.0,
}


def learned(folder: Path) -> dict[str, torch.Tensor]:
    return load_bundle(folder).learned_tensors()


def test_accumulated_batches_make_the_step_of_one_large_batch(
    short_settings: dict[str, Any], tmp_path: Path
) -> None:
    lines: list[str] = []
    halves = {"training.batch_size": 2, "training.accumulate": 2}
    for name, keys in (("whole", {}), ("halves", halves)):
        settings = {**short_settings, **EVEN, **keys, "run.dir": str(tmp_path / name)}
        evlora.train("nano_photographs", overrides=settings, report=lines.append)
    assert "4 clips in each step: batches of 4" in lines
    assert "4 clips in each step: batches of 2, 2 accumulated" in lines
    whole, half = learned(tmp_path / "whole"), learned(tmp_path / "halves")
    for name, tensor in whole.items():
        torch.testing.assert_close(half[name], tensor, atol=2e-4, rtol=2e-3)


def test_a_run_ends_when_validation_improves_no_more(
    own_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = [0.4, 0.6, 0.6, 0.2, 1.0, 1.0, 1.0, 1.0, 1.0]

    def validation_step(self: RecognizerModule, batch: Any, batch_index: int) -> None:
        self.log("val/loss", 1.0, batch_size=1)
        self.log("val/top1", accuracies[self.trainer.current_epoch], batch_size=1)

    monkeypatch.setattr(RecognizerModule, "validation_step", validation_step)
    lines: list[str] = []
    settings = {**own_settings, "training.epochs": 9, "training.patience": 2}
    run = evlora.train("nano_photographs", overrides=settings, report=lines.append)
    assert sum(line.startswith("epoch ") for line in lines) == 4
    assert "no better epoch in 2: the run ends (training.patience)" in lines
    assert run.metrics["val_top1"] == pytest.approx(0.6)
    # Killed before its bundle was written, it trains no further epoch.
    (run.dir / "metrics.json").unlink()
    lines.clear()
    again = evlora.train("nano_photographs", overrides=settings, resume=True, report=lines.append)
    assert not [line for line in lines if line.startswith("epoch ")]
    assert again.metrics["epoch"] == run.metrics["epoch"]


@pytest.mark.parametrize(("keep", "notes"), [("last", 1), ("best", 0)])
def test_a_run_that_may_end_past_its_best_epoch_and_keep_its_last_is_noted(
    keep: str, notes: int, short_settings: dict[str, Any]
) -> None:
    settings = {**short_settings, "training.patience": 2, "training.keep": keep}
    found = running._kept_although_worse(load_recipe("nano_photographs", settings))
    assert len(found) == notes
    assert all(
        "comes 2 after the best one; training.keep=best keeps the best one" in n for n in found
    )


def test_patience_without_validation_is_refused(
    own_settings: dict[str, Any], few_pictures: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(few_pictures)
    (tmp_path / "data").mkdir()
    samples = tuple(sample for sample in manifest.samples if sample.split != "val")
    write_manifest(replace(manifest, samples=samples), tmp_path / "data")
    keys = {"training.patience": 2, "training.keep": "last", "data.validation_fraction": 0}
    settings = {**own_settings, **keys, "data.root": str(tmp_path / "data")}
    with pytest.raises(RecipeError, match=r"training\.patience: expected a val split"):
        evlora.train("nano_photographs", overrides=settings)


def uneven(manifest: Manifest) -> Manifest:
    """Of the first class, one training sample is left."""
    first = [s for s in manifest.samples if s.split == "train" and s.label == manifest.labels[0]]
    gone = {sample.sample for sample in first[1:]}
    return replace(manifest, samples=tuple(s for s in manifest.samples if s.sample not in gone))


def test_balanced_epochs_draw_each_class_equally_often(few_pictures: Path) -> None:
    manifest = uneven(read_manifest(few_pictures))
    dataset = ClipDataset(manifest, "train", ClipConfig(modalities=("rgb",), frames=1, size=32))
    counts = dict.fromkeys(manifest.labels, 0)
    sizes = {label: sum(s.label == label for s in dataset.samples) for label in counts}
    assert sorted(sizes.values()) == [1, 6]
    weights = torch.tensor([1 / sizes[s.label] for s in dataset.samples])
    options: dict[str, Any] = {"world_size": 1, "rank": 0, "seed": 5, "batch_size": 2}
    sampler = EpochSampler(dataset, weights=weights, **options)
    orders = []
    for epoch in range(100):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
        for index in orders[-1]:
            counts[dataset.samples[index].label] += 1
    assert 280 < min(counts.values()) <= max(counts.values()) < 420
    sampler.set_epoch(7)
    assert list(sampler) == orders[7]


def test_balanced_weights_count_each_class_equally() -> None:
    labels = torch.tensor([0] * 8 + [1] * 2)
    weights = balanced_weights(torch.tensor([8, 2, 0]))
    assert weights.tolist() == [0.625, 2.5, 0]
    assert float(weights[labels].mean()) == 1
    logits = torch.randn(10, 3)
    own = [cross_entropy(logits[labels == c], labels[labels == c]) for c in (0, 1)]
    whole = cross_entropy(logits, labels, weight=weights.float())
    torch.testing.assert_close(whole, torch.stack(own).mean())


def test_imbalance_and_a_constant_modality_are_noted(short_settings: dict[str, Any]) -> None:
    recipe = load_recipe("nano_photographs", short_settings)
    data = ClipDataModule(recipe.data, recipe.clip, batch_size=4, seed=0)
    data.try_clips()
    assert data.notes == ()
    first = data.training[0]
    assert first.rgb is not None
    data._tried = [replace(first, rgb=torch.full_like(first.rgb, 255))] * 3
    data.class_counts = torch.tensor([40, 2])
    imbalance, constant = data.notes
    assert "classes have 2 to 40 training clips; data.balanced=true" in imbalance
    assert "rgb has the same value 255 everywhere in 3 training clips" in constant


def test_white_pictures_are_noted_although_augmentation_gives_each_its_own_brightness(
    short_settings: dict[str, Any], tmp_path: Path
) -> None:
    for number in range(8):
        place = tmp_path / "source" / "train" / f"class{number % 2}" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), "white").save(place)
    prepare("image_folder", tmp_path / "source", tmp_path / "dataset")
    settings = {**short_settings, "data.root": str(tmp_path / "dataset")}
    recipe = load_recipe("nano_photographs", {**settings, "clip.augmentation.colour": 0.2})
    data = ClipDataModule(recipe.data, recipe.clip, batch_size=4, seed=0)
    data.try_clips()
    assert "rgb has the same value 255 everywhere in 8 training clips" in data.notes[0]


def test_layer_decay_lowers_the_rates_of_lower_blocks(short_settings: dict[str, Any]) -> None:
    keys = {"training.layer_decay": 0.5, "training.learning_rate": 0.1}
    keys |= {"model.adapter.method": "full", "training.learning_rate_per_256": False}
    recipe = load_recipe("nano_photographs", {**short_settings, **keys})
    recognizer = build(recipe, num_classes=2)
    rates = {
        id(parameter): group["lr"]
        for group in make_optimizer(recognizer, recipe.training).param_groups
        for parameter in group["params"]
    }
    by_name = {name: rates[id(p)] for name, p in recognizer.trained_tensors().items()}
    assert len(by_name) == len(rates)
    blocks = {b: {r for n, r in by_name.items() if f".blocks.{b}." in n} for b in (0, 1)}
    assert blocks == {0: {0.025}, 1: {0.05}}
    assert {rate for name, rate in by_name.items() if "head" in name} == {0.1}
    assert {rate for name, rate in by_name.items() if "patch_embed" in name} == {0.0125}


def test_loraplus_raises_the_rate_of_the_second_half_of_each_pair(
    short_settings: dict[str, Any],
) -> None:
    keys = {"training.loraplus_ratio": 16, "training.learning_rate": 0.01}
    keys |= {"training.learning_rate_per_256": False}
    lora = {"model.adapter.method": "lora"}
    recipe = load_recipe("nano_photographs", {**short_settings, **keys, **lora})
    recognizer = build(recipe, num_classes=2)
    rates = {
        id(parameter): group["lr"]
        for group in make_optimizer(recognizer, recipe.training).param_groups
        for parameter in group["params"]
    }
    by_name = {name: rates[id(p)] for name, p in recognizer.trained_tensors().items()}
    assert len(by_name) == len(rates)
    assert {rate for name, rate in by_name.items() if "lora_B" in name} == {0.16}
    assert {rate for name, rate in by_name.items() if "lora_B" not in name} == {0.01}

    without = load_recipe("nano_photographs", {**short_settings, **keys, "model.adapter": "bitfit"})
    with pytest.raises(RecipeError, match=r"loraplus_ratio: .* bitfit has none; take lora"):
        require_pairs(build(without, num_classes=2), without.training)


def test_pairs_and_vectors_of_an_lv_adapter_learn_at_rates_of_their_own(
    short_settings: dict[str, Any],
) -> None:
    keys = {"training.loraplus_ratio": 4, "training.vector_ratio": 8}
    keys |= {"training.learning_rate": 0.01, "training.learning_rate_per_256": False}
    adapter = {"method": "lv_adapter", "options": {"vector": "both", "shift": True}}
    recipe = load_recipe("nano_photographs", {**short_settings, **keys, "model.adapter": adapter})
    recognizer = build(recipe, num_classes=2)
    rates = {
        id(parameter): group["lr"]
        for group in make_optimizer(recognizer, recipe.training).param_groups
        for parameter in group["params"]
    }
    found: dict[str, set[float]] = {}
    for name, parameter in recognizer.trained_tensors().items():
        part = name.rpartition("lv_adapter_")[2].split(".")[0]
        found.setdefault(part, set()).add(round(rates[id(parameter)], 6))
    assert found.pop("network") == {0.01}  # the head
    fast = {"vector": {0.08}, "input_vector": {0.08}, "shift": {0.08}}
    assert found == {"down": {0.01}, "up": {0.04}, **fast}

    without = load_recipe("nano_photographs", {**short_settings, **keys, "model.adapter": "lora"})
    with pytest.raises(RecipeError, match=r"vector_ratio: .* lora has none; take lv_adapter"):
        require_pairs(build(without, num_classes=2), without.training)
