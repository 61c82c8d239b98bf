"""Few training samples of each class: which, and what happens to the others."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from evlora.datasets import Manifest, read_manifest
from evlora.datasets.storage import write_manifest
from evlora.errors import DatasetError
from evlora.recipe.schema import DataConfig
from evlora.training.data import ClipDataModule
from evlora.training.opening import open_dataset


@pytest.fixture
def by_digit(tiny_dataset: Path, tmp_path: Path) -> Path:
    """The tiny dataset with ten classes of eight training samples, and no validation split."""
    manifest = read_manifest(tiny_dataset)
    samples = tuple(
        replace(s, label=s.label[0], split="test" if s.split == "test" else "train")
        for s in manifest.samples
    )
    write_manifest(replace(manifest, labels=tuple("0123456789"), samples=samples), tmp_path)
    return tmp_path


def chosen(manifest: Manifest) -> set[str]:
    return {sample.sample for sample in manifest.split("train")}


def test_each_class_gives_as_many_after_the_validation_split_is_held_out(by_digit: Path) -> None:
    data = DataConfig(root=str(by_digit), shots=3, validation_fraction=0.25)
    manifest = open_dataset(data, seed=0)
    assert Counter(sample.label for sample in manifest.split("train")) == dict.fromkeys(
        "0123456789", 3
    )
    without = open_dataset(data.model_copy(update={"shots": None}), seed=0)
    assert manifest.split("val") == without.split("val")
    assert manifest.split("test") == without.split("test")
    assert len(without.split("train")) == 45


def test_more_shots_hold_fewer_and_another_seed_picks_others(by_digit: Path) -> None:
    manifest = read_manifest(by_digit)
    two, four = (chosen(manifest.with_shots(shots, seed=1)) for shots in (2, 4))
    assert two < four
    assert chosen(manifest.with_shots(2, seed=2)) != two
    reverse = replace(manifest, samples=manifest.samples[::-1])
    assert chosen(reverse.with_shots(2, seed=1)) == two


def test_a_class_with_too_few_is_named(by_digit: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"expected 9 training samples .* has 4; set data\.shots"
    ):
        open_dataset(DataConfig(root=str(by_digit), shots=9, validation_fraction=0.01), seed=0)


def test_training_sees_only_the_chosen(by_digit: Path) -> None:
    from evlora.clips import ClipConfig

    data = DataConfig(root=str(by_digit), shots=2)
    module = ClipDataModule(data, ClipConfig(frames=2, size=32), batch_size=4, seed=0)
    seen = {name for batch in module.train_dataloader() for name in batch.samples}
    assert seen == chosen(module.manifest)
    assert len(seen) == 20


def test_a_recipe_may_keep_the_values_of_a_column_apart(by_digit: Path) -> None:
    manifest = read_manifest(by_digit)
    numbered = tuple(
        replace(s, columns=(("subject", str(number % 7)),))
        for number, s in enumerate(manifest.samples)
    )
    write_manifest(replace(manifest, samples=numbered), by_digit)
    data = DataConfig(root=str(by_digit), validation_fraction=0.25, validation_apart="subject")
    divided = open_dataset(data, seed=0)
    train, val = (
        {sample.value_of("subject") for sample in divided.split(split)}
        for split in ("train", "val")
    )
    assert val
    assert not train & val
