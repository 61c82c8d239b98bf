"""What a person sees of `evlora pack`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from evlora.cli.main import run
from evlora.datasets import prepare, read_manifest


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


@pytest.fixture
def dataset(source: Path) -> Path:
    """The prepared dataset of the source, beside it."""
    prepare("class_tree", source, source.parent / "dataset")
    return source.parent / "dataset"


@pytest.mark.usefixtures("dataset")
def test_packing_prints_what_it_made(evlora: Callable[..., Result]) -> None:
    made = evlora("pack", "dataset", "out", "clip.frames=2")
    assert made.code == 0, made.err
    assert made.err == ""
    assert made.out.splitlines()[0] == "split  packed  rejected"
    assert made.out.splitlines()[2].split() == ["train", "4", "0"]
    assert "split: folders train/, test/" in made.out
    assert "2 classes; packed dataset, 0.0 MB: out" in made.out
    again = evlora("pack", "dataset", "out", "clip.frames=2")
    assert again.code == 0
    assert again.out.endswith("out: was packed already, 0.0 MB, and its dataset has not changed\n")


@pytest.mark.usefixtures("dataset")
def test_rejected_samples_are_counted_and_explained(
    evlora: Callable[..., Result], source: Path
) -> None:
    (source / "train" / "cat" / "0.npz").write_bytes(b"no archive")
    made = evlora("pack", "dataset", "out", "clip.frames=2")
    assert made.code == 0
    assert made.out.splitlines()[2].split() == ["train", "3", "1"]
    assert "rejected: 1, listed in rejected.csv; the first, train/cat/0: " in made.out
    strict = evlora("pack", "dataset", "strict", "clip.frames=2", "--strict")
    assert strict.code == 2
    assert strict.err.startswith("error: sample train/cat/0: train/cat/0.npz: ")


@pytest.mark.usefixtures("dataset")
def test_an_array_of_jobs_is_started_and_joined(evlora: Callable[..., Result]) -> None:
    first = evlora("pack", "dataset", "out", "--part", "1/2")
    assert first.code == 0, first.err
    assert "part 1/2 is done, 0.0 MB; join all with --join" in first.out
    early = evlora("pack", "dataset", "out", "--join")
    assert early.code == 2
    assert "parts that are missing: 2/2; pack them with --part, then join again" in early.err
    assert evlora("pack", "dataset", "out", "--part", "2/2").code == 0
    joined = evlora("pack", "dataset", "out", "--join")
    assert joined.code == 0, joined.err
    assert read_manifest("out").counts == {"train": 4, "test": 2}


@pytest.mark.usefixtures("dataset")
def test_a_recipe_sets_how_clips_are_packed(evlora: Callable[..., Result]) -> None:
    made = evlora("pack", "dataset", "out", "--recipe", "nmnist_paired", "clip.frames=3")
    assert made.code == 0, made.err
    packed = json.loads(Path("out/dataset.json").read_text())["packed"]
    assert packed["rendering"]["frames"] == 3
    assert packed["rendering"]["modalities"] == ["rgb", "event"]


def test_a_dry_run_shows_the_cost_and_writes_nothing(
    evlora: Callable[..., Result], dataset: Path, source: Path
) -> None:
    (source / "test" / "cat" / "4.npz").write_bytes(b"no archive")
    before = sorted(dataset.parent.rglob("*"))
    seen = evlora("pack", "dataset", "--dry-run", "clip.frames=2", "--workers", "3")
    assert seen.code == 0, seen.err
    first, second, last = seen.out.splitlines()
    assert first.startswith("of 6 samples that were tried 1 cannot be packed; test/cat/4: ")
    cost = "packed: about 0.0 MB in about 1 s, measured on 6 of 6 samples; processes: 3"
    assert second == cost
    assert last == "nothing was written"
    assert sorted(dataset.parent.rglob("*")) == before


@pytest.mark.usefixtures("dataset")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset"], "pack: expected DATASET OUT, got 1 folders"),
        (["source", "new/out"], "source: expected a prepared dataset (dataset.json and"),
        (["dataset", "new/out", "--part", "3/2"], "part: expected i/n with i from 1 to n, such"),
        (["dataset", "new/out", "--part", "1/2", "--join"], "expected --part or --join, got both"),
        (["dataset", "new/out", "--join"], "out.packing: no such folder; pack parts with --part"),
        (["dataset", "new/out", "clip.size=8"], "clip.size: expected one of clip.frames, clip.m"),
        (["dataset", "new/out", "seed=8"], "seed: expected one of clip.frames, clip.modalities"),
        (["dataset", "new/out", "clip.frames=0"], "clip.frames: expected a number above 0, got 0"),
        (["dataset", "new/out", "clip.window=segment"], "set window: frame or exposure, or train"),
        (["dataset", "new/out", "--recipe", "nobodys"], "nobodys: no such recipe"),
        (["dataset", "dataset", "--overwrite"], "that holds the dataset to be packed; name ano"),
    ],
)
def test_a_mistake_is_one_message_and_nothing_is_written(
    words: list[str], message: str, evlora: Callable[..., Result], source: Path
) -> None:
    before = sorted(source.parent.rglob("*"))
    made = evlora("pack", *words)
    assert made.code == 2
    assert message in made.err
    assert made.err.count("\n") == 1
    assert made.out == ""
    assert sorted(source.parent.rglob("*")) == before


@pytest.mark.usefixtures("dataset")
def test_a_recording_that_changed_is_named(evlora: Callable[..., Result], source: Path) -> None:
    assert evlora("pack", "dataset", "out", "clip.frames=2").code == 0
    (source / "test" / "cat" / "4.npz").write_bytes(b"changed")
    again = evlora("pack", "dataset", "out", "clip.frames=2")
    assert again.code == 2
    assert "samples whose files have changed since they were packed: test/cat/4" in again.err
    assert "start anew with --overwrite" in again.err
