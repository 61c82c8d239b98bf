"""The benchmarks run, and evlora is right in them."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from evlora.datasets import prepare
from evlora.errors import DatasetError
from evlora.recordings import open_recording


def printed_by(script: Path, *arguments: str) -> str:
    command = [sys.executable, "-W", "ignore", str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_the_long_recording_becomes_clips_in_little_memory(project_root: Path):
    script = project_root / "benchmarks" / "long_recordings.py"
    result = json.loads(printed_by(script, "--events", "5000000"))
    assert (result["events"], result["clips"]) == (5_000_000, 3)
    assert 0 < result["peak_mb"] < 1500


@pytest.mark.slow
def test_evlora_decodes_right_in_the_benchmark(project_root: Path):
    script = project_root / "benchmarks" / "decoding.py"
    table = printed_by(script, "--events", "20000", "--repeats", "1", "--libraries")
    rows = [line.split(" | ") for line in table.splitlines() if " | evlora | " in line]
    assert len(rows) == 10
    assert {row[-1] for row in rows} == {"right |"}


@pytest.mark.slow
def test_simulated_digits_resemble_real_ones(data_root: Path, project_root: Path, tmp_path: Path):
    script = project_root / "benchmarks" / "simulated_beside_real.py"
    picture = tmp_path / "beside.png"
    report = printed_by(script, str(data_root / "nmnist_paired"), str(picture))
    assert picture.stat().st_size > 10_000
    values = [
        float(line.rsplit(" ", 1)[1]) for line in report.splitlines() if "correlation" in line
    ]
    # What docs/simulator.md reports of these 50 digits, with a margin for other versions of numpy.
    assert len(values) == 4
    assert all(value > least for value, least in zip(values, (0.9, 0.85, 0.85, 0.6), strict=True))


@pytest.mark.slow
def test_a_merged_adapter_leaves_the_networks_own_modules(project_root: Path):
    script = project_root / "benchmarks" / "merging.py"
    small = ("--model", "vit_tiny_patch16_224", "--options", "depth=2", "--rounds", "2")
    lines = printed_by(script, *small).splitlines()
    cells = [line.split("|")[1:-1] for line in lines if line.startswith("|")]
    rows = {row[0].strip(): [cell.strip() for cell in row] for row in cells}
    modules = {name: row[1] for name, row in rows.items()}
    assert modules["lv_adapter"] == modules["adaptformer"] == "more"
    assert modules["lv_adapter, merged"] == modules["lora, merged"] == "the same"
    assert "adaptformer, merged" not in rows
    assert float(rows["lv_adapter, merged"][4].removesuffix(" to unmerged")) <= 1e-5


@pytest.mark.slow
def test_loading_packed_clips_is_measured_beside_folders_of_pictures(project_root: Path):
    script = project_root / "benchmarks" / "loading.py"
    table = printed_by(script, "--clips", "2", "--frames", "8", "--repeats", "2", "--steps")
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in table.splitlines()}
    assert float(rows["PNG folders"][1]) == 1
    assert float(rows["packed"][1]) > 0
    assert float(rows["packed"][2]) > 0


@pytest.mark.slow
def test_a_new_frame_is_measured_beside_its_clip(project_root: Path):
    script = project_root / "benchmarks" / "streaming.py"
    small = ("--models", "vit_tiny_patch16_224", "--rounds", "2", "--size", "64", "--frames", "3")
    lines = printed_by(script, *small).splitlines()
    row = next(line.split(" | ") for line in lines if "| cpu |" in line)
    assert float(row[-2].removesuffix(" ×")) > 0
    assert float(row[-1].removesuffix(" |")) <= 1e-4


@pytest.mark.slow
def test_steps_with_fewer_patches_are_measured_beside_one_with_all(project_root: Path):
    script = project_root / "benchmarks" / "sparse.py"
    small = ("--model", "vit_tiny_patch16_224", "--patches", "98,12", "64", "--rounds", "1")
    lines = printed_by(script, *small).splitlines()
    table = [line for line in lines if line.startswith("|") and line.endswith("× |")]
    rows = [[cell.strip(" ×") for cell in line.split("|")[1:-1]] for line in table]
    assert [row[:2] for row in rows] == [["all", "all"], ["98", "12"], ["64", "64"]]
    assert rows[0][3] == "1.00"
    assert all(float(row[2].removesuffix(" ms")) > 0 for row in rows)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fusion_is_measured_from_nothing_and_goes_on(
    data_root: Path, project_root: Path, tmp_path: Path
):
    trial = ("--seeds", "1", "--epochs", "1", "--precision", "32-true", "--only", "fewer patches")
    call = (project_root / "benchmarks" / "fusion.py", str(data_root / "nmnist_paired"))
    first = printed_by(*call, str(tmp_path), *trial)
    rows = re.findall(r"^\| (\w+) \| (\d+\.\d)", first, re.MULTILINE)
    assert [name for name, _ in rows] == ["thinned_training", "thinned_answers"]
    assert all(float(accuracy) > 50 for _, accuracy in rows)  # of ten classes
    runs = sorted((tmp_path / "runs").rglob("metrics.json"))
    assert len(runs) == 2
    times = [run.stat().st_mtime_ns for run in runs]
    assert printed_by(*call, str(tmp_path), *trial) == first
    assert [run.stat().st_mtime_ns for run in runs] == times


@pytest.mark.slow
def test_what_sizes_and_answers_cost_is_measured(project_root: Path):
    script = project_root / "benchmarks" / "costs.py"
    small = ("--size", "32", "--rounds", "1", "--answers", "2", "--only", "10,000 classes")
    lines = printed_by(script, *small).splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ")]
    names = [row[0].strip("| ") for row in rows if "p50 ms" not in row]
    answers = ["adapters beside the layers", "folded", "folded, bf16", "without adapters"]
    assert names == ["a step of VELoRA", "the sizes above", "10,000 classes", *answers, *answers]
    assert float(rows[2][1].split()[0]) > 0
    assert all(float(row[-1].strip(" |")) > 0 for row in rows if row[0].strip("| ") in answers)


@pytest.mark.slow
def test_a_run_is_measured_beside_a_bare_loop(project_root: Path):
    script = project_root / "benchmarks" / "overhead.py"
    small = ("--backbone", "vit_tiny_patch16_224", "--size", "32", "--steps", "2", "--rounds", "1")
    found = re.search(r"a run takes (\S+) \(", printed_by(script, *small))
    assert found is not None
    assert float(found[1]) > 0


@pytest.fixture(scope="module")
def board(project_root: Path) -> ModuleType:
    path = project_root / "benchmarks" / "leaderboard.py"
    spec = importlib.util.spec_from_file_location("leaderboard", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_results_is_made_from_the_file(board: ModuleType, project_root: Path):
    known = board.read(project_root / "benchmarks" / "leaderboard.json")
    page = (project_root / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    assert page == board.page(known)
    for entry in known.entries:
        assert entry.protocol.samples > 0
        assert set(entry.versions) == set(board.PACKAGES)


def test_results_of_others_are_added_and_wrong_ones_refused(
    board: ModuleType, project_root: Path, tmp_path: Path
):
    known = board.read(project_root / "benchmarks" / "leaderboard.json")
    theirs = board.Entry(
        task="N-MNIST pairs",
        method="velora",
        top1=50.0,
        spread=None,
        seeds=1,
        epochs=6,
        protocol=board.Origin(dataset="csv nmnist_paired", split="test", samples=400),
        form="full",
        versions={"evlora": "0.1.0"},
        hardware="a laptop",
        date="2026-11-30",
        by="a lab",
        command="benchmarks/leaderboard.py",
    )
    assert theirs.key not in {entry.key for entry in known.entries}
    both = board.together(known, (theirs,))
    assert len(both.entries) == len(known.entries) + 1
    assert len(board.together(both, (theirs,)).entries) == len(both.entries)
    assert "a lab" in board.page(both).partition("## Trials")[0]
    assert "top1" in json.loads(board.schema())["$defs"]["Entry"]["required"]

    wrong = json.loads(board.Leaderboard(entries=(theirs,)).model_dump_json())
    wrong["entries"][0]["top1"] = 150
    (tmp_path / "theirs.json").write_text(json.dumps(wrong))
    with pytest.raises(DatasetError, match=r"theirs\.json: expected results .*top1"):
        board.read(tmp_path / "theirs.json")


@pytest.mark.slow
def test_a_photograph_that_is_moved_gives_events(
    board: ModuleType, data_root: Path, tmp_path: Path
):
    source = tmp_path / "photographs"
    for split in ("train", "test"):
        (source / split / "lamp").mkdir(parents=True)
        first = min((data_root / "caltech101_subset" / split / "lamp").iterdir())
        (source / split / "lamp" / first.name).write_bytes(first.read_bytes())
    board.simulate(source, tmp_path / "out")
    manifest = prepare("csv", tmp_path / "out", tmp_path / "prepared")
    for sample in manifest.samples:
        recording = open_recording(manifest.source / str(sample.events))
        assert recording.events is not None
        assert len(recording.events) > 1000
        assert recording.events.t_us[-1] < 200_000
