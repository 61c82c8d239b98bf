"""Manifests by columns: the same samples and the same faults as line by line."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from evlora.datasets import Manifest, read_manifest
from evlora.datasets.plain_lines import PlainSamples, read_plain
from evlora.datasets.samples import Sample, parse_line, to_line
from evlora.datasets.storage import write_manifest
from evlora.errors import DatasetError

LABELS = ("left", "ħräuns", "no sign")
SAMPLES = tuple(
    Sample(
        f"s{i}", None if i % 3 else f"a/{i}.npz", f"f/{i}" if i % 3 else None, LABELS[i % 3], split
    )
    for i, split in enumerate(["train", "val", "train", "test", "train"])
)


def written(folder: Path, lines: list[str]) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def lines_of(samples: tuple[Sample, ...]) -> list[str]:
    return [to_line(sample) for sample in samples]


def test_samples_by_columns_are_those_of_the_lines(tmp_path: Path) -> None:
    found = read_plain(written(tmp_path, lines_of(SAMPLES)), LABELS)
    assert isinstance(found, PlainSamples)
    assert tuple(found) == SAMPLES
    assert found == SAMPLES
    assert hash(found) == hash(SAMPLES)
    assert [found[i] for i in (0, 4, -1, -5)] == [SAMPLES[i] for i in (0, 4, -1, -5)]
    assert found[1:4] == SAMPLES[1:4]
    assert found[:2] + found[3:] == SAMPLES[:2] + SAMPLES[3:] == SAMPLES[:2] + found[3:]
    assert found.counts == {"train": 3, "val": 1, "test": 1}
    assert found.of_split("train") == SAMPLES[::2]
    assert found.of_split("train")[1:] == SAMPLES[2::2]
    assert len(found.of_split("elsewhere")) == 0
    assert pickle.loads(pickle.dumps(found.of_split("val"))) == SAMPLES[1:2]
    with pytest.raises(IndexError):
        found[5]


def test_a_last_line_without_a_break_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, lines_of(SAMPLES))
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    assert read_plain(path, LABELS) == SAMPLES


def changed(**values: Any) -> str:
    fields = {"sample": "s9", "events": "a", "frames": None, "label": "left", "split": "train"}
    return json.dumps(fields | values, ensure_ascii=False)


LOOKED_AT = {
    "another key": changed(sensor_px=[3, 4]),
    "several pictures": changed(events=None, frames=["a", "b"]),
    "an escape": changed(sample='a"b'),
    "an unknown label": changed(label="right"),
    "an unknown split": changed(split="none"),
    "a name twice": changed(sample="s1"),
    "no name": changed(sample=""),
    "an empty path": changed(events=""),
    "neither": changed(events=None),
    "a long name": changed(sample="x" * 1001),
    "a path to above": changed(events="a/../../b"),
    "a path from the root": changed(events="/a"),
    "a number": changed(sample=3),
    "another order": changed().replace(
        '"sample": "s9", "events": "a"', '"events": "a", "sample": "s"'
    ),
    "no spaces": changed().replace(" ", ""),
    "an empty line": "",
    "more before": "x" + changed(),
    "more behind": changed() + " x",
    "a control character": changed().replace("s9", "s\x019"),
    "another line's end": changed() + "\r",
    "two on a line": changed() + changed(sample="s8"),
}


@pytest.mark.parametrize("case", LOOKED_AT)
def test_an_unusual_line_is_looked_at_by_itself(case: str, tmp_path: Path) -> None:
    lines = lines_of(SAMPLES)
    assert read_plain(written(tmp_path, [*lines[:2], LOOKED_AT[case], *lines[2:]]), LABELS) is None


def test_bytes_that_are_no_text_are_looked_at(tmp_path: Path) -> None:
    path = written(tmp_path, lines_of(SAMPLES))
    path.write_bytes(path.read_bytes().replace(b"s2", b"s\xff"))
    assert read_plain(path, LABELS) is None


def test_a_manifest_read_by_columns_is_checked_and_used_as_before(tmp_path: Path) -> None:
    made = Manifest("csv", tmp_path, LABELS, SAMPLES)
    write_manifest(made, tmp_path)
    found = read_manifest(tmp_path, checks_files=False)
    assert isinstance(found.samples, PlainSamples)
    assert (found.counts, found.splits) == (made.counts, made.splits)
    assert list(found.split("train")) == list(made.split("train"))
    assert found.with_shots(1, seed=0).counts == made.with_shots(1, seed=0).counts
    with pytest.raises(DatasetError, match=r"line 1: s0: no such file: a/0\.npz"):
        read_manifest(tmp_path)
    about = json.loads((tmp_path / "dataset.json").read_text())
    about["counts"]["train"] = 4
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    with pytest.raises(DatasetError, match=r"expected .'train': 4.* samples as dataset.json"):
        read_manifest(tmp_path, checks_files=False)


def test_every_line_that_is_taken_by_columns_would_be_taken_by_itself(tmp_path: Path) -> None:
    for name in ("a b", "ünïcode", "日本", "{}", "a: b", "'", "x" * 1000, "\x7f"):
        line = changed(sample=name)
        found = read_plain(written(tmp_path, [line]), LABELS)
        assert found is not None
        assert found[0] == parse_line(line, LABELS)
