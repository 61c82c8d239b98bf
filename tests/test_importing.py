"""From a released checkpoint to a bundle: names, α, clips, and what is refused before anything."""

from pathlib import Path

import pytest
import torch
from published_release import REST, SMALL, Size, checkpoint, save

from evlora import import_published, load_bundle
from evlora.errors import CheckpointError

LABELS = ("ace", "two", "three", "four", "five", "six")


@pytest.fixture
def released(tmp_path: Path) -> Path:
    return save(checkpoint(), tmp_path / "released.pth")


def test_the_bundle_states_how_clips_are_made_and_what_the_classes_are(
    released: Path, tmp_path: Path
) -> None:
    recognizer = load_bundle(import_published(released, tmp_path / "bundle", labels=LABELS))
    assert recognizer.labels == LABELS
    clip = recognizer.clip_config
    assert (clip.frames, clip.size_px) == (8, (SMALL.pixels, SMALL.pixels))
    assert (clip.modalities, clip.representation) == (("rgb", "event"), "event_image")
    assert (clip.window, clip.fit) == ("exposure", "stretch")


def test_classes_without_names_are_called_by_their_numbers(released: Path, tmp_path: Path) -> None:
    bundle = import_published(released, tmp_path / "bundle")
    assert load_bundle(bundle).labels == ("0", "1", "2", "3", "4", "5")


@pytest.mark.parametrize("labels", [LABELS[:5], (*LABELS[:5], "ace")])
def test_other_than_one_name_for_each_class_is_refused(
    labels: tuple[str, ...], released: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="expected the names of the 6 classes"):
        import_published(released, tmp_path / "bundle", labels=labels)
    assert not (tmp_path / "bundle").exists()


def test_a_folder_that_is_there_stays_unchanged(released: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "thesis.tex").write_text("")
    with pytest.raises(CheckpointError, match="expected a new folder"):
        import_published(released, tmp_path / "bundle")
    assert (tmp_path / "bundle" / "thesis.tex").exists()


def test_another_rank_needs_its_alpha(tmp_path: Path) -> None:
    file = save(checkpoint(Size(rank=2)), tmp_path / "released.pth")
    with pytest.raises(CheckpointError, match=r"got rank 2; say which α"):
        import_published(file, tmp_path / "bundle")
    recognizer = load_bundle(import_published(file, tmp_path / "bundle", alpha=6))
    adapter = recognizer.config.model.adapter
    assert (adapter.rank, adapter.alpha) == (2, 6)
    assert recognizer.network.vit.blocks[0].mlp.fc1.scaling == {"default": 3}


def test_a_tensor_of_another_shape_is_refused_by_name(tmp_path: Path) -> None:
    content = checkpoint()
    content[REST]["norm.weight"] = torch.ones(3)
    file = save(content, tmp_path / "released.pth")
    words = r"model_state_dict: norm\.weight: expected shape \(128,\), got \(3,\)"
    with pytest.raises(CheckpointError, match=words):
        import_published(file, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
