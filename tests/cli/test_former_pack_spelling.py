"""The former spelling, `evlora prepare … --pack`: a warning, and the same datasets."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from evlora.cli.main import run
from evlora.datasets import read_manifest


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def evlora(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: Path
) -> Callable[..., Result]:
    """Runs the command in the folder of the source."""
    monkeypatch.chdir(source.parent)

    def call(*words: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["evlora", *words])
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


TREE = ("prepare", "class_tree", "source", "out", "--pack", "clip.frames=2")
DIGITS = ("train=4", "val=4", "test=4", "size_px=16", "frames=3", "duration_ms=30")
GENERATED = ("prepare", "generated", "out", "--pack", "clip.frames=2", *DIGITS)
WARNING = "warning: prepare --pack is deprecated and goes with the next version; use `evlora prep"


def test_it_warns_and_packs_as_the_new_one(evlora: Callable[..., Result], source: Path) -> None:
    made = evlora(*TREE)
    assert made.code == 0, made.err
    assert made.err.startswith(WARNING)
    assert made.err.count("\n") == 1
    assert "2 classes; packed dataset, 0.0 MB: out" in made.out
    assert sorted(path.name for path in source.parent.iterdir()) == ["out", "source"]
    assert evlora("prepare", "class_tree", "source", "dataset").code == 0
    assert evlora("pack", "dataset", "new", "clip.frames=2").code == 0
    files = sorted(path.relative_to("out") for path in Path("out").rglob("*") if path.is_file())
    assert files
    for file in files:
        assert (Path("out") / file).read_bytes() == (Path("new") / file).read_bytes()
    again = evlora(*TREE)
    assert again.out.endswith("out: was packed already, 0.0 MB, and its dataset has not changed\n")


def test_jobs_of_an_array_may_be_spelled_so_too(evlora: Callable[..., Result]) -> None:
    for words in (("--shard", "1/2"), ("--shard", "2/2"), ("--merge",)):
        made = evlora(*TREE, *words)
        assert made.code == 0, made.err
        assert made.err.startswith(WARNING)
    assert read_manifest("out").counts == {"train": 4, "test": 2}


def test_recordings_that_a_layout_makes_stay_beside_the_packed_dataset(
    evlora: Callable[..., Result], source: Path
) -> None:
    first = evlora(*GENERATED, "--shard", "1/2")
    assert first.code == 0, first.err
    other = evlora(*GENERATED, "seed=1", "--shard", "2/2")
    assert other.code == 2
    assert "out.prepared: was prepared with options" in other.err
    for words in (("--shard", "2/2"), ("--merge",)):
        made = evlora(*GENERATED, *words)
        assert made.code == 0, made.err
    assert read_manifest("out").counts == {"train": 4, "val": 4, "test": 4}
    names = sorted(path.name for path in source.parent.iterdir())
    assert names == ["out", "out.prepared", "source"]
    assert "was packed already" in evlora(*GENERATED).out
    anew = evlora(*GENERATED, "seed=1", "--overwrite")
    assert anew.code == 0, anew.err


def test_a_sample_without_its_file_is_rejected(evlora: Callable[..., Result], source: Path) -> None:
    rows = [f"train,{path.relative_to(source)},cat" for path in sorted(source.glob("train/*/*"))]
    rows += ["test,test/cat/4.npz,dog", "test,lost.npz,dog"]
    (source / "index.csv").write_text("\n".join(["split,events,label", *rows, ""]))
    made = evlora("prepare", "csv", "source", "out", "--pack")
    assert made.code == 0, made.err
    assert "rejected: 1, listed in rejected.csv; the first, lost.npz: lost.npz: " in made.out


def test_a_dry_run_shows_samples_and_cost(evlora: Callable[..., Result], source: Path) -> None:
    before = sorted(source.parent.rglob("*"))
    seen = evlora(*TREE, "--dry-run")
    assert seen.code == 0, seen.err
    assert seen.err.startswith(WARNING)
    assert seen.out.splitlines()[0].split() == ["split", "samples", "files", "MB"]
    assert "packed: about 0.0 MB in about 1 s, measured on 6 of 6 samples" in seen.out
    assert seen.out.endswith("nothing was written\n")
    assert sorted(source.parent.rglob("*")) == before


def test_a_mistake_leaves_nothing(evlora: Callable[..., Result], source: Path) -> None:
    before = sorted(source.parent.rglob("*"))
    for words, message in (
        (("--pack", "--shard", "3/2"), "part: expected i/n with i from 1 to n"),
        (("--pack", "--merge"), "out.packing: no such folder"),
        (("--pack", "fraction=1"), "option fraction: unknown key"),
    ):
        made = evlora("prepare", "class_tree", "source", "new/out", *words)
        assert made.code == 2
        assert message in made.err
        assert sorted(source.parent.rglob("*")) == before
