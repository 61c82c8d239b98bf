"""What is measured for the pictures of a report, against plain arithmetic, and that they draw."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evlora.datasets import Manifest
from evlora.datasets.samples import Sample
from evlora.errors import RunError
from evlora.evaluation import Answers
from evlora.evaluation.answers import ScoredBatch, answers_of
from evlora.evaluation.figures import Confusion, bins_of, calibration_error
from evlora.recognizer import Recognizer, adapted_parts
from evlora.report.adapter_norms import adapter_norms, draw_adapter_norms
from evlora.report.calibration import draw_reliability
from evlora.report.conditions import accuracy_by_condition, draw_conditions
from evlora.report.confusion import (
    classes_to_draw,
    confused_groups,
    draw_confusion,
    matrix_for_page,
    most_confused,
)
from evlora.report.curves import draw_curves, read_curves
from evlora.report.features import draw_features, drawn_places, projected
from evlora.report.panels import chosen_places

LONG = "$a label$ of {very} many words & \\frac{signs} that goes on and on, with 数字"


@pytest.fixture
def some() -> Answers:
    labels = torch.arange(200) % 10
    logits = torch.randn(200, 10, generator=torch.Generator().manual_seed(3))
    logits[torch.arange(200), labels] += 1.5
    names = [f"s{number}" for number in range(200)]
    classes = tuple(f"class {number}" for number in range(10))
    return answers_of([ScoredBatch(names, labels, logits.log_softmax(dim=1))], classes)


def test_classes_that_are_confused_stand_together() -> None:
    confusion = np.diag(np.full(300, 10))
    for first, second in ((5, 250), (17, 123)):
        confusion[first, second] = confusion[second, first] = 8
    groups = confused_groups(confusion.tolist())
    assert sorted(number for group in groups for number in group) == list(range(300))
    together = [sorted(group) for group in groups if len(group) > 1]
    assert sorted(together) == [[5, 250], [17, 123]]


@pytest.mark.parametrize("classes", [1, 2])
def test_very_few_classes_are_one_group(classes: int) -> None:
    assert confused_groups(np.eye(classes, dtype=int).tolist()) == [list(range(classes))]


def test_the_most_frequent_mistakes_come_first() -> None:
    pairs = most_confused([[5, 3, 0], [1, 9, 0], [0, 0, 4]], ["a", "b", "c"])
    assert pairs == [("a", "b", 3, 8), ("b", "a", 1, 10)]


def test_of_ten_thousand_classes_those_of_most_mistakes_are_drawn() -> None:
    classes = 10_000
    true = np.concatenate([np.arange(classes), [7, 7, 7, 9_000]])
    predicted = np.concatenate([np.arange(classes), [8_000, 8_000, 11, 7]])
    confusion = Confusion(true, predicted, classes=classes)
    labels = [f"class {number}" for number in range(classes)]
    assert most_confused(confusion, labels, at_most=1) == [("class 7", "class 8000", 2, 4)]
    assert classes_to_draw(confusion) == [7, 11, 8_000, 9_000]
    page = matrix_for_page(confusion, labels)
    assert page["labels"] == ["class 7", "class 11", "class 8000", "class 9000"]
    assert (0, 2, 2) in page["cells"]
    assert sorted(page["orders"]["grouped"]) == [0, 1, 2, 3]


def test_of_an_epoch_that_was_repeated_the_last_figures_count(tmp_path: Path) -> None:
    for number, text in enumerate(
        (
            "epoch,step,train/loss,val/top1\n0,9,2.0,\n0,9,,0.3\n1,19,1.5,\n",
            "epoch,step,train/loss,val/top1\n1,19,1.0,\n1,19,,0.5\n",
        )
    ):
        log = tmp_path / f"logs/csv/version_{number}/metrics.csv"
        log.parent.mkdir(parents=True)
        log.write_text(text)
    curves = read_curves(tmp_path)
    assert curves == {"train/loss": [(1, 2.0), (2, 1.0)], "val/top1": [(1, 0.3), (2, 0.5)]}
    log.write_text("epoch,step,train/loss\nx,1,2\n")
    with pytest.raises(RunError, match=r"metrics\.csv: is damaged"):
        read_curves(tmp_path)


def test_adapters_that_learned_nothing_change_nothing_and_others_by_their_product(
    recognizer: Recognizer,
) -> None:
    norms = adapter_norms(recognizer)
    assert {"rgb", "event", "difference"} <= norms.keys()
    assert all(c.relative == 0 for of_it in norms.values() for c in of_it.values())
    part = adapted_parts(recognizer)["rgb"]
    layers = {n: m for n, m in part.named_modules() if hasattr(m, "lora_B") and ".blocks.0." in n}
    changed, whole = 0.0, 0.0
    with torch.no_grad():
        for layer in layers.values():
            pair_b, pair_a = layer.lora_B["default"].weight, layer.lora_A["default"].weight
            pair_b.normal_()
            product = layer.scaling["default"] * pair_b @ pair_a
            changed += float(product.square().sum())
            whole += sum(float(p.square().sum()) for p in layer.get_base_layer().parameters())
    found = adapter_norms(recognizer)
    assert found["rgb"]["block 1"].relative == pytest.approx((changed / whole) ** 0.5, rel=1e-3)
    assert found["event"]["block 1"].relative == 0
    assert found["rgb"]["block 1"].layers == len(layers)


def test_accuracy_is_counted_for_each_value_of_a_condition(some: Answers) -> None:
    samples = tuple(
        Sample(
            name,
            f"{name}.raw",
            None,
            f"class {place % 10}",
            "test",
            columns=(
                ("light", "dim" if place % 4 else "bright"),
                ("camera", "one"),
                ("file", name),
            ),
        )
        for place, name in enumerate(some.names)
    )
    manifest = Manifest("csv", Path(), some.classes, samples)
    found = accuracy_by_condition(some, manifest)
    assert list(found) == ["light"]  # one value, or one for each sample, is no condition
    assert {value: share.clips for value, share in found["light"].items()} == {
        "bright": 50,
        "dim": 150,
    }
    right = sum(share.right for share in found["light"].values())
    assert right / 200 == pytest.approx(some.is_right.mean())
    low, high = found["light"]["dim"].interval
    assert low < found["light"]["dim"].accuracy < high


def test_mistakes_are_shown_first_the_surest_before_others(some: Answers) -> None:
    places = chosen_places(some, 8)
    confidence, is_right = some.confidence, some.is_right.tolist()
    assert [is_right[place] for place in places] == [False] * 4 + [True] * 4
    wrong = [place for place in range(200) if not is_right[place]]
    assert places[0] == max(wrong, key=lambda place: float(confidence[place]))
    assert len({int(some.labels[place]) for place in places[4:]}) == 4
    assert len(chosen_places(some, 500)) == 200


def test_projections_keep_clusters_apart() -> None:
    centres = 20 * torch.eye(3, 16)
    features = torch.cat([centre + torch.randn(40, 16) for centre in centres])
    for method in ("pca", "tsne"):
        points = projected(features, method).reshape(3, 40, 2)
        middles = points.mean(axis=1)
        spread = np.linalg.norm(points - middles[:, None], axis=2).mean()
        between = np.linalg.norm(middles[0] - middles[1])
        assert between > 3 * spread, method
    assert projected(torch.ones(1, 4), "tsne").shape == (1, 2)
    assert drawn_places(7) == list(range(7))
    places = drawn_places(2000)
    assert len(set(places)) == 1000
    assert places == sorted(places) == drawn_places(2000)
    assert {place % 10 for place in places} == set(range(10))  # classes that take turns


@pytest.mark.parametrize("classes", [10, pytest.param(300, marks=pytest.mark.slow)])
def test_every_picture_draws_few_and_many_classes_with_awkward_names(
    classes: int, some: Answers, tmp_path: Path
) -> None:
    labels = [f"{number} {LONG}" for number in range(classes)]
    random = np.random.default_rng(0)
    confusion = (9 * np.eye(classes, dtype=int)) + random.integers(0, 2, (classes, classes))
    groups = confused_groups(confusion.tolist())
    draw_confusion(confusion.tolist(), labels, tmp_path / "confusion.png", groups=groups)
    points = {"together": random.normal(size=(200, 2)).astype(np.float32)}
    numbers = np.arange(200) % classes
    draw_features(points, numbers, labels, tmp_path / "features.png")
    draw_reliability(bins_of(some), calibration_error(some), tmp_path / "reliability.png")
    with Image.open(tmp_path / "confusion.png") as picture:
        # A label needs some pixels of height.
        assert picture.height > 11 * classes
    assert all(path.stat().st_size > 5_000 for path in tmp_path.glob("*.png"))


def test_curves_norms_and_conditions_draw(
    recognizer: Recognizer, some: Answers, tmp_path: Path
) -> None:
    draw_curves({"train/loss": [(1, 2.0), (2, 1.0)], "val/top1": [(1, 0.5)]}, tmp_path / "c.png")
    draw_adapter_norms(adapter_norms(recognizer), tmp_path / "n.png")
    samples = tuple(
        Sample(name, "a.raw", None, "class 0", "test", columns=((LONG, f"{LONG}{place % 2}"),))
        for place, name in enumerate(some.names)
    )
    found = accuracy_by_condition(some, Manifest("csv", Path(), some.classes, samples))
    draw_conditions(found, tmp_path / "d.png")
    assert len(list(tmp_path.glob("*.png"))) == 3
