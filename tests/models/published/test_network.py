"""The released network, against a second reading of its description in plain formulas."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from published_reference import answer
from published_release import RELEASED, SMALL, checkpoint, save
from slow import slow_but

from evlora import import_published, load_bundle
from evlora.errors import RecipeError, ShapeError
from evlora.models import PublishedConfig, PublishedVELoRA, build_backbone
from evlora.models.streaming import StreamingNetwork
from evlora.recognizer import Recognizer


def clips(batch: int, *, size: int = SMALL.pixels, moments: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, moments, 3, size, size, generator=generator) for _ in range(2)]


def imported(content: dict[str, Any], tmp_path: Path, **settings: Any) -> Recognizer:
    file = save(content, tmp_path / "released.pth")
    return load_bundle(import_published(file, tmp_path / "bundle", **settings))


@pytest.mark.parametrize("prefix", slow_but(["", "module."], quick="module.".__eq__))
@pytest.mark.parametrize("batch", slow_but([1, 3], quick=(3).__eq__))
def test_it_answers_as_the_description_states(batch: int, prefix: str, tmp_path: Path) -> None:
    content = checkpoint(prefix=prefix)
    recognizer = imported(content, tmp_path)
    rgb, events = clips(batch)
    with torch.inference_mode():
        logits, terms, _ = recognizer(rgb, events)
        expected, loss = answer(content, rgb, events)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(terms["reconstruction"], loss, atol=1e-4, rtol=1e-4)
    assert expected.std() > 0.1  # a network that gives the same for everything would pass otherwise


@pytest.mark.slow
def test_it_answers_so_at_full_size_in_bounded_memory(tmp_path: Path) -> None:
    file = save(checkpoint(RELEASED, prefix="module."), tmp_path / "released.pth")
    assert 1.8e9 < file.stat().st_size < 1.9e9
    script = (
        "import resource, sys, torch, evlora\n"
        "bundle = evlora.import_published(sys.argv[1], sys.argv[2])\n"
        "logits = evlora.load_bundle(bundle)(*torch.load(sys.argv[3])).logits\n"
        "torch.save(logits.detach(), sys.argv[4])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    rgb, events = clips(2, size=RELEASED.pixels, moments=2)
    torch.save([rgb, events], tmp_path / "clips.pt")
    names = [file, tmp_path / "bundle", tmp_path / "clips.pt", tmp_path / "logits.pt"]
    run = subprocess.run(
        [sys.executable, "-c", script, *map(str, names)], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) * 1024 < 4.4e9  # the file, which is mapped, counts too
    with torch.inference_mode():
        content = torch.load(file, weights_only=True, mmap=True)
        expected, _ = answer(content, rgb, events)
    torch.testing.assert_close(torch.load(names[-1]), expected, atol=1e-4, rtol=0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < 8e9


@pytest.mark.slow
def test_its_bundle_gives_the_same_logits_in_a_new_process(tmp_path: Path) -> None:
    recognizer = imported(checkpoint(), tmp_path)
    script = (
        "import sys, torch, evlora\n"
        "generator = torch.Generator().manual_seed(1)\n"
        "clips = [torch.randn(2, 3, 3, 64, 64, generator=generator) for _ in range(2)]\n"
        "print(evlora.load_bundle(sys.argv[1])(*clips).logits.tolist())\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "bundle")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    with torch.inference_mode():
        expected = recognizer(*clips(2)).logits
    torch.testing.assert_close(torch.tensor(json.loads(printed)), expected, atol=1e-5, rtol=0)


def test_its_bundle_holds_one_frozen_tower_and_opens_without_the_hub(tmp_path: Path) -> None:
    imported(checkpoint(), tmp_path)
    backbone = (tmp_path / "bundle" / "backbone.safetensors").stat().st_size
    assert backbone > 1e6
    (tmp_path / "released.pth").unlink()
    load_bundle(tmp_path / "bundle")
    whole = sum(file.stat().st_size for file in (tmp_path / "bundle").rglob("*") if file.is_file())
    towers = 3 * 4 * SMALL.depth * 12 * SMALL.width**2  # of the blocks' weights alone, in bytes
    beside = sum(file.stat().st_size for file in (tmp_path / "bundle").rglob("head.safetensors"))
    assert whole - beside < towers


@pytest.mark.slow
def test_an_answer_depends_on_the_clips_beside_it(tmp_path: Path) -> None:
    network = imported(checkpoint(), tmp_path).network
    rgb, events = clips(3)
    with torch.inference_mode():
        together = network(rgb, events).logits[0]
        alone = network(rgb[:1], events[:1]).logits[0]
    assert network.depends_on_batch
    assert (together - alone).abs().max() > 1e-3


def test_it_answers_while_the_camera_runs_as_to_the_whole_clip(tmp_path: Path) -> None:
    network = imported(checkpoint(), tmp_path).network
    rgb, events = clips(1, moments=4)
    live = StreamingNetwork(network, frames=3)
    for r, e in zip(rgb[0], events[0], strict=True):
        scores = live.push(r, e)
    with torch.inference_mode():
        expected = network(rgb[:, 1:], events[:, 1:]).logits[0]
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=0)


def test_its_answers_are_log_probabilities(tmp_path: Path) -> None:
    recognizer = imported(checkpoint(), tmp_path)
    with torch.inference_mode():
        logits = recognizer(*clips(2)).logits
    torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("normalization", "white"),
    [("clip", (1 - 0.48145466) / 0.26862954), ("half", 1.0)],
)
def test_images_are_normalised_as_was_chosen(
    normalization: Any, white: float, tmp_path: Path
) -> None:
    recognizer = imported(checkpoint(), tmp_path, normalization=normalization)
    images = torch.full((1, 1, 3, 2, 2), 255, dtype=torch.uint8)
    assert float(recognizer.normalize(images)[0, 0, 0, 0, 0]) == pytest.approx(white)


def test_it_takes_both_modalities_and_at_least_two_moments(tmp_path: Path) -> None:
    recognizer = imported(checkpoint(), tmp_path)
    rgb, events = clips(1, moments=1)
    with pytest.raises(ShapeError, match="expected at least two moments, got T=1"):
        recognizer(rgb, events)
    with pytest.raises(ShapeError, match="event: expected images of shape"):
        recognizer(rgb)
    backbone = build_backbone(recognizer.config.backbone, size=(64, 64))
    with pytest.raises(RecipeError, match=r"takes both, rgb and event, got \['event'\]"):
        PublishedVELoRA(backbone, PublishedConfig(), modalities=("event",), num_classes=2)
