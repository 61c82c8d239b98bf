"""The runners that tune every method alike: one budget, nothing chosen on test, resumed, shared."""

import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evlora.datasets import read_manifest
from evlora.errors import DatasetError, RecipeError, RunError

TINY = [
    "clip.size=32",
    "backbone.options={patch_size: 16, embed_dim: 24, depth: 2, num_heads: 2}",
    "training.epochs=1",
    "training.warmup_epochs=0",
]


RATES = "3e-4,2e-3,1e-2"
"""Of the table of methods; the default of the commands."""


@pytest.fixture
def tuning(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    import importlib

    monkeypatch.syspath_prepend(project_root / "benchmarks")
    yield importlib.import_module("tuning")
    for name in ("tuning", "vtab", "methods"):
        sys.modules.pop(name, None)


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """Two tasks of two classes each: dark and bright pictures, red and blue ones."""
    random = np.random.default_rng(0)
    colours = {"light": ((40, 40, 40), (200, 200, 200)), "colour": ((180, 40, 40), (40, 40, 180))}
    for task, classes in colours.items():
        for split, count in (("train", 10), ("test", 3)):
            for label, colour in enumerate(classes):
                place = tmp_path / "pictures" / task / split / f"class{label}"
                place.mkdir(parents=True)
                for number in range(count):
                    pixels = random.integers(-30, 30, (32, 32, 3)) + np.array(colour)
                    Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    table = tmp_path / "pictures" / "tasks.csv"
    table.write_text("task,folder,group\nlight,light,natural\ncolour,colour,structured\n")
    return table


def test_every_method_has_the_same_number_of_trials(tuning: ModuleType) -> None:
    budget = tuning.Budget((1e-3, 1e-2), (0.5, 2.0))
    of_lora = tuning.settings_of({"method": "lora", "alpha": 16}, budget)
    assert list(of_lora) == ["0.001-0.5", "0.001-2", "0.01-0.5", "0.01-2"]
    assert of_lora["0.01-0.5"] == {
        "model.adapter": {"method": "lora", "alpha": 8},
        "training.learning_rate": 1e-2,
    }
    of_aim = tuning.settings_of({"method": "aim", "options": {"moments": 4}}, budget)
    assert of_aim["0.001-2"]["model.adapter"]["options"] == {"moments": 4, "scale": 1.0}
    of_full = tuning.settings_of({"method": "full"}, budget)
    assert of_full["0.001-2"] == {
        "model.adapter": {"method": "full"},
        "training.learning_rate": 2e-3,
    }


def test_the_interval_is_students(tuning: ModuleType) -> None:
    tuned = tuning.Tuned("s", [0.5, 0.6, 0.7])
    assert tuned.half_interval == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    assert tuned.cell == "60.0 ± 24.8"
    assert tuning.Tuned("s", [0.5]).cell == "50.0"
    assert tuning.Tuned(failure="why").cell == "failed"


def test_ranks_and_their_critical_difference_are_demsars(
    tuning: ModuleType, tmp_path: Path
) -> None:
    import methods  # pyright: ignore[reportMissingImports]

    # The example of the paper's section 3.2.2: four classifiers on fourteen datasets.
    assert methods.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    accuracies = {"one": (0.9, 0.8, 0.8), "two": (0.5, 0.7, 0.6)}
    results = {
        (task, name): tuning.Tuned("s", [top1])
        for task, of_task in accuracies.items()
        for name, top1 in zip(("a", "b", "c"), of_task, strict=True)
    }
    ranks = methods.mean_ranks(["one", "two"], ["a", "b", "c"], results)
    assert ranks == {"a": 2.0, "b": 1.75, "c": 2.25}
    cost = {"trained": 1, "trained_percent": 1.0, "saved_mb": 1.0, "kept": 0.4, "time": 0.8}
    costs = dict.fromkeys(("lora", "lst"), cost)
    results = {("one", "lora"): tuning.Tuned("s", [0.9]), ("one", "lst"): tuning.Tuned("s", [0.8])}
    page = methods.table(["one", "two"], results, costs, tuning.Budget((1e-3,)))
    assert "| `lora` | 90.0 | – | 1.00 | 1 | 1.00 | 1.00 | 0.40 | 0.80 | yes |" in page
    assert "Mean ranks over 1 of the tasks (one)" in page
    costs = {name: {**cost, "step_ms": 7.0} for name in ("lora", "lst")}
    methods.write_log(tmp_path / "log.csv", results, costs)
    assert methods.read_log(tmp_path / "log.csv") == (results, costs)
    with pytest.raises(RecipeError, match=r"no task is called 'digit'; .*digits"):
        methods._task("digit", Path(), Path(), {})


def test_the_table_of_the_page_is_that_of_its_log(tuning: ModuleType, project_root: Path) -> None:
    import methods  # pyright: ignore[reportMissingImports]

    results, costs = methods.read_log(project_root / "docs" / "methods_log.csv")
    budget = tuning.Budget(tuning.numbers(RATES))
    made = methods.table(list(methods.SOURCES), results, costs, budget)
    assert made in (project_root / "docs" / "comparisons.md").read_text(encoding="utf-8")


def test_mistakes_are_reported_before_anything_is_trained(
    tuning: ModuleType, tmp_path: Path, tasks: Path
) -> None:
    import vtab  # pyright: ignore[reportMissingImports]

    with pytest.raises(RecipeError, match=r"no row or method is called 'lara'.*lora"):
        tuning.adapter_of("lara", {})
    with pytest.raises(DatasetError, match="found no such file"):
        vtab.tasks_of(tmp_path / "no.csv", tmp_path, "caltech101_subset", {})
    tasks.write_text("task,folder\nlight,light\n")
    with pytest.raises(DatasetError, match="columns task, folder, group, got task, folder"):
        vtab.tasks_of(tasks, tmp_path, "caltech101_subset", {})


def test_of_more_pictures_than_wanted_the_same_number_of_each_class_is_drawn(
    tuning: ModuleType, tmp_path: Path, tasks: Path
) -> None:
    root = tmp_path / "out" / "light"
    tuning.prepared(root, "image_folder", tasks.parent / "light", most_of_train=9)
    manifest = read_manifest(root)
    assert [sample.label for sample in manifest.split("train")] == ["class0"] * 4 + ["class1"] * 4
    assert len(manifest.samples) == 8 + 6  # and the whole test split
    before = (root / "manifest.jsonl").stat().st_mtime_ns
    tuning.prepared(root, "image_folder", tasks.parent / "light", most_of_train=9)
    assert (root / "manifest.jsonl").stat().st_mtime_ns == before


def test_a_folder_holds_runs_of_the_same_keys_alone(tuning: ModuleType, tmp_path: Path) -> None:
    tuning._claim(tmp_path, tuning.Task("a", "demo", {"training.epochs": 2}))
    tuning._claim(tmp_path, tuning.Task("a", "demo", {"training.epochs": 2}))
    with pytest.raises(RunError, match=r"another training\.epochs; .*training\.epochs=2"):
        tuning._claim(tmp_path, tuning.Task("a", "demo", {"training.epochs": 3}))


@pytest.mark.slow
def test_a_table_is_made_by_two_processes_and_again_without_training(
    project_root: Path, tmp_path: Path, tasks: Path
) -> None:
    script = project_root / "benchmarks" / "vtab.py"
    arguments: list[Any] = [tasks, tmp_path / "out", "--methods", "none,lora", "--seeds", "1"]
    arguments += ["--rates", "1e-3,1e-2", "--weights", "random", *TINY]
    command = [sys.executable, "-W", "ignore", str(script), *map(str, arguments)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    lines = [line for text in printed for line in text.splitlines() if line.endswith("of val")]
    assert len(lines) == len(set(lines)) == 8  # two tasks, methods and rates; none twice
    again = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert " of " not in again.partition("| method")[0]
    page = (tmp_path / "out" / "vtab.md").read_text()
    assert page.startswith("| method | light | colour | **natural** | **structured** | **mean** |")
    with (tmp_path / "out" / "vtab.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["none", "lora"] * 2
    for chosen in (tmp_path / "out" / "runs").glob("*/*/tested/*/recipe.yaml"):
        text = chosen.read_text()
        assert "validation_fraction: 0\n" in text or "validation_fraction: 0.0\n" in text
