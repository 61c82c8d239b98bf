"""What a path stands for when it is predicted, and what is answered."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evlora.bundle import save_bundle
from evlora.cli.main import run
from evlora.clips import ClipConfig
from evlora.datasets import read_manifest
from evlora.errors import BundleError, DatasetError, RecordingError
from evlora.evaluation import evaluate
from evlora.prediction import frames_beside, predict, recordings_in
from evlora.recipe import build
from evlora.recordings import open_recording, write_recording

VIDEO, IMAGE = ClipConfig(frames=4), ClipConfig(frames=1)


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = np.random.default_rng(len(path.name)).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(shade).save(path)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("b/0.png", "b/1.png", "c/walk.png", "c/walk/0.png"):
        picture(root / name)
    for name in ("a.npz", "c/walk.npz", "c/alone.npz", "notes.md", ".hidden.npz"):
        (root / name).touch()
    return root


def found(path: Path, config: ClipConfig) -> list[tuple[str, str | None]]:
    return [
        (
            item.recording.relative_to(path).as_posix(),
            None if item.frames is None else item.frames.relative_to(path).as_posix(),
        )
        for item in recordings_in(path, config)
    ]


def test_a_folder_is_searched_in_the_order_of_names(tree: Path) -> None:
    (tree / "c" / "walk.png").unlink()
    expected = [("a.npz", None), ("b", None), ("c/alone.npz", None), ("c/walk.npz", "c/walk")]
    assert found(tree, VIDEO) == expected


def test_pictures_are_recordings_of_their_own_where_clips_are_pictures(tree: Path) -> None:
    shutil.rmtree(tree / "c")
    assert found(tree, IMAGE) == [("a.npz", None), ("b/0.png", None), ("b/1.png", None)]


def test_a_file_and_a_folder_of_pictures_stand_separately(tree: Path) -> None:
    assert recordings_in(tree / "a.npz", VIDEO) == [(tree / "a.npz", None)]
    assert recordings_in(tree / "b", VIDEO) == [(tree / "b", None)]


def test_a_recording_of_events_finds_the_frames_of_its_name_beside_it(tree: Path) -> None:
    (tree / "c" / "walk.png").unlink()
    assert frames_beside(tree / "c" / "walk.npz") == tree / "c" / "walk"
    assert frames_beside(tree / "c" / "alone.npz") is None
    assert frames_beside(tree / "c" / "walk") is None


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.md").touch()
    with pytest.raises(RecordingError, match="recordings in this folder, found none"):
        recordings_in(tmp_path, VIDEO)


SINGLE = {"clip.modalities": ["rgb"], "model": {"network": "single_stream"}}


@pytest.mark.parametrize("frames", [1, 4])
def test_pictures_and_videos_are_answered_by_a_recognizer_of_frames(
    frames: int, tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    settings = {**tiny_settings, **SINGLE, "clip.frames": frames}
    recognizer = build("demo", num_classes=3, overrides=settings)
    still = picture(tmp_path / "still.png")
    for name in ("walk/0.png", "walk/1.png"):
        picture(tmp_path / name)
    for path in (still, tmp_path / "walk"):
        ranked = predict(recognizer, open_recording(path))
        assert {answer.label for answer in ranked} == {"0", "1", "2"}
        assert sum(answer.probability for answer in ranked) == pytest.approx(1, abs=1e-5)


def test_the_command_answers_a_folder_and_lists_what_it_could_not_read(
    tiny_settings: dict[str, Any],
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manifest = read_manifest(tiny_dataset)
    recognizer = build("demo", num_classes=3, overrides=tiny_settings)
    bundle = save_bundle(recognizer, tmp_path / "bundle")
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number, sample in enumerate(manifest.split("test")[:2]):
        assert sample.events is not None
        shutil.copy(manifest.source / sample.events, folder / f"{number}.npz")
    (folder / "broken.npz").write_bytes(b"no archive")
    monkeypatch.setattr(sys, "argv", ["evlora", "predict", str(bundle), str(folder), "--json"])
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 2
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [Path(line["recording"]).name for line in lines] == ["0.npz", "1.npz"]
    assert all(len(line["ranked"]) == 3 for line in lines)
    assert "broken.npz" in err
    assert f"{folder}: predicted 2 of 3 recordings" in err


def test_either_modality_can_be_hidden_or_missing(
    tiny_settings: dict[str, Any], tiny_dataset: Path
) -> None:
    settings = {**tiny_settings, "clip.augmentation.modality_dropout": 0.3}
    recognizer = build("demo", num_classes=3, overrides=settings)
    manifest = read_manifest(tiny_dataset)
    sample = manifest.split("test")[0]
    assert sample.events is not None
    recording = open_recording(manifest.source / sample.events)
    answers = {predict(recognizer, recording)[0].probability}
    for hidden, lacking in (
        ("rgb", replace(recording, frames=None)),
        ("event", replace(recording, events=None)),
    ):
        answer = predict(recognizer, recording, without=hidden)[0]
        answers.add(answer.probability)
        assert predict(recognizer, lacking, without=hidden)[0].label in recognizer.labels
        assert predict(recognizer, lacking)[0].label in recognizer.labels
    assert len(answers) == 3

    plain = build("demo", num_classes=3, overrides=tiny_settings)
    with pytest.raises(DatasetError, match="found no frames"):
        predict(plain, replace(recording, frames=None))
    assert len(predict(plain, recording, without="rgb")) == 3


def test_the_command_hides_a_modality(
    tiny_settings: dict[str, Any],
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manifest = read_manifest(tiny_dataset)
    recognizer = build("demo", num_classes=len(manifest.labels), overrides=tiny_settings)
    recognizer.labels = manifest.labels
    bundle = save_bundle(recognizer, tmp_path / "bundle")
    command = ["evlora", "evaluate", str(bundle), str(tiny_dataset), "--without", "rgb"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 0
    assert "without rgb: hidden from the recognizer" in capsys.readouterr().out


def test_paths_events_frames_arrays_and_lists_are_predicted(
    tiny_settings: dict[str, Any], tiny_dataset: Path, tmp_path: Path
) -> None:
    recording = open_recording(next((tiny_dataset / "recordings" / "test").glob("*.npz")))
    assert recording.path is not None
    assert recording.frames is not None
    assert recording.events is not None
    both = build("demo", num_classes=3, overrides=tiny_settings)
    expected = predict(both, recording)
    assert predict(both, recording.path) == expected
    assert predict(both, str(recording.path)) == expected
    assert predict(both, [recording, recording.path]) == [expected, expected]
    of_events = build(
        "demo", num_classes=3, overrides={**tiny_settings, "clip.modalities": ["event"]}
    )
    alone = replace(recording, frames=None)
    assert predict(of_events, recording.events) == predict(of_events, alone)
    of_frames = build(
        "demo", num_classes=3, overrides={**tiny_settings, "clip.modalities": ["rgb"]}
    )
    frames = recording.frames
    pixels = frames.take(list(range(len(frames))))
    assert predict(of_frames, pixels) == predict(of_frames, frames)
    with pytest.raises(RecordingError, match="an array of frames, got int"):
        predict(both, 7)  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(RecordingError, match=r"fields t, x; of events make evlora\.EventStream"):
        predict(both, np.zeros(3, dtype=[("t", np.int64), ("x", np.uint16)]))
    for answer in (predict, evaluate):
        with pytest.raises(BundleError, match=r"got str; .* with evlora\.load_bundle"):
            answer("run/bundle", tiny_dataset)  # pyright: ignore


def test_frames_beside_a_path_are_taken_as_by_the_command(
    tiny_settings: dict[str, Any], tiny_dataset: Path, tmp_path: Path
) -> None:
    recording = open_recording(next((tiny_dataset / "recordings" / "test").glob("*.npz")))
    assert recording.frames is not None
    write_recording(replace(recording, frames=None), tmp_path / "x.npz")
    both = build("demo", num_classes=3, overrides=tiny_settings)
    with pytest.raises(DatasetError, match=r"found no frames; .* from Python"):
        predict(both, tmp_path / "x.npz")
    pixels = recording.frames.take([0])[0]
    Image.fromarray(pixels).save(tmp_path / "x.png")
    beside = open_recording(tmp_path / "x.npz", frames=tmp_path / "x.png")
    assert predict(both, str(tmp_path / "x.npz")) == predict(both, beside)
