"""`evlora predict`, `profile` and `evaluate`: they find what a person means."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command, Result
from PIL import Image

from evlora import prediction
from evlora.bundle import load_bundle
from evlora.clips import ClipConfig
from evlora.datasets import read_manifest
from evlora.errors import BundleError
from evlora.recipe import build, load_recipe
from evlora.recipe.from_data import filled_from_data
from evlora.recordings import EventStream, Recording, open_recording, write_recording


@pytest.fixture
def finished(tmp_path: Path, tiny_bundle: Path) -> Path:
    """The folder of a run, with a bundle of frames and events."""
    shutil.copytree(tiny_bundle, tmp_path / "run" / "bundle")
    return tmp_path / "run"


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """A recording of events alone, with a picture of its name beside it."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    random = np.random.default_rng(0)
    stream = EventStream(
        np.sort(random.integers(0, 50_000, 200)),
        random.integers(0, 32, 200, dtype=np.uint16),
        random.integers(0, 32, 200, dtype=np.uint16),
        random.integers(0, 2, 200).astype(bool),
        width=32,
        height=32,
    )
    write_recording(Recording(stream, None, "made", folder), folder / "walk.npz")
    shade = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(shade).save(folder / "walk.png")
    return folder / "walk.npz"


def ranked(result: Result) -> list[dict[str, Any]]:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_frames_beside_a_recording_are_found_as_in_a_folder(
    finished: Path, events: Path, evlora: Command
) -> None:
    alone = evlora("predict", finished / "bundle", events, "--json")
    assert "walk.npz: with the frames of" in alone.stderr
    named = evlora(
        "predict", finished / "bundle", events, "--frames", events.with_suffix(".png"), "--json"
    )
    folder = evlora("predict", finished / "bundle", events.parent, "--json")
    assert ranked(alone) == ranked(named) == ranked(folder)["ranked"]  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_of_many_recordings_with_frames_beside_them_each_is_one_line(
    finished: Path, events: Path, evlora: Command
) -> None:
    for suffix in (".npz", ".png"):
        shutil.copy(events.with_suffix(suffix), events.with_name(f"run{suffix}"))
    both = evlora("predict", finished / "bundle", events, events.with_name("run.npz"))
    assert both.returncode == 0, both.stderr
    assert len(both.stdout.splitlines()) == 2
    assert both.stderr == ""


def test_a_recording_is_opened_once_whose_frames_lie_beside_it(
    events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def counting(path: Path, **options: Any) -> Recording:
        opened.append(path)
        return open_recording(path, **options)

    monkeypatch.setattr(prediction, "open_recording", counting)
    recording, beside = prediction.open_with_frames(events, ClipConfig())

    assert beside == events.with_suffix(".png")
    assert recording.frames is not None
    assert opened == [events]


def test_a_missing_modality_is_answered_with_the_options_that_help(
    finished: Path, events: Path, evlora: Command
) -> None:
    events.with_suffix(".png").unlink()
    without_frames = evlora("predict", finished, events)
    assert without_frames.returncode == 2
    assert "found no frames; give the frames with --frames" in without_frames.stderr
    assert "--without rgb" in without_frames.stderr
    assert evlora("predict", finished, events, "--without", "rgb").returncode == 0


def test_a_run_stands_for_its_bundle(finished: Path, events: Path, evlora: Command) -> None:
    of_run = evlora("predict", finished, events, "--json")
    assert ranked(of_run) == ranked(evlora("predict", finished / "bundle", events, "--json"))
    assert load_bundle(finished).labels == ("0", "1", "2")


def test_a_run_without_a_bundle_is_answered_with_how_it_gets_one(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").touch()
    with pytest.raises(BundleError, match=r"found a run without one; .* --resume"):
        load_bundle(tmp_path / "run")
    with pytest.raises(BundleError, match="found no such folder; check the path"):
        load_bundle(tmp_path / "nowhere")


def test_what_is_named_in_the_place_of_a_bundle_is_answered_with_what_to_name(
    finished: Path, tiny_dataset: Path
) -> None:
    for named, answer in {
        finished / "bundle" / "config.json": "found a file; name the folder that holds it",
        tiny_dataset: "found a prepared dataset; name a bundle",
        finished.parent: f"found a folder of runs; name one of them: {finished}",
        tiny_dataset.parent: "found none there; name a bundle, or the folder of a finished run",
    }.items():
        with pytest.raises(BundleError, match=answer):
            load_bundle(named)


def test_a_folder_is_shown_live_one_recording_after_the_other(
    finished: Path, events: Path, evlora: Command
) -> None:
    shutil.copy(events, events.with_name("run.npz"))
    shutil.copy(events.with_suffix(".png"), events.with_name("run.png"))
    shown = evlora("predict", finished, events.parent, "--live", "--speed", "0")
    assert shown.returncode == 0, shown.stderr
    names = [line for line in shown.stdout.splitlines() if line.endswith(".npz")]
    assert names == [str(events.with_name("run.npz")), str(events)]
    assert shown.stderr.count("answers, 0 moments skipped") == 2


def test_a_bundle_is_profiled_as_it_is(finished: Path, evlora: Command) -> None:
    for path in (finished, finished / "bundle"):
        counts = json.loads(evlora("profile", path, "--json").stdout)["parameters"]
        recognizer = load_bundle(finished)
        assert counts["trained"] == sum(p.numel() for p in recognizer.trained_tensors().values())
    refused = evlora("profile", finished, "model.adapter.rank=2")
    assert refused.returncode == 2
    assert "expected no keys and no --classes beside a bundle" in refused.stderr


def test_a_recipe_that_leaves_keys_to_its_data_is_profiled_as_it_would_be_trained(
    tiny_dataset: Path, evlora: Command
) -> None:
    shown = evlora("profile", "own_recordings", f"data.root={tiny_dataset}", "--json")
    assert shown.stderr == ""
    recipe = filled_from_data(load_recipe("own_recordings", [f"data.root={tiny_dataset}"]))
    recognizer = build(recipe, num_classes=len(read_manifest(tiny_dataset).labels))
    trained = sum(tensor.numel() for tensor in recognizer.trained_tensors().values())
    assert json.loads(shown.stdout)["parameters"]["trained"] == trained


def test_without_a_dataset_the_profile_notes_whose_sizes_it_has(evlora: Command) -> None:
    shown = evlora("profile", "own_recordings", "--classes", "5")
    assert shown.returncode == 0
    assert "note: sizes and modalities are defaults; with data.root=DATASET" in shown.stderr


def test_a_folder_of_recordings_is_inspected_line_by_line(events: Path, evlora: Command) -> None:
    (events.parent / "broken.npz").write_bytes(b"no archive")
    shown = evlora("inspect", events.parent)
    assert shown.returncode == 2
    assert f"{events}  npz, 32 × 32 pixels, 200 events, 0 frames" in shown.stdout
    assert "error: " in shown.stderr
    assert "1 of 2 recordings can be read" in shown.stderr

    (events.parent / "broken.npz").unlink()
    row = json.loads(evlora("inspect", events.parent, "--json").stdout)
    assert (row["recording"], row["events"]) == (str(events), 200)
    refused = evlora("inspect", events.parent, "--out", "x.png")
    assert "expected one recording for --out" in refused.stderr
