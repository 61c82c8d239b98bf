"""What a person sees of `evlora prepare`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from evlora.cli.main import run
from evlora.datasets.layouts import LAYOUTS


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def prepare(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: Path
) -> Callable[..., Result]:
    """Runs the verb in the folder of the source, by default on the source as a class tree."""
    monkeypatch.chdir(source.parent)

    def call(*words: str, layout: str = "class_tree") -> Result:
        monkeypatch.setattr(sys, "argv", ["evlora", "prepare", layout, "source", *words])
        code = 0
        try:
            run()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Six recordings of two classes, in two splits."""
    for number in range(6):
        split = "test" if number > 3 else "train"
        path = tmp_path / "source" / split / ("cat", "dog")[number % 2] / f"{number}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(number)
        np.savez(
            path,
            t=np.sort(random.integers(0, 30_000, 300)),
            x=random.integers(0, 20, 300),
            y=random.integers(0, 16, 300),
            p=random.random(300) < 0.5,
            width=np.asarray(20),
            height=np.asarray(16),
            frames=random.integers(0, 256, (3, 16, 20, 3), dtype=np.uint8),
            frame_start_us=np.array([0, 10_000, 20_000]),
            frame_end_us=np.array([5_000, 15_000, 25_000]),
        )
    return tmp_path / "source"


def test_the_index_is_made_with_the_split_it_used(prepare: Callable[..., Result]) -> None:
    made = prepare("out")
    assert made.code == 0
    assert made.out.splitlines()[4].split() == ["all", "4", "2"]
    assert "split: folders train/, test/" in made.out
    assert made.out.endswith("2 classes; dataset: out\n")
    assert made.err == ""


def test_the_layouts_are_listed(prepare: Callable[..., Result]) -> None:
    listed = prepare("--list")
    assert listed.code == 0
    names = [line.split()[0] for line in listed.out.splitlines()]
    assert names == [row.name for row in LAYOUTS]
    assert "folders: class/sample or split/class/sample" in listed.out


def test_a_dry_run_shows_what_is_there_and_writes_nothing(
    prepare: Callable[..., Result], source: Path
) -> None:
    before = sorted(source.parent.rglob("*"))
    for words in (("out", "--dry-run"), ("--dry-run",)):
        seen = prepare(*words)
        assert seen.code == 0, seen.err
        size = sum(path.stat().st_size for path in source.glob("train/*/*")) / 1e6
        assert seen.out.splitlines()[2].split() == ["train", "4", "4", f"{size:.1f}"]
        assert "2 classes: cat, dog\n" in seen.out
        assert "packed" not in seen.out
        assert seen.out.endswith("nothing was written\n")
        assert sorted(source.parent.rglob("*")) == before


def test_a_dry_run_names_what_is_missing(prepare: Callable[..., Result], source: Path) -> None:
    rows = [f"train,{path.relative_to(source)},cat" for path in sorted(source.glob("train/*/*"))]
    rows += ["test,test/cat/4.npz,cat", "test,lost.npz,dog"]
    (source / "index.csv").write_text("\n".join(["split,events,label", *rows, ""]))
    seen = prepare("--dry-run", layout="csv")
    assert "missing files: 1, such as lost.npz of the sample lost.npz; add them, or" in seen.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["clip.frames=2"], "prepare: clip.frames is for packing; use: evlora pack DATASET OUT"),
        (["--shard", "1/2"], "prepare: --shard is for packing; use: evlora pack DATASET OUT"),
        (["--workers", "0"], "prepare: --workers is for packing; use: evlora pack DATASET OUT"),
        (["fraction=1"], "layout class_tree: option fraction: unknown key"),
    ],
)
def test_a_mistake_is_one_message_and_nothing_is_written(
    words: list[str], message: str, prepare: Callable[..., Result], source: Path
) -> None:
    before = sorted(source.parent.rglob("*"))
    made = prepare("new/out", *words)
    assert made.code == 2
    assert message in made.err
    assert made.err.count("\n") == 1
    assert made.out == ""
    assert sorted(source.parent.rglob("*")) == before


def test_the_help_shows_no_option_of_packing(prepare: Callable[..., Result]) -> None:
    shown = prepare("--help").out
    assert "--overwrite" in shown
    assert not {"--pack", "--shard", "--merge", "--strict", "--workers"} & set(shown.split())


def test_classes_splits_and_parts_are_shown_with_cautions(prepare: Callable[..., Result]):
    shown = prepare("out")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0].split() == ["class", "train", "test", "made", "of"]
    assert lines[2].split() == ["cat", "2", "1", "events"]
    assert lines[4].split() == ["all", "4", "2"]
    assert "caution: fewer than 10 training samples of a class: cat (2), dog (2)" in shown.out


def test_check_opens_every_file_and_ends_with_2_where_one_fails(
    prepare: Callable[..., Result], source: Path
):
    assert "opened 6 samples, 0 cannot be read" in prepare("out", "--check").out
    (source / "train" / "cat" / "2.npz").write_bytes(b"no archive")
    shown = prepare("out", "--check", "--overwrite")
    assert shown.code == 2
    assert "cannot be read: train/cat/2: " in shown.out
    assert "error: 1 of 6 samples cannot be read" in shown.err
