"""Official lists: what their lines say, from where labels count, and what contradicts."""

from pathlib import Path

import pytest

from evlora.datasets.layouts.label_lists import (
    ListedSample,
    label_base,
    label_of_each_class,
    read_lists,
    without_repetitions,
)
from evlora.errors import DatasetError


@pytest.fixture
def listed(tmp_path: Path):
    """A function that writes lists, split → lines, and reads them."""

    def read(**lists: str) -> list[ListedSample]:
        paths = {split: tmp_path / f"{split}_label.txt" for split in lists}
        for split, text in lists.items():
            paths[split].write_text(text, encoding="utf-8")
        return read_lists(paths)

    return read


def class_of(sample: ListedSample) -> str:
    return sample.path.split("/")[0]


def number_of(name: str) -> int | None:
    return int(name.removeprefix("action_")) - 1 if name.startswith("action_") else None


def base(samples: list[ListedSample]) -> int:
    return label_base(label_of_each_class(samples, class_of), number_of)


@pytest.mark.parametrize(
    ("line", "path", "frames", "label"),
    [
        # HARDVS and PokerEvent as they are published: path, number of frames, label
        (
            "action_001/dvSave-2021_10_15_19_18_02 13 0",
            "action_001/dvSave-2021_10_15_19_18_02",
            13,
            0,
        ),
        ("heart_king/dvSave-2022_10_15_19_18_02 40 113", None, 40, 113),
        # DailyDVS-200: relative path, number of the action
        (
            "event_raw/11_11/3/C0P3M0S1_20231111_09_11_23.aedat4 0",
            "event_raw/11_11/3/C0P3M0S1_20231111_09_11_23.aedat4",
            None,
            0,
        ),
        ("event_raw/11_11/3/C0P3M0S1_20231111_09_11_23.aedat4, 0", None, None, 0),
        ("a/b\t12\t3", "a/b", 12, 3),
        ("a/b 12\t3  ", "a/b", 12, 3),
        ("a/b\t3", "a/b", None, 3),
        (".\\a\\b   3", "a/b", None, 3),
        ("two words/b 12 3", "two words/b", 12, 3),
        ("class 5/b 12 3", "class 5/b", 12, 3),
    ],
)
def test_lines_have_two_or_three_columns_apart_by_anything(listed, line, path, frames, label):
    (sample,) = listed(train=f"\ufeff{line}\r\n\r\n")
    assert sample.path == (path or line.split()[0].rstrip(","))
    assert (sample.frames, sample.label) == (frames, label)
    assert (sample.split, sample.where) == ("train", "train_label.txt line 1")


@pytest.mark.parametrize("line", ["a/b", "a/b cat", "a/b 1.5", "a/b -1"])
def test_a_line_of_another_form_is_refused_with_its_place(listed, line):
    with pytest.raises(DatasetError, match=r"test_label\.txt line 2: expected `path label` or"):
        listed(test=f"a/b 0\n{line}\n")


def test_an_empty_list_and_one_in_another_encoding_are_refused(listed, tmp_path):
    with pytest.raises(DatasetError, match=r"train_label\.txt: .*the file is empty"):
        listed(train="\n")
    (tmp_path / "train_label.txt").write_bytes(b"\xff\xfea\x00")
    with pytest.raises(DatasetError, match="expected text in UTF-8, got byte 0"):
        read_lists({"train": tmp_path / "train_label.txt"})


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ("action_001/a 5 0\naction_130/b 5 129", "action_002/c 5 1", 0),
        ("action_001/a 5 1\naction_130/b 5 130", "action_002/c 5 2", 1),
        ("action_300/a 5 299", "action_299/c 5 298", 0),  # the names alone tell
        ("club/a 5 0\nheart/b 5 1", "spade/c 5 2", 0),
        ("club/a 5 1\nheart/b 5 2", "spade/c 5 3", 1),
        ("club/a 5 2\nheart/b 5 3", "spade/c 5 1", 1),
    ],
)
def test_where_labels_count_from_is_decided_by_all_lists_together(listed, train, test, expected):
    assert base(listed(train=train, test=test)) == expected


@pytest.mark.parametrize(
    ("train", "test", "from_0", "from_1"),
    [
        (
            "action_001/a 5 0\naction_002/b 5 2",
            "action_003/c 5 2",
            "expected 1 for action_002, train_label.txt line 2 gives 2",
            "expected 1 for action_001, train_label.txt line 1 gives 0",
        ),
        (
            "club/a 5 0",
            "heart/b 5 2",
            "expected 0 to 1 for 2 classes, test_label.txt line 1 gives 2",
            "expected 1 to 2 for 2 classes, train_label.txt line 1 gives 0",
        ),
    ],
)
def test_labels_that_fit_no_reading_are_refused_with_a_line_against_each(
    listed, train, test, from_0, from_1
):
    with pytest.raises(DatasetError) as caught:
        base(listed(train=train, test=test))
    assert f"counted from 0: {from_0}" in str(caught.value)
    assert f"counted from 1: {from_1}" in str(caught.value)


def test_a_folder_with_two_labels_is_refused_with_both_lines(listed):
    samples = listed(train="club/a 5 0\nclub/b 5 0", test="heart/c 5 1\nclub/d 5 1")
    with pytest.raises(
        DatasetError,
        match=r"folder club, found 0 \(train_label\.txt line 1\) and 1 \(test_label\.txt line 2\)",
    ):
        base(samples)


def test_a_sample_in_two_splits_or_with_two_labels_is_refused(listed):
    def name(sample: ListedSample) -> str:
        return sample.path

    with pytest.raises(DatasetError, match=r"a/b in train \(train_.* line 1\) and in test \(test_"):
        without_repetitions(listed(train="a/b 0", test="a/b 0"), name)
    with pytest.raises(DatasetError, match=r"one label for a/b, found 0 \(.* line 1\) and 1 \(.*2"):
        without_repetitions(listed(train="a/b 0\na/b 1"), name)


def test_a_sample_that_one_list_repeats_counts_once(listed):
    by_name, notes = without_repetitions(listed(train="a/b 0\na/c 0\na/b 0"), lambda s: s.path)
    assert list(by_name) == ["a/b", "a/c"]
    assert notes == ["1 lines were skipped: train_label.txt line 3 repeats a/b of line 1"]
