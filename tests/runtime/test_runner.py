"""The runner without torch: the same clips, the same ranking, installed alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exportable import exportable

import evlora
import evlora_runtime
from evlora.clips import ClipConfig, make_test_views
from evlora.exporting.checking import generated_recording
from evlora.exporting.description import EXPORT_FORMAT
from evlora_runtime.drawing import clips_of
from evlora_runtime.model import METADATA_KEY, READ_FORMAT, Clips

ROOT = Path(__file__).resolve().parents[2]


def stated(config: ClipConfig) -> Clips:
    return Clips.of(config.model_dump(mode="json"))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"fit": "pad", "size": (48, 80)},
        {"fit": "stretch", "modalities": ("event",), "representation": "voxel_grid"},
        {"modalities": ("rgb",), "exposure": 0.3, "sampling": "dense", "stride": 2},
        {"test_views": {"segments": 2, "crops": 3}, "size": (32, 64)},
        {"without": "rgb"},
    ],
    ids=str,
)
def test_clips_are_those_of_evlora_to_a_level_of_grey(settings: dict[str, object]) -> None:
    config = ClipConfig.model_validate({"frames": 3, "size": 48, **settings})
    recording = generated_recording(0, frames=6)
    wanted = make_test_views(recording, config)
    for name, images in zip(config.modalities, clips_of(recording, stated(config)), strict=True):
        for view, clip in zip(images, wanted, strict=True):
            theirs = clip.rgb if name == "rgb" else clip.events
            assert theirs is not None
            difference = np.abs(view.astype(int) - theirs.numpy())
            assert difference.max() <= 1


def test_it_reads_what_this_evlora_writes() -> None:
    assert READ_FORMAT == EXPORT_FORMAT


def file_with(text: str | None, path: Path) -> Path:
    """An ONNX file that gives what it gets, with these metadata."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [value], [out]
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10)
    if text is not None:
        model.metadata_props.add(key=METADATA_KEY, value=text)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected evlora's metadata, found none"),
        ("{", "its metadata is damaged"),
        ("[]", "its metadata is damaged"),
        (
            json.dumps({"format": 2, "versions": {"evlora": "9.1"}}),
            r"version 1, got 2; install the evlora-runtime of the evlora that wrote it, 9\.1",
        ),
        (json.dumps({"format": 1, "part": "encode"}), "expected the graph 'clip', got 'encode'"),
    ],
)
def test_another_file_is_refused(text: str | None, message: str, tmp_path: Path) -> None:
    file = file_with(text, tmp_path / "x.onnx")
    with pytest.raises(evlora_runtime.RuntimeFileError, match=message):
        evlora_runtime.load(file)


SOUND: dict[str, Any] = {
    "format": READ_FORMAT,
    "part": "clip",
    "labels": ["a"],
    "clip": ClipConfig(frames=2, size=8, modalities=("rgb",)).model_dump(mode="json"),
    "inputs": ["x"],
    "outputs": ["y"],
    "least_moments": 1,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 0}, "frames: expected a whole number of 1 or more, got 0"),
        ({"frames": True}, "frames: expected a whole number"),
        ({"size": [8, 10**9]}, r"expected clip_px of at most 268,435,456, got 16,000,000,000"),
        ({"test_views": {"segments": 10**6, "crops": 1}}, "expected test_clips of at most 1,000"),
        ({"modalities": ["rgb", "smell"]}, "modalities: expected"),
        ({"modalities": []}, "modalities: expected"),
        ({"without": "rgb"}, "without: expected one of two modalities"),
        ({"fit": "melt"}, "fit: expected one of"),
        ({"exposure": 2}, "exposure: expected above 0 and at most 1"),
        ({}, r"x: expected a graph with sizes \(None, 2, 3, 8, 8\), got \[1\]"),
    ],
    ids=str,
)
def test_sizes_that_nothing_can_have_are_refused(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    text = json.dumps({**SOUND, "clip": {**SOUND["clip"], **changes}})
    with pytest.raises(evlora_runtime.RuntimeFileError, match=f"metadata is damaged.*{message}"):
        evlora_runtime.load(file_with(text, tmp_path / "x.onnx"))


def test_a_graph_with_other_names_than_stated_is_refused(tmp_path: Path) -> None:
    file = file_with(json.dumps({**SOUND, "inputs": ["rgb"]}), tmp_path / "x.onnx")
    with pytest.raises(evlora_runtime.RuntimeFileError, match=r"graph with \('rgb',\), got"):
        evlora_runtime.load(file)


def test_a_missing_or_damaged_file_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(evlora_runtime.RuntimeFileError, match="found none; make it with"):
        evlora_runtime.load(tmp_path / "x.onnx")
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(evlora_runtime.RuntimeFileError, match="no ONNX file that onnxruntime"):
        evlora_runtime.load(tmp_path / "x.onnx")


def test_what_onnxruntime_would_print_stands_among_no_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a device that is away")

    file = file_with(json.dumps(SOUND), tmp_path / "x.onnx")
    monkeypatch.setattr("onnxruntime.InferenceSession._create_inference_session", fail)
    with pytest.raises(evlora_runtime.RuntimeFileError, match="a device that is away"):
        evlora_runtime.load(file)
    assert capsys.readouterr().out == ""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of an environment that has the runner and what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("alone") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    done = subprocess.run(
        [python, "-m", "pip", "install", "-q", str(ROOT / "runtime")],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("no package index is within reach, so no environment can be made")
    assert done.returncode == 0, done.stderr
    return python


def test_one_answer_loads_no_player_no_filter_and_no_other_reader() -> None:
    script = "import sys, evlora_runtime.command; print(*sys.modules)"
    path = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT / "runtime")))}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **path},
    )
    rare = ("clips.playback", "recordings.filters", "readers.video", "readers.text")
    loaded = done.stdout.split()
    assert "evlora_runtime.runner" in loaded
    assert [name for name in loaded if any(part in name for part in rare)] == []
    assert not {"numpy.random", "concurrent.futures", "onnxruntime"} & set(loaded)


SCRIPT = """
import importlib.util, json, sys
for name in ("torch", "timm", "peft", "pydantic"):
    assert importlib.util.find_spec(name) is None, name
import evlora_runtime
assert "site-packages" in evlora_runtime.__file__
ranked = evlora_runtime.load(sys.argv[1]).predict(sys.argv[2])
answers = list(evlora_runtime.predict_live(sys.argv[1], sys.argv[2], speed=0))
print(json.dumps([ranked, [(a.label, a.confidence, a.moments) for a in answers]]))
"""


@pytest.mark.slow
def test_the_ranking_is_the_same_without_torch(installed: Path, tmp_path: Path) -> None:
    recognizer = exportable("velora")
    recognizer.temperature = 0.4
    file = tmp_path / "both.onnx"
    evlora.export(recognizer, file)
    evlora.export(recognizer, file, live=True)
    recording = generated_recording(3, frames=6)
    evlora.write_recording(recording, tmp_path / "x.npz")
    done = subprocess.run(
        [installed, "-c", SCRIPT, file, tmp_path / "x.npz"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    ranked, live = json.loads(done.stdout)
    wanted = evlora.predict(recognizer, recording)
    assert [label for label, _ in ranked] == [row.label for row in wanted]
    # Pillow's resizing differs from torchvision's by a level of grey here and there.
    assert [share for _, share in ranked] == pytest.approx(
        [r.probability for r in wanted], abs=5e-3
    )
    from evlora.live import predict_live

    theirs = list(predict_live(recognizer, recording, speed=0))
    assert [(label, moments) for label, _, moments in live] == [
        (answer.label, answer.moments) for answer in theirs
    ]
    assert [share for _, share, _ in live] == pytest.approx(
        [answer.confidence for answer in theirs], abs=5e-3
    )
