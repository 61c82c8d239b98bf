"""What a person sees of `evlora pack`."""

import json
from pathlib import Path
from typing import Any

import pytest
from command import Command

from evlora.clips import ClipConfig
from evlora.datasets import Manifest, prepare, read_manifest
from evlora.packing import clip_dataset


@pytest.fixture(autouse=True)
def _in_the_folder_of_the_source(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source.parent)


@pytest.fixture
def dataset(source: Path) -> Path:
    """The prepared dataset of the source, beside it."""
    prepare("class_tree", source, source.parent / "dataset")
    return source.parent / "dataset"


@pytest.mark.usefixtures("dataset")
def test_packing_prints_what_it_made(evlora: Command) -> None:
    made = evlora("pack", "dataset", "out", "clip.frames=2")
    assert made.returncode == 0, made.stderr
    assert made.stderr == ""
    assert made.stdout.splitlines()[0] == "split  packed  rejected"
    assert made.stdout.splitlines()[2].split() == ["train", "4", "0"]
    assert "split: folders train/, test/" in made.stdout
    assert "2 classes; packed dataset, 0.0 MB: out" in made.stdout
    again = evlora("pack", "dataset", "out", "clip.frames=2")
    assert again.returncode == 0
    assert again.stdout.endswith(
        "out: was packed already, 0.0 MB, and its dataset has not changed\n"
    )


@pytest.mark.usefixtures("dataset")
def test_rejected_samples_are_counted_and_explained(evlora: Command, source: Path) -> None:
    (source / "train" / "cat" / "0.npz").write_bytes(b"no archive")
    made = evlora("pack", "dataset", "out", "clip.frames=2")
    assert made.returncode == 0
    assert made.stdout.splitlines()[2].split() == ["train", "3", "1"]
    assert "rejected: 1, listed in rejected.csv; the first, train/cat/0: " in made.stdout
    strict = evlora("pack", "dataset", "strict", "clip.frames=2", "--strict")
    assert strict.returncode == 2
    assert strict.stderr.startswith("error: sample train/cat/0: train/cat/0.npz: ")


@pytest.mark.usefixtures("dataset")
def test_an_array_of_jobs_is_started_and_joined(evlora: Command) -> None:
    first = evlora("pack", "dataset", "out", "--part", "1/2")
    assert first.returncode == 0, first.stderr
    assert "part 1/2 is done, 0.0 MB; join all with --join" in first.stdout
    early = evlora("pack", "dataset", "out", "--join")
    assert early.returncode == 2
    assert "parts that are missing: 2/2; pack them with --part, then join again" in early.stderr
    assert evlora("pack", "dataset", "out", "--part", "2/2").returncode == 0
    joined = evlora("pack", "dataset", "out", "--join")
    assert joined.returncode == 0, joined.stderr
    assert read_manifest("out").counts == {"train": 4, "test": 2}


@pytest.mark.usefixtures("dataset")
def test_a_recipe_sets_how_clips_are_packed(evlora: Command) -> None:
    made = evlora("pack", "dataset", "out", "--recipe", "nmnist_paired", "clip.frames=3")
    assert made.returncode == 0, made.stderr
    packed = json.loads(Path("out/dataset.json").read_text())["packed"]
    assert packed["rendering"]["frames"] == 3
    assert packed["rendering"]["modalities"] == ["rgb", "event"]


def test_what_is_packed_has_passed_the_filters(evlora: Command, dataset: Path) -> None:
    made = evlora("pack", dataset, "out", "clip.frames=2", "--filter", "flip_polarity")
    assert made.returncode == 0, made.stderr
    packed = read_manifest("out")
    assert packed.packed is not None
    assert packed.packed.rendering.filters == ("flip_polarity",)

    def events(manifest: Manifest, *filters: str) -> Any:
        config = ClipConfig(frames=2, size=16, filters=filters)
        return clip_dataset(manifest, "test", config)[0].events

    assert events(packed, "flip_polarity").equal(events(read_manifest(dataset), "flip_polarity"))
    assert not events(packed, "flip_polarity").equal(events(read_manifest(dataset)))


def test_a_dry_run_shows_the_cost_and_writes_nothing(
    evlora: Command, dataset: Path, source: Path
) -> None:
    (source / "test" / "cat" / "4.npz").write_bytes(b"no archive")
    before = sorted(dataset.parent.rglob("*"))
    seen = evlora("pack", "dataset", "--dry-run", "clip.frames=2", "--workers", "3")
    assert seen.returncode == 0, seen.stderr
    first, second, last = seen.stdout.splitlines()
    assert first.startswith("of 6 samples that were tried 1 cannot be packed; test/cat/4: ")
    assert second.startswith("packed: about 0.0 MB in about 1 s, measured on 6 of 6 samples; ")
    assert second.endswith(" times the size of the files; processes: 3")
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
        (["dataset", "new/out", "--filter", "hot"], "clip.filters: no filter is called 'hot'"),
        (
            ["dataset", "new/out", "clip.filters=[crop]", "--filter", "hot_pixels"],
            "expected --filter or clip.filters, got both",
        ),
        (["dataset", "new/out", "seed=8"], "seed: expected one of clip.frames, clip.modalities"),
        (["dataset", "new/out", "clip.frames=0"], "clip.frames: expected a number above 0, got 0"),
        (["dataset", "new/out", "clip.window=segment"], "set window: frame or exposure, or train"),
        (["dataset", "new/out", "--recipe", "nobodys"], "nobodys: no such recipe"),
        (["dataset", "dataset", "--overwrite"], "that holds the dataset to be packed; name ano"),
    ],
)
def test_a_mistake_is_one_message_and_nothing_is_written(
    words: list[str], message: str, evlora: Command, source: Path
) -> None:
    before = sorted(source.parent.rglob("*"))
    made = evlora("pack", *words)
    assert made.returncode == 2
    assert message in made.stderr
    assert made.stderr.count("\n") == 1
    assert made.stdout == ""
    assert sorted(source.parent.rglob("*")) == before


@pytest.mark.usefixtures("dataset")
def test_a_recording_that_changed_is_named(evlora: Command, source: Path) -> None:
    assert evlora("pack", "dataset", "out", "clip.frames=2").returncode == 0
    (source / "test" / "cat" / "4.npz").write_bytes(b"changed")
    again = evlora("pack", "dataset", "out", "clip.frames=2")
    assert again.returncode == 2
    assert "samples whose files have changed since they were packed: test/cat/4" in again.stderr
    assert "start anew with --overwrite" in again.stderr
