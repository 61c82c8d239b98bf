"""A verb imports what it needs: modules are counted, as seconds depend on the machine."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import evlora
from evlora.recordings import EventStream, Recording

REPORT = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
"""
RUN = "from evlora.cli.main import run; run()"

SLOW = {"torch", "timm", "peft", "transformers", "lightning", "torchmetrics", "matplotlib", "scipy"}


def _modules(code: str, *arguments: str) -> set[str]:
    """The modules that a process has imported at its end."""
    command = [sys.executable, "-c", REPORT + code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_the_package_alone_imports_nothing_that_is_installed():
    found = _modules("import evlora")
    assert not found & {*SLOW, "numpy", "pydantic", "typer"}
    assert len(found) < 130


def test_help_imports_no_numbers():
    found = _modules(RUN, "--help")
    assert not found & {*SLOW, "numpy", "yaml"}
    assert len(found) < 320


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "nosuch"),
        ("train", "demo", "training.epoch=1"),
        ("profile", "demo", "clip.sise=1"),
        ("compare", "demo", "training.epoch=1"),
        ("compare", "demo", "--over", "model.adapter.rank="),
        ("compare", "demo", "--over", "training.epoch=1,2"),
        ("compare", "demo", "--methods", "nonsense"),
        ("compare", "demo", "--over", "model.adapter=lora,lorra"),
        ("train", "demo", "model.adapter=lorra"),
        ("train", "demo", "backbone.name=vit_of_nobody"),
        ("profile", "demo", "backbone.name=vit_of_nobody"),
    ],
)
def test_a_mistake_in_a_recipe_is_reported_without_torch(arguments: tuple[str, ...]):
    found = _modules(RUN, *arguments)
    assert not found & {*SLOW, "numpy", "filelock"}
    assert len(found) < 400


def test_a_dataset_that_is_not_there_is_reported_without_torch():
    found = _modules(RUN, "train", "demo", "data.root=nowhere", "run.dir=run")
    assert not found & SLOW
    assert len(found) < 520


def test_a_bundle_that_is_not_there_is_reported_without_torch(recording: Path):
    found = _modules(RUN, "predict", "nowhere", str(recording))
    assert not found & {*SLOW, "numpy"}
    assert len(found) < 400


def test_a_recording_is_inspected_without_torch(recording: Path):
    found = _modules(RUN, "inspect", str(recording), "--json")
    assert not found & SLOW
    assert len(found) < 520


@pytest.mark.slow
def test_a_prediction_needs_neither_transformers_nor_the_compiler_nor_the_trainer(
    tmp_path: Path, recording: Path
):
    recognizer = evlora.build("demo", num_classes=2, overrides={"clip.modalities": ["event"]})
    evlora.save_bundle(recognizer, tmp_path / "bundle")
    found = _modules(RUN, "predict", str(tmp_path / "bundle"), str(recording))
    assert "torch" in found
    others = {"transformers", "torch._dynamo", "sympy", "lightning", "torchmetrics", "matplotlib"}
    rare = {"boto3", "botocore", "accelerate.commands", "torchvision.models", "torchvision.ops"}
    rare |= {"torchvision.datasets", "torch._meta_registrations", "torch._decomp", "torch.onnx"}
    rare |= {"huggingface_hub.hf_api", "huggingface_hub.file_download"}
    assert not found & {*others, *rare, "scipy", "torch.distributed.tensor", "triton"}
    assert len(found) < 2350


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    numbers = np.arange(200)
    events = EventStream(numbers * 100, numbers % 32, numbers % 24, numbers % 2 == 0, 32, 24)
    path = tmp_path / "x.npz"
    evlora.write_recording(Recording(events, None, "made", None), path)
    return path


@pytest.mark.slow
def test_libraries_that_count_their_objects_at_the_end_have_nothing_to_report() -> None:
    pytest.importorskip("triton")
    code = (
        "from evlora.garbage import importing, keep_imports\n"
        "keep_imports()\n"
        "with importing():\n"
        "    import torch, triton._C.libtriton\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("", "")


def test_the_search_at_the_end_looks_at_imports_only_where_objects_are_counted() -> None:
    code = (
        "import atexit, gc, sys, types\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 0))\n"
        "from evlora.garbage import importing, keep_imports\n"
        "keep_imports()\n"
        "with importing():\n"
        "    import decimal\n"
        "if sys.argv[1:]:\n"
        "    sys.modules[sys.argv[1]] = types.ModuleType(sys.argv[1])\n"
    )
    for arguments, is_frozen in (((), "True"), (("triton",), "False")):
        command = [sys.executable, "-c", code, *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == is_frozen
