"""Bundles under the hub's conventions: folders, and a stand-in for the hub."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from exportable import exportable
from hub_server import local_hub
from huggingface_hub import constants

import evlora
from evlora.errors import BundleError
from evlora.recognizer import Recognizer


def scores(recognizer: Recognizer) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (2, 1, 3, *recognizer.clip_config.size_px)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    with torch.no_grad():
        return recognizer.recognize(images, None).logits


def test_a_recognizer_goes_to_a_folder_and_comes_back(tmp_path: Path) -> None:
    recognizer = exportable("image")
    evlora.save_bundle(recognizer, tmp_path / "first", metrics={"top1": 0.5})
    first = evlora.Pretrained.from_pretrained(tmp_path / "first")
    for _ in range(2):  # an earlier bundle is replaced
        first.save_pretrained(tmp_path / "second")
    second = evlora.Pretrained.from_pretrained(str(tmp_path / "second")).recognizer
    assert torch.equal(scores(second), scores(recognizer))
    assert second.labels == recognizer.labels
    names = sorted(path.name for path in (tmp_path / "second").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "first").iterdir())
    assert "top1 | 0.5" in (tmp_path / "second" / "README.md").read_text()


def test_the_model_card_states_what_the_hub_and_a_reader_ask_for(tmp_path: Path) -> None:
    recipe = {"data": {"root": "/data/poker"}, "training": {"epochs": 6}, "run": {"seed": 3}}
    evlora.save_bundle(exportable("events"), tmp_path / "bundle", recipe=recipe)
    card = (tmp_path / "bundle" / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert front["library_name"] == "evlora"
    assert front["pipeline_tag"] == "video-classification"
    assert front["base_model"] == "timm/vit_base_patch16_224.augreg_in21k"
    assert "event-camera" in front["tags"]
    assert "- Run: dataset poker, epochs 6, seed 3." in card
    assert "- Classes: left, right, up, Größe 4." in card
    assert "Its licence: apache-2.0." in card


def test_other_peoples_files_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match=r"an earlier bundle, found thesis\.tex in it"):
        evlora.Pretrained(exportable("image")).save_pretrained(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_hub_that_does_not_answer_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BundleError, match=r"nobody/nothing: expected .* hub .* found neither: "):
        evlora.load_bundle("nobody/nothing")
    with pytest.raises(BundleError, match=r"me/x: the hub did not take it: .* hf auth login"):
        evlora.Pretrained(exportable("image")).push_to_hub("me/x")


def test_a_path_in_a_folder_that_exists_is_not_looked_for_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    for name in ("run/nothing", "misspelt/bundle"):
        with pytest.raises(BundleError, match=f"{name}: expected a bundle, found no such folder"):
            evlora.load_bundle(name)


PUSH_AND_FETCH = """
import sys
import torch
import evlora

folder, out = sys.argv[1:]
one = evlora.Pretrained.from_pretrained(folder)
print(one.push_to_hub("me/poker"))
fetched = evlora.load_bundle("me/poker")
again = evlora.Pretrained.from_pretrained("me/poker").recognizer
for (name, x), y in zip(one.recognizer.state_dict().items(), fetched.state_dict().values()):
    assert torch.equal(x, y), name
assert fetched.labels == again.labels == one.recognizer.labels
# Two bundles over one backbone: its memory is used once.
first = {p.data_ptr() for p in fetched.parameters()}
shared = sum(p.numel() for p in again.parameters() if p.data_ptr() in first)
assert shared >= again.backbone_parameters, (shared, again.backbone_parameters)
try:
    evlora.load_bundle("me/nothing")
except evlora.BundleError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_bundle_goes_to_the_hub_and_comes_back_equal(tmp_path: Path) -> None:
    evlora.save_bundle(exportable("image"), tmp_path / "bundle")
    with local_hub() as (address, repositories):
        settings = {
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN": "hf_standin",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }
        done = subprocess.run(
            [sys.executable, "-c", PUSH_AND_FETCH, tmp_path / "bundle", tmp_path / "out"],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        pushed = repositories["me/poker"]
    files = [path for path in (tmp_path / "bundle").rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path / "bundle").as_posix() for path in files} <= set(pushed)
    assert "me/nothing: expected a bundle's folder, or a bundle of this name" in done.stdout
