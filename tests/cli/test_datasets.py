"""What a person sees of `evlora prepare`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from command import Command, Result

from evlora.datasets.layouts import LAYOUTS


@pytest.fixture
def prepare(
    evlora: Command, source: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Runs the verb in the folder of the source, by default on the source as a class tree."""
    monkeypatch.chdir(source.parent)

    def call(*words: str, layout: str = "class_tree") -> Result:
        return evlora("prepare", layout, "source", *words)

    return call


def test_the_index_is_made_with_the_split_it_used(prepare: Callable[..., Result]) -> None:
    made = prepare("out")
    assert made.returncode == 0
    assert made.stdout.splitlines()[4].split() == ["all", "4", "2"]
    assert "split: folders train/, test/" in made.stdout
    assert made.stdout.endswith("2 classes; dataset: out\n")
    assert made.stderr == ""


def test_the_layouts_are_listed(prepare: Callable[..., Result]) -> None:
    listed = prepare("--list")
    assert listed.returncode == 0
    names = [line.split()[0] for line in listed.stdout.splitlines()]
    assert names == [row.name for row in LAYOUTS]
    assert "folders: class/sample or split/class/sample" in listed.stdout


def test_a_dry_run_shows_what_is_there_and_writes_nothing(
    prepare: Callable[..., Result], source: Path
) -> None:
    before = sorted(source.parent.rglob("*"))
    for words in (("out", "--dry-run"), ("--dry-run",)):
        seen = prepare(*words)
        assert seen.returncode == 0, seen.stderr
        size = sum(path.stat().st_size for path in source.glob("train/*/*")) / 1e6
        assert seen.stdout.splitlines()[2].split() == ["train", "4", "4", f"{size:.1f}"]
        assert "2 classes: cat, dog\n" in seen.stdout
        assert "packed" not in seen.stdout
        assert seen.stdout.endswith("nothing was written\n")
        assert sorted(source.parent.rglob("*")) == before


def test_a_dry_run_names_what_is_missing(prepare: Callable[..., Result], source: Path) -> None:
    rows = [f"train,{path.relative_to(source)},cat" for path in sorted(source.glob("train/*/*"))]
    rows += ["test,test/cat/4.npz,cat", "test,lost.npz,dog"]
    (source / "index.csv").write_text("\n".join(["split,events,label", *rows, ""]))
    seen = prepare("--dry-run", layout="csv")
    assert "missing files: 1, such as lost.npz of the sample lost.npz; add them, or" in seen.stdout


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
    assert made.returncode == 2
    assert message in made.stderr
    assert made.stderr.count("\n") == 1
    assert made.stdout == ""
    assert sorted(source.parent.rglob("*")) == before


def test_the_help_shows_no_option_of_packing(prepare: Callable[..., Result]) -> None:
    shown = prepare("--help").stdout
    assert "--overwrite" in shown
    assert not {"--pack", "--shard", "--merge", "--strict", "--workers"} & set(shown.split())


def test_classes_splits_and_parts_are_shown_with_cautions(prepare: Callable[..., Result]):
    shown = prepare("out")
    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["class", "train", "test", "made", "of"]
    assert lines[2].split() == ["cat", "2", "1", "recording"]
    assert lines[4].split() == ["all", "4", "2"]
    assert "caution: fewer than 10 training samples of a class: cat (2), dog (2)" in shown.stdout


def test_check_opens_every_file_and_ends_with_2_where_one_fails(
    prepare: Callable[..., Result], source: Path
):
    assert "opened 6 samples, 0 cannot be read" in prepare("out", "--check").stdout
    (source / "train" / "cat" / "2.npz").write_bytes(b"no archive")
    shown = prepare("out", "--check", "--overwrite")
    assert shown.returncode == 2
    assert "cannot be read: train/cat/2: " in shown.stdout
    assert "error: 1 of 6 samples cannot be read" in shown.stderr
