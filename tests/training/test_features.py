"""Cached features: the same training without encoding each clip in every epoch."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from evlora.bundle import load_bundle
from evlora.clips import ClipConfig
from evlora.datasets import ClipDataset, read_manifest
from evlora.errors import EvloraError, RecipeError
from evlora.models.velora import VELoRA, View
from evlora.packing import pack
from evlora.recipe import build
from evlora.recognizer import Recognizer, tensors_beside_adapters
from evlora.training.features import FeatureDataset
from evlora.training.run import train

AUGMENTATION = {"crop": 1.0, "colour": 0.0, "event_drop": 0.0}
STILL: dict[str, Any] = {"clip.jitter": False, "clip.augmentation": AUGMENTATION}
PROBE: dict[str, Any] = {"model": {"network": "single_stream", "adapter": "none"}}
ONE_MODALITY: dict[str, Any] = {**PROBE, "clip.modalities": ["rgb"]}
BOTH: dict[str, Any] = {
    "model.adapter": "none",
    "model.shared_stage": False,
    "model.reconstruction": False,
}
LAST_BLOCK: dict[str, Any] = {
    "model.adapter": {"method": "lora", "sites": "ffn", "rank": 4, "blocks": 1},
}


def _trained(settings: dict[str, Any], folder: Path, **keys: Any) -> Recognizer:
    run = train("velora_vitb16_clip", overrides={**settings, **keys, "run.dir": str(folder)})
    return load_bundle(run.bundle)


def _require_equal(one: Recognizer, other: Recognizer) -> None:
    expected, found = (r.state_dict() for r in (one, other))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [ONE_MODALITY, BOTH, LAST_BLOCK],
    ids=["linear probe", "linear probe of both modalities", "last block"],
)
def test_training_from_cached_features_learns_the_same(
    tiny_settings: dict[str, Any], tmp_path: Path, keys: dict[str, Any]
) -> None:
    settings = {**tiny_settings, **STILL, **keys}
    plain = _trained(settings, tmp_path / "plain")
    cached = _trained(settings, tmp_path / "cached", **{"training.cache_features": "memory"})
    _require_equal(plain, cached)
    head = tensors_beside_adapters(cached)
    untrained = build("velora_vitb16_clip", num_classes=40, overrides=settings)
    assert any(
        not torch.equal(tensor, head[name])
        for name, tensor in tensors_beside_adapters(untrained).items()
    )


@pytest.mark.slow
def test_as_many_variants_as_epochs_are_the_clips_that_training_draws(
    tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    settings = {**tiny_settings, **ONE_MODALITY}
    cache = {"training.cache_features": "memory", "training.cache_variants": 3}
    plain = _trained(settings, tmp_path / "plain")
    _require_equal(plain, _trained(settings, tmp_path / "cached", **cache))


def test_a_folder_keeps_features_for_later_runs_of_the_same_weights_and_clips(
    tiny_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "features"
    settings = {**tiny_settings, **STILL, **ONE_MODALITY, "training.cache_features": str(kept)}
    first = _trained(settings, tmp_path / "first")
    files = sorted(kept.iterdir())
    assert len(files) == 2  # train and val
    again = _trained(settings, tmp_path / "again", **{"training.learning_rate": 1e-3})
    assert sorted(kept.iterdir()) == files
    assert first.backbone_sha256 == again.backbone_sha256
    _trained(settings, tmp_path / "other", **{"clip.fit": "stretch"})
    assert len(list(kept.iterdir())) == 4
    files[0].write_bytes(b"damaged")
    with pytest.raises(RecipeError, match="damaged"):
        _trained(settings, tmp_path / "damaged")


def test_recordings_that_are_replaced_or_packed_anew_are_encoded_anew(
    tiny_settings: dict[str, Any], tiny_dataset: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "features"
    settings = {**tiny_settings, **STILL, **ONE_MODALITY, "training.cache_features": str(kept)}
    recordings = tmp_path / "moved"
    shutil.copytree(tiny_dataset, recordings)
    of_recordings = {**settings, "data.source": str(recordings)}
    _trained(of_recordings, tmp_path / "first")
    _trained(of_recordings, tmp_path / "second")
    assert len(list(kept.iterdir())) == 2  # train and val
    replaced = next((recordings / "recordings" / "train").iterdir())
    shutil.copy(next((recordings / "recordings" / "val").iterdir()), replaced)
    _trained(of_recordings, tmp_path / "third")
    assert len(list(kept.iterdir())) == 3

    packed = tmp_path / "packed"
    for number, frames in enumerate((3, 2)):
        clip = ClipConfig(frames=2, size=32)
        pack(tiny_dataset, packed, clip, max_frames=frames, overwrite=True, workers=0)
        _trained({**settings, "data.root": str(packed)}, tmp_path / f"packed-{number}")
        assert len(list(kept.iterdir())) == 3 + 2 * (number + 1)


def test_seeds_share_the_features_of_clips_that_nothing_changes_at_random(
    tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    kept = tmp_path / "features"
    settings = {**tiny_settings, **ONE_MODALITY, "training.cache_features": str(kept)}
    settings = {k: v for k, v in settings.items() if not k.startswith("backbone.")}
    settings |= {"backbone": {"name": "evlora_nano"}, "model.pool": "mean"}  # of one SHA-256
    drawn = {"clip.jitter": True, "training.cache_variants": 1}
    counts: list[int] = []
    for keys in ({}, drawn):
        for seed in range(2):
            place = tmp_path / f"{len(counts)}"
            _trained({**settings, **STILL, **keys}, place, **{"run.seed": seed})
            counts.append(len(list(kept.iterdir())))
    assert counts[0] == counts[1] < counts[2] < counts[3]


def test_rows_that_differ_behind_the_frozen_blocks_share_the_features_of_their_views(
    tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    kept = tmp_path / "features"
    keys = {**LAST_BLOCK, **STILL, "training.cache_features": str(kept)}
    settings = {**tiny_settings, **keys, "model.difference": False}
    _trained(settings, tmp_path / "both")
    files = sorted(kept.iterdir())
    assert len(files) == 4  # train and val, of each modality
    beside = {"model.shared_stage": False, "model.reconstruction": False}
    _trained(settings, tmp_path / "beside", **beside)
    _trained(settings, tmp_path / "rgb", **{"clip.modalities": ["rgb"]})
    assert sorted(kept.iterdir()) == files
    _trained(settings, tmp_path / "trend", **{"model.beside_mean": ["trend"]})
    assert len(list(kept.iterdir())) == 8  # all moments instead of their mean


def test_what_is_done_with_the_same_weights_and_clips_keeps_features_of_its_own(
    tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    kept = tmp_path / "features"
    keys = {**BOTH, **STILL, "model.difference": False, "training.cache_features": str(kept)}
    settings = {**tiny_settings, **keys}
    counts: list[int] = []
    for number, changed in enumerate(
        (
            {},
            {"backbone.options": {**tiny_settings["backbone.options"], "num_heads": 3}},
            {"clip.modalities": ["event"]},  # events are seen as large as frames beside them
        )
    ):
        _trained({**settings, **changed}, tmp_path / f"{number}")
        counts.append(len(list(kept.iterdir())))
    assert counts == [4, 8, 10]  # train and val, of each modality


def test_features_of_each_type_of_half_precision_are_kept_apart(
    tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    kept = tmp_path / "features"
    settings = {**tiny_settings, **STILL, **ONE_MODALITY, "training.cache_features": str(kept)}
    recognizer = build("velora_vitb16_clip", num_classes=40, overrides=settings)
    clips = ClipDataset(read_manifest(tiny_settings["data.root"]), "train", recognizer.clip_config)
    for count, dtype in enumerate((torch.bfloat16, torch.float16, torch.float32), start=1):
        features = FeatureDataset(clips, variants=1)
        precision = torch.autocast("cpu", dtype, enabled=dtype != torch.float32)
        features.fill(recognizer, kept, batch_size=4, workers=0, precision=precision)
        assert len(list(kept.iterdir())) == count


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "expected nothing to learn where images are encoded"),
        (ONE_MODALITY, r"clip\.jitter.*cache_variants"),
        (
            {**ONE_MODALITY, **STILL, "clip.corruption": "hot_pixels:3"},
            r"clip\.corruption.*cache_variants",
        ),
        ({**ONE_MODALITY, **STILL, "training.mixup": 0.4}, "mixup"),
        (
            {
                **ONE_MODALITY,
                **STILL,
                "backbone.options": {"embed_dim": 24, "depth": 3, "num_heads": 2, "drop_rate": 0.1},
            },
            "dropout",
        ),
    ],
)
def test_what_would_not_be_the_same_is_refused(
    tiny_settings: dict[str, Any], tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    cache = {"training.cache_features": "memory"}
    with pytest.raises(RecipeError, match=message):
        _trained({**tiny_settings, **keys}, tmp_path / "run", **cache)


def test_of_a_probe_the_head_alone_learns_and_one_vector_a_view_is_kept(
    tiny_settings: dict[str, Any],
) -> None:
    probe = build("velora_vitb16_clip", num_classes=5, overrides={**tiny_settings, **BOTH})
    learning = [name for name, p in probe.named_parameters() if p.requires_grad]
    assert learning == ["network.head.weight", "network.head.bias"]
    network = probe.network
    assert isinstance(network, VELoRA)
    images = network.images_by_view(*torch.randn(2, 1, 4, 3, 32, 32))
    kept = network.encode_once(images)
    assert {x.shape for x in kept.values()} == {(1, 1, network.vit.embed_dim)}
    reordered = dict(reversed(kept.items()))
    whole = network.decide(network.over_time(network.encode(images)))
    torch.testing.assert_close(network.conclude(reordered).logits, whole)


def test_only_the_last_blocks_are_adapted(tiny_settings: dict[str, Any]) -> None:
    recognizer = build("velora_vitb16_clip", num_classes=5, overrides=tiny_settings | LAST_BLOCK)
    learned = [name for name in recognizer.trained_tensors() if "views." in name]
    adapted = {name for name in learned if "lora_" in name}
    assert adapted
    assert all(".blocks.2.mlp." in name for name in adapted)
    difference = recognizer.network.get_submodule("views.difference")
    assert isinstance(difference, View)
    assert [name for name, p in difference.named_parameters() if p.requires_grad] == ["embedding"]


@pytest.mark.parametrize("method", ["ssf", "vpt", "adaptformer", "lv_adapter", "bitfit", "hra"])
def test_every_kind_of_method_keeps_to_the_last_blocks(
    tiny_settings: dict[str, Any], method: str
) -> None:
    keys = {**ONE_MODALITY, "model": {**PROBE["model"], "adapter": {"method": method, "blocks": 1}}}
    recognizer = build("velora_vitb16_clip", num_classes=5, overrides=tiny_settings | keys)
    learned = [name for name in recognizer.trained_tensors() if "backbone" in name]
    assert learned
    assert not [name for name in learned if "blocks.0." in name or "blocks.1." in name]
    assert not [name for name in learned if "patch_embed" in name]


def test_the_last_blocks_alone_can_be_trained_in_full(tiny_settings: dict[str, Any]) -> None:
    keys = {**LAST_BLOCK, "model.adapter": {"method": "full", "blocks": 1}}
    recognizer = build("velora_vitb16_clip", num_classes=5, overrides=tiny_settings | keys)
    learned = [name for name in recognizer.trained_tensors() if ".adapted." in name]
    assert learned
    assert all(".blocks.2." in name or ".norm." in name for name in learned)
    assert isinstance(recognizer.network, VELoRA)
    encoding = [p for part in recognizer.network.encoding_parts() for p in part.parameters()]
    assert not any(p.requires_grad for p in encoding)


def test_more_blocks_than_there_are_are_refused(tiny_settings: dict[str, Any]) -> None:
    message = "at most the backbone's 3 blocks"
    for method in ("lora", "full"):
        keys = {**tiny_settings, "model.adapter": {"method": method, "blocks": 9}}
        with pytest.raises(EvloraError, match=message):
            build("velora_vitb16_clip", num_classes=5, overrides=keys)


@pytest.mark.parametrize("network", [PROBE, {"model.adapter": "none"}], ids=["single", "velora"])
def test_moment_heads_have_features_of_their_own(
    network: dict[str, Any], tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    kept = tmp_path / "features"
    settings = {**tiny_settings, **STILL, **network, "training.cache_features": str(kept)}
    if network is PROBE:
        settings["clip.modalities"] = ["rgb"]
    _trained(settings, tmp_path / "alone")
    before = len(list(kept.iterdir()))
    _trained(settings, tmp_path / "heads", **{"model.adapter.moment_heads": 2})
    assert len(list(kept.iterdir())) == 2 * before
