"""The relevance of patches: where it must be nothing, and what it must sum to."""

from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_networks import SETTINGS
from PIL import Image

from evlora.clips import Clip
from evlora.errors import BundleError
from evlora.recipe import build
from evlora.recognizer import Recognizer
from evlora.report.relevance import relevance, why_not
from evlora.report.relevance_pictures import (
    animate_relevance,
    draw_relevance,
    relevance_moments,
)

TINY = {
    "clip.frames": 3,
    "clip.size": 32,
    "backbone.name": "vit_tiny_patch16_224",
    "backbone.weights": "random",
    "backbone.options": {"patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2},
}


def clip() -> Clip:
    images = [torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8) for _ in range(2)]
    return Clip(*images, label=0, sample="noise")


def test_each_view_has_a_value_for_each_patch_of_each_moment(recognizer: Recognizer) -> None:
    found = relevance(recognizer, clip())
    for by_view in found.by_method.values():
        shapes = {name: tuple(values.shape) for name, values in by_view.items()}
        assert shapes == {"rgb": (3, 4, 4), "event": (3, 4, 4), "difference": (2, 4, 4)}
        assert all((values >= 0).all() for values in by_view.values())


def test_rollout_hands_on_all_that_the_head_pools(recognizer: Recognizer) -> None:
    rollout = relevance(recognizer, clip()).by_method["rollout"]
    prefix = recognizer.network.vit.num_prefix_tokens
    total = sum(float(values.sum(dim=(1, 2)).mean()) for values in rollout.values())
    # One for each of the two views that the head sees; prefix tokens have a part too.
    assert prefix == 1
    assert 1.5 < total < 2


def test_weighted_by_gradients_a_view_without_a_say_counts_for_nothing(
    recognizer: Recognizer,
) -> None:
    with torch.no_grad():
        width = recognizer.network.vit.embed_dim
        recognizer.network.head.weight[:, width:] = 0  # the columns of the event view
        for name, tensor in recognizer.network.shared_stage.named_parameters():
            if "lora_B" in name or "gates" in name:
                tensor.zero_()
    weighted = relevance(recognizer, clip()).by_method["gradient"]
    assert weighted["rgb"].sum() > 1e-4
    assert weighted["event"].abs().max() < 1e-7
    assert weighted["difference"].abs().max() < 1e-7


def test_a_class_may_be_named_and_answers_stay_as_they_were(recognizer: Recognizer) -> None:
    seen = clip()
    with torch.inference_mode():
        before = recognizer.answer(seen.rgb[None], seen.events[None])
    assert relevance(recognizer, seen, label="c").label == "c"
    with torch.inference_mode():
        after = recognizer.answer(seen.rgb[None], seen.events[None])
    torch.testing.assert_close(before, after, rtol=0, atol=0)
    with pytest.raises(BundleError, match="has no class 'z'"):
        relevance(recognizer, seen, label="z")


def test_a_recognizer_of_one_modality_shows_its_own_patches() -> None:
    overrides = {**TINY, "clip.modalities": ["rgb"], "model.pool": "token"}
    alone = build("nano_photographs", num_classes=3, overrides=overrides).eval()
    seen = Clip(clip().rgb, None, None, "one")
    found = relevance(alone, seen)
    assert list(found.by_method["gradient"]) == ["rgb"]
    assert found.by_method["gradient"]["rgb"].shape == (3, 4, 4)
    assert len(relevance_moments(seen, found)) == 3


def test_a_network_whose_answers_see_pruned_patches_is_refused_with_the_reason() -> None:
    pruned = build("demo", num_classes=3, overrides={**TINY, "model.active_patches": 4})
    assert "pruned" in (why_not(pruned) or "")
    with pytest.raises(BundleError, match="pruned patches"):
        relevance(pruned, clip())


@pytest.mark.parametrize(
    "adapter",
    [*({"method": name, **settings} for name, settings in SETTINGS.items()), {"moment_heads": 1}],
    ids=str,
)
def test_relevance_follows_every_kind_of_adapter_or_is_refused_with_the_reason(
    adapter: dict[str, Any],
) -> None:
    adapted = build("demo", num_classes=3, overrides={**TINY, "model.adapter": adapter}).eval()
    refused = adapter.get("method") in ("vpt", "lst", "st_adapter", "aim", None)
    assert (why_not(adapted) is not None) == refused
    if refused:
        return
    found = relevance(adapted, clip()).by_method["rollout"]
    assert 1.5 < sum(float(values.sum(dim=(1, 2)).mean()) for values in found.values()) < 2.001


def test_the_pictures_show_every_moment(recognizer: Recognizer, tmp_path: Path) -> None:
    seen = clip()
    found = relevance(recognizer, seen)
    moments = relevance_moments(seen, found)
    assert len(moments) == 3
    assert len({picture.shape for picture in moments}) == 1
    draw_relevance(seen, found, tmp_path / "relevance.png")
    animate_relevance(seen, found, tmp_path / "relevance.gif")
    with Image.open(tmp_path / "relevance.gif") as animation:
        assert animation.n_frames == 3
    with Image.open(tmp_path / "relevance.png") as picture:
        assert picture.width > 300
