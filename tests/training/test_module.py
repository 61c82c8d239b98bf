"""The objective and the optimizer, against plain arithmetic."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import cross_entropy, log_softmax

from evlora.clips import Batch
from evlora.recipe import build
from evlora.recipe.schema import TrainingConfig
from evlora.recognizer import Recognizer
from evlora.training.mixing import blend_clips
from evlora.training.module import RecognizerModule
from evlora.training.optimizing import make_optimizer


@pytest.fixture
def recognizer(tiny_settings: dict[str, Any]) -> Recognizer:
    changes = {
        "model.adapter.dropout": 0.0,
        "model.shared_adapter.dropout": 0.0,
        "model.reconstruction": True,
    }
    return build("demo", num_classes=4, overrides={**tiny_settings, **changes})


@pytest.fixture
def batch() -> Batch:
    rgb, events = (torch.randint(0, 256, (3, 2, 3, 32, 32), dtype=torch.uint8) for _ in range(2))
    return Batch(rgb, events, torch.tensor([2, 0, 3]), ["a", "b", "c"])


def loss_of(recognizer: Recognizer, batch: Batch, **settings: object) -> torch.Tensor:
    config = TrainingConfig.model_validate(settings)
    torch.manual_seed(5)
    return RecognizerModule(recognizer, config, seed=0).loss(batch)


def test_the_loss_is_cross_entropy_and_the_weighed_reconstruction(
    recognizer: Recognizer, batch: Batch
) -> None:
    logits, terms, _ = recognizer.recognize(batch.rgb, batch.events)
    expected = cross_entropy(logits, batch.labels) + 0.3 * terms["reconstruction"]
    torch.testing.assert_close(loss_of(recognizer, batch, reconstruction_weight=0.3), expected)


def test_each_view_has_a_cross_entropy_of_its_own(recognizer: Recognizer, batch: Batch) -> None:
    logits, _, by_view = recognizer.recognize(batch.rgb, batch.events)
    assert set(by_view) == {"rgb", "event"}
    own = [cross_entropy(scores, batch.labels) for scores in by_view.values()]
    expected = cross_entropy(logits, batch.labels) + 0.5 * sum(own)
    got = loss_of(recognizer, batch, view_weight=0.5, reconstruction_weight=0)
    torch.testing.assert_close(got, expected)
    # Beside mixed labels as well, and not where it is absent.
    mixed = loss_of(recognizer, batch, view_weight=0.5, mixup=0.8)
    assert mixed > loss_of(recognizer, batch, mixup=0.8)


def test_each_view_may_learn_by_itself(recognizer: Recognizer, batch: Batch) -> None:
    by_view = recognizer.recognize(batch.rgb, batch.events).by_view
    expected = sum(cross_entropy(scores, batch.labels) for scores in by_view.values())
    alone = {"view_weight": 1, "joint_weight": 0, "reconstruction_weight": 0}
    torch.testing.assert_close(loss_of(recognizer, batch, **alone), expected)


def test_the_sum_may_have_the_last_word(recognizer: Recognizer) -> None:
    config = TrainingConfig(view_weight=0.5, view_weight_end=0.1)
    module = RecognizerModule(recognizer, config, seed=0)
    module.total_steps = 8
    weights = [module.view_weight(step) for step in (0, 4, 8)]
    assert weights == pytest.approx([0.5, 0.3, 0.1])
    constant = RecognizerModule(recognizer, TrainingConfig(view_weight=0.5), seed=0)
    assert constant.view_weight(3) == 0.5


def test_something_learns_from_the_labels(recognizer: Recognizer, batch: Batch) -> None:
    with pytest.raises(ValidationError, match="view_weight above 0, from which view_weight_end: 1"):
        TrainingConfig(view_weight_end=1)
    with pytest.raises(ValidationError, match="joint_weight or view_weight above 0"):
        loss_of(recognizer, batch, joint_weight=0)


def test_the_weight_of_the_sum_changes_nothing_for_one_modality(batch: Batch) -> None:
    settings = {"clip.modalities": ["rgb"], "clip.size": 32, "backbone.weights": "random"}
    single = build("demo", num_classes=4, overrides=settings)
    plain = loss_of(single, batch)
    assert loss_of(single, batch, view_weight=1, joint_weight=0) == plain


def test_smoothing_gives_every_class_its_share(recognizer: Recognizer, batch: Batch) -> None:
    logits = recognizer.recognize(batch.rgb, batch.events).logits
    shares = torch.full((3, 4), 0.1 / 4)
    shares[range(3), batch.labels] += 0.9
    expected = -(shares * log_softmax(logits, dim=1)).sum(dim=1).mean()
    got = loss_of(recognizer, batch, label_smoothing=0.1, reconstruction_weight=0)
    torch.testing.assert_close(got, expected)


def test_mixup_blends_both_modalities_and_the_labels_alike() -> None:
    rgb, labels = torch.randn(6, 2, 3, 4, 4), torch.arange(6)
    (mixed_rgb, mixed_events), shares = blend_clips(
        [rgb, 10 * rgb], labels, strength=0.8, num_classes=6
    )
    assert mixed_rgb is not None
    assert mixed_events is not None
    torch.testing.assert_close(mixed_events, 10 * mixed_rgb)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(6))
    # The shares say of which clips a blend is made, and in what proportion.
    torch.testing.assert_close(mixed_rgb, torch.einsum("bk,k...->b...", shares, rgb))
    own = shares.diagonal()
    assert len(own[own < 1].unique()) == 1
    (_, nothing), _ = blend_clips([rgb, None], labels, strength=0.8, num_classes=6)
    assert nothing is None


def test_mixup_of_a_clip_with_itself_changes_nothing(recognizer: Recognizer, batch: Batch) -> None:
    assert batch.rgb is not None
    assert batch.events is not None
    assert batch.labels is not None
    alone = Batch(batch.rgb[:1], batch.events[:1], batch.labels[:1], ["a"])
    torch.testing.assert_close(
        loss_of(recognizer, alone, mixup=0.8), loss_of(recognizer, alone), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(("world_size", "rate"), [(1, 0.1 * 64 / 256), (4, 0.1)])
def test_a_rate_per_256_grows_with_the_clips_in_a_step(
    world_size: int, rate: float, recognizer: Recognizer
) -> None:
    config = TrainingConfig(
        optimizer="sgd", learning_rate=0.1, learning_rate_per_256=True, batch_size=64
    )
    optimizer = make_optimizer(recognizer, config, world_size=world_size)
    assert isinstance(optimizer, torch.optim.SGD)
    assert all(group["lr"] == pytest.approx(rate) for group in optimizer.param_groups)
    assert {group["momentum"] for group in optimizer.param_groups} == {0.9}


def test_what_is_trained_is_optimised_once_and_only_matrices_decay(
    recognizer: Recognizer,
) -> None:
    optimizer = make_optimizer(recognizer, TrainingConfig(weight_decay=0.05))
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    trained = recognizer.trained_tensors().values()
    assert decay == {id(p): 0.05 if p.ndim > 1 else 0.0 for p in trained}
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(decay)


@pytest.mark.parametrize(
    ("keys", "world_size", "is_fused"),
    [
        ({}, 1, True),
        ({"precision": "bf16-mixed"}, 1, False),
        ({"precision": "bf16-mixed", "gradient_clip": 0}, 1, True),
        ({}, 2, False),
    ],
)
def test_adamw_is_fused_on_a_processor_where_lightning_clips_for_it(
    keys: dict[str, Any], world_size: int, is_fused: bool, recognizer: Recognizer
) -> None:
    optimizer = make_optimizer(recognizer, TrainingConfig(**keys), world_size=world_size)
    assert all(bool(group["fused"]) is is_fused for group in optimizer.param_groups)
