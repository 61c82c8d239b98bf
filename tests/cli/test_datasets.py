"""What a person sees of `evlora prepare`."""

import json
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
    assert made.out.splitlines()[2:4] == ["train        4", "test         2"]
    assert "split: folders train/, test/" in made.out
    assert made.out.endswith("2 classes; dataset: out\n")
    assert made.err == ""


def test_packing_tells_what_it_made(prepare: Callable[..., Result]) -> None:
    made = prepare("out", "--pack", "clip.frames=2")
    assert made.code == 0, made.err
    assert made.out.splitlines()[0] == "split  packed  rejected"
    assert made.out.splitlines()[2].split() == ["train", "4", "0"]
    assert "2 classes; packed dataset, 0.0 MB: out" in made.out
    again = prepare("out", "--pack", "clip.frames=2")
    assert again.code == 0
    assert again.out.endswith("out: was packed already, 0.0 MB, and its source has not changed\n")


def test_rejected_samples_are_counted_and_explained(
    prepare: Callable[..., Result], source: Path
) -> None:
    (source / "train" / "cat" / "0.npz").write_bytes(b"no archive")
    made = prepare("out", "--pack", "clip.frames=2")
    assert made.code == 0
    assert made.out.splitlines()[2].split() == ["train", "3", "1"]
    assert "rejected: 1, as rejected.csv says; the first, train/cat/0: " in made.out
    strict = prepare("strict", "--pack", "clip.frames=2", "--strict")
    assert strict.code == 2
    assert strict.err.startswith("error: sample train/cat/0: train/cat/0.npz: ")


def test_an_array_of_jobs_is_started_and_joined(prepare: Callable[..., Result]) -> None:
    first = prepare("out", "--pack", "--shard", "1/2")
    assert first.code == 0, first.err
    assert "shard 1/2 is done, 0.0 MB; join all with --merge" in first.out
    early = prepare("out", "--pack", "--merge")
    assert early.code == 2
    assert "shards that are missing: 2/2; pack them with --shard, then join again" in early.err
    assert prepare("out", "--pack", "--shard", "2/2").code == 0
    joined = prepare("out", "--pack", "--merge")
    assert joined.code == 0, joined.err
    assert read_manifest("out").counts == {"train": 4, "test": 2}


def test_a_recipe_says_how_clips_are_packed(prepare: Callable[..., Result]) -> None:
    made = prepare("out", "--pack", "--recipe", "nmnist_paired", "clip.frames=3")
    assert made.code == 0, made.err
    packed = json.loads(Path("out/dataset.json").read_text())["packed"]
    assert packed["rendering"]["frames"] == 3
    assert packed["rendering"]["modalities"] == ["rgb", "event"]


def test_a_dry_run_says_what_is_there_and_writes_nothing(
    prepare: Callable[..., Result], source: Path
) -> None:
    before = sorted(source.parent.rglob("*"))
    seen = prepare("out", "--dry-run", "--pack", "clip.frames=2", "--workers", "3")
    assert seen.code == 0, seen.err
    size = sum(path.stat().st_size for path in source.glob("train/*/*")) / 1e6
    assert seen.out.splitlines()[2].split() == ["train", "4", "4", f"{size:.1f}"]
    assert "2 classes: cat, dog\n" in seen.out
    assert "packed: about 0.0 MB in about 1 s, as 6 samples tell; processes: 3\n" in seen.out
    assert seen.out.endswith("nothing was written\n")
    assert sorted(source.parent.rglob("*")) == before
    without_out = prepare("--dry-run")
    assert without_out.code == 0
    assert "packed" not in without_out.out


def test_a_dry_run_names_what_is_missing_or_bad(
    prepare: Callable[..., Result], source: Path
) -> None:
    rows = [f"train,{path.relative_to(source)},cat" for path in sorted(source.glob("train/*/*"))]
    rows += ["test,test/cat/4.npz,cat", "test,lost.npz,dog"]
    (source / "index.csv").write_text("\n".join(["split,events,label", *rows, ""]))
    (source / "test" / "cat" / "4.npz").write_bytes(b"no archive")
    seen = prepare("--dry-run", "--pack", "clip.frames=2", layout="csv")
    assert seen.code == 0, seen.err
    assert (
        "missing files: 1, such as lost.npz of the sample lost.npz; such samples would be rejected"
    ) in seen.out
    assert (
        "of 6 samples that were tried 2 cannot be packed; test/cat/4.npz: test/cat/4.npz: "
    ) in seen.out
    index = prepare("--dry-run", layout="csv")
    assert "of the sample lost.npz; mend them before preparing" in index.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["clip.frames=2"], "prepare: clip.frames is for packing; add --pack"),
        (["--shard", "1/2"], "prepare: --shard is for packing; add --pack"),
        (["--workers", "0"], "prepare: --workers is for packing; add --pack"),
        (["--pack", "--shard", "3/2"], "shard: expected i/n with i from 1 to n, such as 3/10"),
        (["--pack", "--shard", "1/2", "--merge"], "expected --shard or --merge, got both"),
        (["--pack", "--merge"], "out.packing: no such folder; pack shards with --shard first"),
        (["--pack", "clip.size=8"], "clip.size: packing is told by clip.frames, clip.modalities"),
        (["--pack", "clip.frames=0"], "clip.frames=0: Input should be greater than 0"),
        (["--pack", "clip.window=segment"], "set window: frame or exposure, or train from"),
        (["--pack", "--recipe", "nobodys"], "nobodys: no such recipe"),
        (["--pack", "fraction=1"], "layout class_tree: option fraction: unknown key"),
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


def test_a_source_that_changed_is_told(prepare: Callable[..., Result], source: Path) -> None:
    assert prepare("out", "--pack", "clip.frames=2").code == 0
    (source / "test" / "cat" / "4.npz").write_bytes(b"changed")
    again = prepare("out", "--pack", "clip.frames=2")
    assert again.code == 2
    assert "samples whose files have changed since they were packed: 1 (test/cat/4)" in again.err
    assert "start anew with --overwrite" in again.err
