"""Exported files answer as PyTorch does, state what they are, and are whole or not there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from exportable import exportable
from onnxruntime import InferenceSession

import evlora
import evlora_runtime
from evlora.errors import ExportError
from evlora.exporting import onnx_files, openvino_files, programs, run
from evlora.exporting.checking import Check, compare, generated_clips, generated_recording
from evlora.exporting.description import METADATA_KEY
from evlora.exporting.graphs import clip_graph, live_graphs
from evlora.recognizer import Recognizer

BATCHES = (1, 5)


def images_of(recognizer: Recognizer, batch: int) -> list[torch.Tensor]:
    config = recognizer.clip_config
    shape = (batch, config.frames, 3, *config.size_px)
    return [torch.randint(0, 256, shape, dtype=torch.uint8) for _ in config.modalities]


@torch.inference_mode()
def wanted(recognizer: Recognizer, images: list[torch.Tensor]) -> np.ndarray:
    given = dict(zip(recognizer.clip_config.modalities, images, strict=True))
    return recognizer.answer(given.get("rgb"), given.get("event")).numpy()


def answered(file: Path, images: list[torch.Tensor]) -> np.ndarray:
    session = InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    given = {name: image.numpy() for name, image in zip(names, images, strict=True)}
    (logits,) = session.run(["logits"], given)
    return logits


@pytest.fixture(scope="module")
def image_recognizer() -> Recognizer:
    torch.manual_seed(0)
    recognizer = exportable("image")
    recognizer.temperature = 0.5
    return recognizer


@pytest.fixture(scope="module")
def exported(
    image_recognizer: Recognizer, tmp_path_factory: pytest.TempPathFactory
) -> run.Exported:
    return evlora.export(image_recognizer, tmp_path_factory.mktemp("onnx") / "images.onnx")


@pytest.mark.slow
def test_an_image_recognizer_answers_the_same_at_any_batch(
    image_recognizer: Recognizer, exported: run.Exported
) -> None:
    for batch in BATCHES:
        images = images_of(image_recognizer, batch)
        got = answered(exported.files[0], images)
        np.testing.assert_allclose(got, wanted(image_recognizer, images), atol=1e-4)


@pytest.mark.slow
def test_the_file_states_labels_and_clips_and_no_place_of_the_machine(
    exported: run.Exported,
) -> None:
    (file,) = exported.files
    (entry,) = onnx.load(file).metadata_props
    description = json.loads(entry.value)
    assert description["labels"] == ["left", "right", "up", "Größe 4"]
    assert description["clip"]["size"] == [32, 48]
    assert description["part"] == "clip"
    assert description["inputs"] == ["rgb"]
    source = str(Path(evlora.__file__).parent)
    assert source.encode() not in file.read_bytes()


@pytest.mark.slow
def test_the_runner_gives_probabilities_at_the_temperature_of_the_bundle(
    image_recognizer: Recognizer, exported: run.Exported
) -> None:
    recording = generated_recording(0, frames=2)
    ranked = evlora_runtime.load(exported.files[0]).predict(recording)
    wanted = evlora.predict(image_recognizer, recording)
    assert [label for label, _ in ranked] == [one.label for one in wanted]
    # Pillow's resizing differs from torchvision's by a level of grey here and there.
    assert [share for _, share in ranked] == pytest.approx(
        [one.probability for one in wanted], abs=5e-3
    )


@pytest.mark.slow
def test_the_comparison_stands_beside_the_file(exported: run.Exported) -> None:
    found = json.loads(exported.check_file.read_text())
    assert exported.check_file.name == "images.check.json"
    assert found == exported.check.as_dict()
    assert found["clips_from"] == "generated"
    assert found["top1_agreement"] == 1
    assert 0 < found["largest_difference"] < 1e-4
    names = [path.name for path in exported.files[0].parent.iterdir()]
    assert sorted(names) == ["images.check.json", "images.onnx"]


def test_a_file_that_disagrees_is_not_left(
    image_recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong:
        def __init__(self, path: Path) -> None:
            assert path.is_file()

        def __call__(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
            return [np.zeros((len(inputs[0]), 4), np.float32)]

    monkeypatch.setattr(run, "ProgramSession", Wrong)
    monkeypatch.setattr(run, "write_program", lambda graph, path, text: path.write_bytes(b"x"))
    with pytest.raises(ExportError, match=r"pt2: expected scores within .* nothing was written"):
        evlora.export(image_recognizer, tmp_path / "out" / "x.pt2")
    assert list((tmp_path / "out").iterdir()) == []


def test_nan_disagrees(image_recognizer: Recognizer) -> None:
    graph = clip_graph(image_recognizer)
    clips = generated_clips(image_recognizer.clip_config, count=2)
    nan = lambda inputs: [np.full((len(inputs[0]), 4), np.nan, np.float32)]  # noqa: E731
    with pytest.raises(ExportError, match="got a difference of nan"):
        compare(image_recognizer, [graph], [nan], clips, form="onnx", are_given=False)


def test_another_first_label_counts_only_on_given_clips(image_recognizer: Recognizer) -> None:
    clips = generated_clips(image_recognizer.clip_config, count=4)
    scores = wanted(image_recognizer, [torch.stack([clip.rgb for clip in clips])])  # type: ignore[misc]
    by_row = iter([scores[:1], scores[1:]])

    def swapped(inputs: Any) -> list[np.ndarray]:
        """The two best labels nearly equal, and in the other order."""
        rows = next(by_row).copy()
        order = rows.argsort(axis=1)
        for row, (second, first) in zip(rows, order[:, -2:], strict=True):
            row[[first, second]] = row[[second, first]]
        return [rows]

    def check(are_given: bool) -> Check:
        return compare(
            image_recognizer,
            [clip_graph(image_recognizer)],
            [swapped],
            clips,
            form="onnx-int8",
            are_given=are_given,
        )

    assert check(False).top1_agreement == 0
    by_row = iter([scores[:1], scores[1:]])
    with pytest.raises(ExportError, match="0% of 4 given clips"):
        check(True)


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("x.engine", {}, r"x\.engine: expected a file that ends in \.onnx or \.xml or \.pt2"),
        ("x.onnx", {"format": "pt2"}, r"x\.onnx: expected a file that ends in \.pt2"),
        ("x.onnx", {"format": "onx"}, "none is called 'onx'; did you mean onnx?"),
        ("folder.onnx", {}, "expected a file, found a folder"),
        ("x.pte", {}, r"x\.pte: ExecuTorch's own exporter makes such a file"),
    ],
)
def test_a_wrong_name_is_refused_at_once(
    out: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ExportError, match=message):
        evlora.export("no bundle", tmp_path / out, **options)


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = onnx_files.find_spec
    monkeypatch.setattr(
        onnx_files, "find_spec", lambda name: None if name == "onnxscript" else find(name)
    )
    with pytest.raises(ExportError, match=r'onnxscript not installed; pip install "evlora\[export'):
        evlora.export("no bundle", tmp_path / "x.onnx")


def test_openvino_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_files, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r'pip install "evlora\[export,openvino\]"'):
        evlora.export("no bundle", tmp_path / "x.xml")


def test_a_network_that_the_exporter_cannot_take_is_named(
    image_recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no such\n  operator " + "x" * 1000)

    monkeypatch.setattr(programs.torch.export, "export", refuse)
    with pytest.raises(ExportError, match=r"torch\.export cannot record .*: no such operator x+…"):
        evlora.export(image_recognizer, tmp_path / "x.pt2")
    assert list(tmp_path.iterdir()) == []


def test_more_weights_than_a_file_holds_are_refused(
    image_recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_files, "LARGEST_BYTES", 1000)
    with pytest.raises(ExportError, match=r"at most 2 GiB of weights for one ONNX file"):
        evlora.export(image_recognizer, tmp_path / "x.onnx")


def test_a_copy_that_only_answers_is_refused(image_recognizer: Recognizer, tmp_path: Path) -> None:
    copy = evlora.for_answers(image_recognizer)
    with pytest.raises(ExportError, match="got a copy made by for_answers"):
        evlora.export(copy, tmp_path / "x.pt2")


def test_weights_that_training_has_cast_are_refused(tmp_path: Path) -> None:
    recognizer = exportable("image")
    recognizer.prepare_training(precision="bf16-mixed")
    with pytest.raises(
        ExportError, match=r"float32 on cpu, got torch\.bfloat16 on cpu; export its"
    ):
        evlora.export(recognizer, tmp_path / "x.onnx")


def test_a_live_graph_takes_the_moment_before_where_there_is_a_difference() -> None:
    encode, decide = live_graphs(exportable("velora"))
    assert encode.inputs == ("rgb", "event", "rgb_before", "event_before")
    assert encode.outputs == decide.inputs == ("encoded_rgb", "encoded_event", "encoded_difference")
    assert [tuple(x.shape[:2]) for x in decide.example] == [(2, 3), (2, 3), (2, 2)]
    encode, decide = live_graphs(exportable("events"))
    assert (encode.inputs, encode.outputs) == (("event",), ("encoded_event",))


@pytest.mark.parametrize(
    ("kind", "adapter", "named"),
    [
        ("video", {"method": "st_adapter"}, "st_adapter"),
        ("velora", {"method": "lv_adapter", "moment_heads": 2}, "moment_heads: 2"),
        ("events", {"method": "lily"}, "lily"),
    ],
    ids=str,
)
def test_adapters_that_see_more_than_a_moment_are_refused_for_live_use(
    kind: str, adapter: dict[str, Any], named: str, tmp_path: Path
) -> None:
    recognizer = exportable(kind, adapter=adapter)
    with pytest.raises(ExportError, match=rf"alone, got {named}, .*export it without --live"):
        evlora.export(recognizer, tmp_path / "x.onnx", live=True)
    assert not list(tmp_path.iterdir())


FAMILIES_AND_KINDS = [
    ("CLIP", "velora", False),
    ("DINOv3", "velora", True),
    ("DINOv2", "video", False),
    ("EVA-02", "events", True),
    ("SigLIP 2", "image", False),
]
"""Each family once; benchmarks/exporting.py --families does all of them with all kinds."""


@pytest.mark.slow
@pytest.mark.parametrize(("family", "kind", "live"), FAMILIES_AND_KINDS)
def test_every_family_answers_the_same(family: str, kind: str, live: bool, tmp_path: Path) -> None:
    recognizer = exportable(kind, family)
    images = images_of(recognizer, 5)
    theirs = wanted(recognizer, images)
    assert np.ptp(theirs, axis=0).max() > 1e-3  # or else a file that ignores its clips would pass
    made = evlora.export(recognizer, tmp_path / "x.onnx", live=live)  # at batch 1 and 5
    assert made.check.largest_difference < 1e-4
    if not live:
        np.testing.assert_allclose(answered(made.files[0], images), theirs, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx-fp16", "onnx-int8"])
def test_formats_of_fewer_bits_are_near(form: Any, tmp_path: Path) -> None:
    recognizer = exportable("image")
    made = evlora.export(recognizer, tmp_path / "small.onnx", format=form)
    assert made.check.format == form
    # Seven bits of weights at random, in a network whose scores reach 0.7.
    most = 0.25 if form == "onnx-int8" else 0.01
    assert 1e-6 < made.check.largest_difference < most
    images = images_of(recognizer, 5)
    np.testing.assert_allclose(
        answered(made.files[0], images), wanted(recognizer, images), atol=most
    )


@pytest.mark.slow
def test_a_measured_range_of_activations_holds_for_every_call(tmp_path: Path) -> None:
    recognizer = exportable("image")
    some = [generated_recording(seed, frames=1) for seed in range(8)]
    made = evlora.export(
        recognizer, tmp_path / "x.onnx", format="onnx-int8", recordings=some, calibration=some
    )
    assert made.check.top1_agreement == 1
    assert 1e-6 < made.check.largest_difference < 0.25
    (file,) = made.files
    (entry,) = (one for one in onnx.load(file).metadata_props if one.key == METADATA_KEY)
    assert json.loads(entry.value)["depends_on_batch"] is False
    (images,) = images_of(recognizer, 5)
    images[0] //= 8  # by itself it would have another range
    alone = np.concatenate([answered(file, [image[None]]) for image in images])
    np.testing.assert_allclose(answered(file, [images]), alone, atol=1e-5)


def test_only_8_bits_take_a_calibration(image_recognizer: Recognizer, tmp_path: Path) -> None:
    some = [generated_recording(0, frames=1)]
    with pytest.raises(ExportError, match="expected the format onnx-int8 for calibration, got pt2"):
        evlora.export(image_recognizer, tmp_path / "x.pt2", calibration=some)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "method"),
    [("image", "vpt"), ("image", "lst"), ("video", "st_adapter"), ("velora", "aim")],
)
def test_adapters_that_do_not_fold_stay_in_the_graph_at_any_batch(
    kind: str, method: str, tmp_path: Path
) -> None:
    recognizer = exportable(kind, adapter={"method": method})
    made = evlora.export(recognizer, tmp_path / "x.onnx")
    assert made.check.largest_difference < 1e-4


@pytest.mark.slow
def test_a_program_of_torch_answers_the_same(image_recognizer: Recognizer, tmp_path: Path) -> None:
    (file,) = evlora.export(image_recognizer, tmp_path / "images.pt2").files
    extra = {"evlora": ""}
    program = torch.export.load(file, extra_files=extra)
    assert json.loads(extra["evlora"])["labels"][3] == "Größe 4"
    for batch in BATCHES:
        images = images_of(image_recognizer, batch)
        with torch.no_grad():
            got = program.module()(*images).numpy()
        np.testing.assert_allclose(got, wanted(image_recognizer, images), atol=1e-4)


@pytest.mark.slow
def test_a_model_of_openvino_answers_the_same(image_recognizer: Recognizer, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    made = evlora.export(image_recognizer, tmp_path / "images.xml")
    assert [path.name for path in made.files] == ["images.xml", "images.bin"]
    assert made.check.largest_difference < 1e-4
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["images.bin", "images.check.json", "images.xml"]
    core = openvino.Core()
    model = core.read_model(made.files[0])
    assert json.loads(model.get_rt_info(["evlora"]).astype(str))["labels"][3] == "Größe 4"
    exact = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for batch in BATCHES:
        images = images_of(image_recognizer, batch)
        got = exact({"rgb": images[0].numpy()})["logits"]
        np.testing.assert_allclose(got, wanted(image_recognizer, images), atol=1e-4)
