"""The benchmarks run, and evlora is right in them."""

import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from video_miniatures import video

from evlora.bundle import load_bundle
from evlora.datasets import prepare, read_manifest
from evlora.errors import DatasetError
from evlora.evaluation.robustness import conditions_of
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
    small = ("--model", "vit_tiny_patch16_224", "--size", "96", "--frames", "2", "--rounds", "1")
    small = (*small, "--patches", "18,3", "12")
    lines = printed_by(script, *small).splitlines()
    table = [line for line in lines if line.startswith("|") and line.endswith("× |")]
    rows = [[cell.strip(" ×") for cell in line.split("|")[1:-1]] for line in table]
    assert [row[:2] for row in rows] == [["all", "all"], ["18", "3"], ["12", "12"]]
    assert rows[0][3] == "1.00"
    assert all(float(row[2].removesuffix(" ms")) > 0 for row in rows)


@pytest.mark.slow
def test_fusion_is_measured_from_nothing_and_goes_on(
    data_root: Path, project_root: Path, tmp_path: Path
):
    source = tmp_path / "two digits"
    copy_part(data_root / "nmnist_paired", source, labels=("0", "1"), of_each=40)
    trial = ("--seeds", "1", "--epochs", "2", "--precision", "32-true", "--test-clips", "20")
    trial = (*trial, "--only", "fewer patches")
    call = (project_root / "benchmarks" / "fusion.py", str(source))
    first = printed_by(*call, str(tmp_path), *trial)
    rows = re.findall(r"^\| (\w+) \| (\d+\.\d)", first, re.MULTILINE)
    assert [name for name, _ in rows] == ["thinned_training", "thinned_answers"]
    assert all(float(accuracy) > 70 for _, accuracy in rows)  # of two classes
    runs = sorted((tmp_path / "runs").rglob("metrics.json"))
    assert len(runs) == 2
    times = [run.stat().st_mtime_ns for run in runs]
    assert printed_by(*call, str(tmp_path), *trial) == first
    assert [run.stat().st_mtime_ns for run in runs] == times


def copy_part(source: Path, target: Path, *, labels: tuple[str, ...], of_each: int) -> None:
    """The first samples of some classes of a dataset with a table."""
    header, *rows = (source / "index.csv").read_text(encoding="utf-8").splitlines()
    kept: list[str] = []
    for label in labels:
        kept += [row for row in rows if row.endswith(f",{label}")][:of_each]
    for name in {name for row in kept for name in row.split(",")[1:3]}:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    (target / "index.csv").write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")


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


def loaded(path: Path) -> ModuleType:
    """A benchmark as a module, which spares the seconds that a process takes to begin."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_socket_that_is_cut_twice_is_answered_as_the_file_in_flat_memory(
    project_root: Path, tiny_bundle: Path, tiny_dataset: Path
) -> None:
    pytest.importorskip("dv_processing")
    live_socket = loaded(project_root / "benchmarks" / "live_socket.py")
    found = live_socket.measured(
        load_bundle(tiny_bundle), read_manifest(tiny_dataset), seconds=6, rate_hz=30, cuts=2
    )
    assert found["cuts that were mended"] == "2 of 2"
    right, compared = map(int, found["answers right"].split(" of "))
    assert right == compared > 5
    quarter, end = re.findall(
        r"[\d.]+", found["memory after a quarter of the time, and at the end"]
    )
    assert float(end) - float(quarter) < 20


@pytest.mark.slow
def test_corruptions_are_measured_from_nothing_and_go_on(
    project_root: Path,
    tiny_settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    corruptions = loaded(project_root / "benchmarks" / "corruptions.py")
    name = "digits in motion"
    small = {"train": 8, "val": 0, "digits": 2, "size_px": 32, "frames": 3, "duration_ms": 60}
    own = {
        key: value for key, value in tiny_settings.items() if key.startswith(("backbone", "cli"))
    }
    monkeypatch.setitem(
        corruptions.TABLES, name, corruptions.Table("demo", "generated", small, own)
    )
    names = ("hot_pixels", "frames_lost", "time_offset")
    monkeypatch.setattr(corruptions, "conditions_of", partial(conditions_of, names=names))
    words = ["x", "nowhere", str(tmp_path), "--only", name, "--clips", "8", "--seeds", "1"]
    words += ["--epochs", "1", "--strength", "3"]
    monkeypatch.setattr(sys, "argv", [*words, "--hidden"])
    corruptions.main()
    first = capsys.readouterr().out
    rows = [line.split(" | ")[0].strip("| ") for line in first.splitlines() if " | " in line]
    assert "trained with RGB alone" in rows
    assert {"before: both", "before: without RGB", "after: both", "after: without events"} < {*rows}
    assert set(names) < {*rows}
    assert re.search(r"of 4 \|$", first, re.MULTILINE)
    assert (tmp_path / "corruptions_digits.png").is_file()
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    corruptions.main()
    assert capsys.readouterr().out == first
    kept = {path for path in written if path.parent.name in ("robustness", "bundle")}
    assert len(kept) == 10
    assert all(path.stat().st_mtime_ns == written[path] for path in kept)
    monkeypatch.setattr(sys, "argv", words)
    corruptions.main()
    assert "without RGB" not in capsys.readouterr().out


def test_the_checks_that_borders_puts_others_in_the_places_of_are_there(project_root: Path) -> None:
    borders = loaded(project_root / "benchmarks" / "borders.py")
    for place in borders.CHECKS:
        module, name = place.split(":")
        assert callable(getattr(importlib.import_module(module), name))


@pytest.fixture(scope="module")
def board(project_root: Path) -> ModuleType:
    loaded(project_root / "benchmarks" / "moved_photographs.py")
    return loaded(project_root / "benchmarks" / "leaderboard.py")


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


def folder_of_videos(folder: Path) -> Path:
    """Two classes of two sources each, a test clip of each class, and two to choose on alone."""
    rows = [
        ("train", "a_1_1.mp4", "a"),
        ("train", "a_2_1.mp4", "a"),
        ("train", "b_1_1.mp4", "b"),
        ("train", "b_2_1.mp4", "b"),
        ("development", "b_1_2.mp4", "b"),
        ("development", "b_2_2.mp4", "b"),
        ("test", "1.mp4", "a"),
        ("test", "2.mp4", "b"),
    ]
    for number, (_, name, _) in enumerate(rows):
        video(folder / name, seed=number)
    lines = ["split,frame,label", *(",".join(row) for row in rows)]
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    return folder


def scenes_of(project_root: Path) -> ModuleType:
    loaded(project_root / "benchmarks" / "moved_photographs.py")
    return loaded(project_root / "benchmarks" / "real_scenes.py")


def test_photographs_are_recordings_of_a_window_that_moves(
    project_root: Path, tmp_path: Path
) -> None:
    scenes = scenes_of(project_root)
    source, out = tmp_path / "photographs", tmp_path / "out"
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    for name in ("train/a/1_0", "train/a/1_5", "train/b/2_5", "test/a/3_5", "test/b/3_0"):
        path = source / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    splits = {}
    for part in (None, scenes.HeldOut(re.compile(r"(\d)\.png"), frozenset("0"))):
        samples = read_manifest(scenes.photographs(source, out, held_out=part)).samples
        splits[part is None] = sorted((s.split, Path(str(s.events)).stem) for s in samples)
    test = [("test", "3_0"), ("test", "3_5")]
    assert splits[True] == [*test, ("train", "1_0"), ("train", "1_5"), ("train", "2_5")]
    assert splits[False] == [("test", "1_0"), ("train", "1_5"), ("train", "2_5")]
    recording = open_recording(out / "recordings" / "train" / "a" / "1_0.npz")
    assert recording.events is not None
    assert (recording.events.width, recording.events.height) == (32, 24)
    assert len(recording.events) > 0


def test_no_test_clip_is_in_the_set_that_choices_are_made_on(
    project_root: Path, tmp_path: Path
) -> None:
    scenes = scenes_of(project_root)
    source, out = folder_of_videos(tmp_path / "videos"), tmp_path / "out"
    held_out = scenes.HeldOut(re.compile(r"_(\d+)_\d+\.mp4"), frozenset({"1"}))
    splits = {}
    for part in (None, held_out):
        root = scenes.videos(source, out, threshold=0.2, held_out=part)
        samples = read_manifest(root).samples
        splits[part is None] = {(s.split, Path(str(s.events)).stem) for s in samples}
    train = {("train", name) for name in ("a_1_1", "a_2_1", "b_1_1", "b_2_1")}
    assert splits[True] == train | {("test", "1"), ("test", "2")}
    chosen_on = {("test", "a_1_1"), ("test", "b_1_1"), ("test", "b_1_2")}
    assert splits[False] == {("train", "a_2_1"), ("train", "b_2_1")} | chosen_on
    recording = open_recording(out / "recordings" / "a_1_1.npz")
    assert recording.frames is not None
    assert recording.events is not None
    assert (recording.frames.width, recording.events.width) == (16, 16)
    assert len(recording.frames) == 6
    assert len(recording.events) > 0


@pytest.mark.slow
def test_stages_are_measured_on_a_set_in_one_table(
    project_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder_of_videos(tmp_path / "data" / "dark_actions")
    scenes_of(project_root)
    script = loaded(project_root / "benchmarks" / "fusion_stages.py")
    where = [str(tmp_path / "data"), str(tmp_path / "out"), "--only", "dark actions"]
    small = ["training.epochs=1", "clip.size=32", "clip.frames=2", "backbone.weights=random"]
    rows = [
        "--rows",
        "lora",
        "trend",
        "full_blocks",
        "--seeds",
        "1",
        "--failures",
        "lora",
        "--set",
        *small,
    ]
    monkeypatch.setattr(sys, "argv", ["fusion_stages.py", *where, *rows])
    tables: list[str] = []
    for _ in range(2):  # the second time from what is there
        script.main()
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]
    found = re.findall(r"^\| `(\w+)` \| ([\d,]+) \| (\d+\.\d) \|$", tables[0], re.MULTILINE)
    assert [name for name, _, _ in found] == ["lora", "trend", "full_blocks"]
    trained = [int(count.replace(",", "")) for _, count, _ in found]
    assert trained == sorted(trained)
    is_wrong = round(2 - 2 * float(found[0][2]) / 100)
    failing = re.findall(r"^dark actions: (.*)$", tables[0], re.MULTILINE)
    assert len(failing[0].split(", ")) == max(1, is_wrong)  # none, or the samples' names


@pytest.fixture(scope="module")
def lv_search(project_root: Path) -> ModuleType:
    return loaded(project_root / "benchmarks" / "lv_search.py")


def test_the_tables_of_the_search_are_those_of_its_log(lv_search: ModuleType, project_root: Path):
    page = (project_root / "docs" / "lv-adapter.md").read_text(encoding="utf-8")
    log = lv_search.Log(project_root / "docs" / "lv_search_log.csv")
    tasks = list(lv_search.TASKS)
    for split, readings in ((lv_search.HELD_OUT, list(lv_search.READINGS)), (lv_search.TEST, [])):
        searched = [name for name in readings if any(log.of({"split": split, "reading": name}))]
        assert lv_search.table(log, split, tasks, searched or list(lv_search.TESTED)) in page


@pytest.mark.slow
def test_readings_are_chosen_on_training_clips_and_measured_on_test_clips(
    lv_search: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def few_digits(data: Path, out: Path) -> Any:
        del data
        sizes = {"train": 24, "val": 0, "test": 8, "digits": 2}
        return prepare("generated", None, out, options=sizes)

    few = {**lv_search.TASKS["digits"].keys, "training.epochs": 1, "clip.size": 32}
    task = replace(lv_search.TASKS["digits"], source=few_digits, keys=few)
    monkeypatch.setitem(lv_search.TASKS, "digits", task)
    monkeypatch.setattr(lv_search, "SEEDS", 1)
    monkeypatch.setattr(lv_search.torch, "set_num_threads", lambda threads: None)
    where = [str(tmp_path), str(tmp_path / "out"), "--weights", "none", "--only", "digits"]
    readings = ["--readings", "lora", "both_shift", "--rates", "0.5", "1"]
    for arguments in (readings, readings, ["--test", *lv_search.TESTED]):
        monkeypatch.setattr(sys, "argv", ["lv_search.py", *where, *arguments])
        lv_search.main()
    lines = lv_search.Log(tmp_path / "out" / "log.csv").lines
    assert [line["reading"] for line in lines[:4]] == ["lora", "lora", "both_shift", "both_shift"]
    assert [line["split"] for line in lines[4:]] == [lv_search.TEST] * 4
    assert "| `default` |" in capsys.readouterr().out
    sizes = {line["reading"]: int(line["adapter_parameters"]) for line in lines}
    backbone = sizes.pop("full")
    assert all(0.025 * backbone < size <= 0.03 * backbone for size in sizes.values())
    folder = tmp_path / "out" / "digits"
    whole, part = (read_manifest(folder / name) for name in ("packed", "packed_training"))
    names = {split: {s.sample for s in whole.split(split)} for split in ("train", "test")}
    assert {s.sample for s in part.samples} == names["train"]
    assert {s.sample for s in part.split("test")}.isdisjoint(names["test"])
