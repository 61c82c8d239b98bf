"""The former spelling, `evlora prepare … --pack`: a warning, and the same datasets."""

from pathlib import Path

import pytest
from command import Command

from evlora.datasets import read_manifest

TREE = ("prepare", "class_tree", "source", "out", "--pack", "clip.frames=2")
DIGITS = ("train=4", "val=4", "test=4", "size_px=16", "frames=3", "duration_ms=30")
GENERATED = ("prepare", "generated", "out", "--pack", "clip.frames=2", *DIGITS)
WARNING = "warning: prepare --pack is deprecated and goes with the next version; use `evlora prep"


@pytest.fixture(autouse=True)
def _in_the_folder_of_the_source(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source.parent)


def test_it_warns_and_packs_as_the_new_one(evlora: Command, source: Path) -> None:
    made = evlora(*TREE)
    assert made.returncode == 0, made.stderr
    assert made.stderr.startswith(WARNING)
    assert made.stderr.count("\n") == 1
    assert "2 classes; packed dataset, 0.0 MB: out" in made.stdout
    assert sorted(path.name for path in source.parent.iterdir()) == ["out", "source"]
    assert evlora("prepare", "class_tree", "source", "dataset").returncode == 0
    assert evlora("pack", "dataset", "new", "clip.frames=2").returncode == 0
    files = sorted(path.relative_to("out") for path in Path("out").rglob("*") if path.is_file())
    assert files
    for file in files:
        assert (Path("out") / file).read_bytes() == (Path("new") / file).read_bytes()
    again = evlora(*TREE)
    assert again.stdout.endswith(
        "out: was packed already, 0.0 MB, and its dataset has not changed\n"
    )


def test_jobs_of_an_array_may_be_spelled_so_too(evlora: Command) -> None:
    for words in (("--shard", "1/2"), ("--shard", "2/2"), ("--merge",)):
        made = evlora(*TREE, *words)
        assert made.returncode == 0, made.stderr
        assert made.stderr.startswith(WARNING)
    assert read_manifest("out").counts == {"train": 4, "test": 2}


def test_recordings_that_a_layout_makes_stay_beside_the_packed_dataset(
    evlora: Command, source: Path
) -> None:
    first = evlora(*GENERATED, "--shard", "1/2")
    assert first.returncode == 0, first.stderr
    other = evlora(*GENERATED, "seed=1", "--shard", "2/2")
    assert other.returncode == 2
    assert "out.prepared: was prepared with options" in other.stderr
    for words in (("--shard", "2/2"), ("--merge",)):
        made = evlora(*GENERATED, *words)
        assert made.returncode == 0, made.stderr
    assert read_manifest("out").counts == {"train": 4, "val": 4, "test": 4}
    names = sorted(path.name for path in source.parent.iterdir())
    assert names == ["out", "out.prepared", "source"]
    assert "was packed already" in evlora(*GENERATED).stdout
    anew = evlora(*GENERATED, "seed=1", "--overwrite")
    assert anew.returncode == 0, anew.stderr


def test_a_sample_without_its_file_is_rejected(evlora: Command, source: Path) -> None:
    rows = [f"train,{path.relative_to(source)},cat" for path in sorted(source.glob("train/*/*"))]
    rows += ["test,test/cat/4.npz,dog", "test,lost.npz,dog"]
    (source / "index.csv").write_text("\n".join(["split,events,label", *rows, ""]))
    made = evlora("prepare", "csv", "source", "out", "--pack")
    assert made.returncode == 0, made.stderr
    assert "rejected: 1, listed in rejected.csv; the first, lost.npz: lost.npz: " in made.stdout


def test_a_dry_run_shows_samples_and_cost(evlora: Command, source: Path) -> None:
    before = sorted(source.parent.rglob("*"))
    seen = evlora(*TREE, "--dry-run")
    assert seen.returncode == 0, seen.stderr
    assert seen.stderr.startswith(WARNING)
    assert seen.stdout.splitlines()[0].split() == ["split", "samples", "files", "MB"]
    assert "packed: about 0.0 MB in about 1 s, measured on 6 of 6 samples" in seen.stdout
    assert seen.stdout.endswith("nothing was written\n")
    assert sorted(source.parent.rglob("*")) == before


def test_a_mistake_leaves_nothing(evlora: Command, source: Path) -> None:
    before = sorted(source.parent.rglob("*"))
    for words, message in (
        (("--pack", "--shard", "3/2"), "part: expected i/n with i from 1 to n"),
        (("--pack", "--merge"), "out.packing: no such folder"),
        (("--pack", "fraction=1"), "option fraction: unknown key"),
    ):
        made = evlora("prepare", "class_tree", "source", "new/out", *words)
        assert made.returncode == 2
        assert message in made.stderr
        assert sorted(source.parent.rglob("*")) == before
