"""A prepared dataset is there as a whole, or not at all."""

import pytest

from evlora.datasets import prepare, read_manifest
from evlora.datasets.layouts import LAYOUTS
from evlora.errors import DatasetError
from evlora.files import place_folder
from evlora.locking import holding


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "1.bin").touch()
    (folder / "index.csv").write_text("split,events,label\ntrain,1.bin,cat\n")
    return folder


def test_the_folder_and_its_parents_are_made(source, tmp_path):
    prepare("csv", source, tmp_path / "a" / "b")
    assert read_manifest(tmp_path / "a" / "b").counts == {"train": 1}


def test_an_empty_folder_may_be_there(source, tmp_path):
    (tmp_path / "out").mkdir()
    prepare("csv", source, tmp_path / "out")
    assert read_manifest(tmp_path / "out").counts == {"train": 1}


def test_a_relative_source_is_found_from_anywhere(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare("csv", "source", "out")
    monkeypatch.chdir(source)
    assert read_manifest(tmp_path / "out").source == source


def test_an_earlier_preparation_is_replaced_only_when_allowed(source, tmp_path):
    out = tmp_path / "out"
    prepare("csv", source, out)
    (source / "index.csv").write_text("split,events,label\ntest,1.bin,cat\n")
    with pytest.raises(DatasetError, match="holds a prepared dataset already"):
        prepare("csv", source, out)
    assert read_manifest(out).counts == {"train": 1}
    prepare("csv", source, out, overwrite=True)
    assert read_manifest(out).counts == {"test": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_an_earlier_preparation_stays_when_the_new_one_fails(source, tmp_path):
    out = tmp_path / "out"
    prepare("csv", source, out)
    (source / "index.csv").write_text("split,events,label\ntest,2.bin,cat\n")
    with pytest.raises(DatasetError, match="no such file"):
        prepare("csv", source, out, overwrite=True)
    (source / "index.csv").unlink()
    assert read_manifest(out).counts == {"train": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_a_folder_with_other_things_is_never_replaced(source, tmp_path):
    out = tmp_path / "out"
    prepare("csv", source, out)
    (out / "thesis.tex").touch()
    with pytest.raises(DatasetError, match=r"found thesis\.tex in it; name another folder"):
        prepare("csv", source, out, overwrite=True)
    with pytest.raises(DatasetError, match="name another folder"):
        prepare("csv", source, source, overwrite=True)
    with pytest.raises(DatasetError, match="found a file"):
        prepare("csv", source, source / "1.bin", overwrite=True)


def test_a_place_that_cannot_be_written_is_reported(source):
    with pytest.raises(DatasetError, match="could not be prepared, nothing was written"):
        prepare("csv", source, source / "1.bin" / "out")


@pytest.mark.parametrize("layout", ["csv", "class_tree"])
def test_a_failure_leaves_no_folders_behind(source, tmp_path, layout):
    (source / "index.csv").write_text("split,events,label\ntrain,2.bin,cat\n")
    with pytest.raises(DatasetError):
        prepare(layout, source, tmp_path / "a" / "b" / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_a_failure_leaves_folders_that_were_there(source, tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(DatasetError):
        prepare("class_tree", source, tmp_path / "a" / "b" / "out")
    assert [path.name for path in (tmp_path / "a").iterdir()] == []


def test_the_former_folder_comes_back_when_the_new_one_cannot_take_its_place(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(FileNotFoundError):
        place_folder(tmp_path / "never made", target)
    assert (target / "old").exists()


def test_an_unknown_layout_is_refused_with_the_nearest_one(tmp_path):
    with pytest.raises(
        DatasetError, match=r"no layout is called 'tsv'; did you mean csv\?; evlora prepare --list"
    ):
        prepare("tsv", tmp_path, tmp_path / "out")


def test_an_unknown_option_is_refused_with_those_there_are(source, tmp_path):
    with pytest.raises(
        DatasetError, match=r"option fraction: .*; its options are: .*test_fraction"
    ):
        prepare("class_tree", source, tmp_path / "out", options={"fraction": 1})
    with pytest.raises(DatasetError, match=r"option share: .*; its options are: .*test, seed"):
        prepare("csv", source, tmp_path / "out", options={"share": 1})


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_source_is_asked_for_exactly_where_it_is_needed(layout, tmp_path):
    wrong = None if layout.has_source else tmp_path
    with pytest.raises(DatasetError, match=f"layout {layout.name}"):
        prepare(layout.name, wrong, tmp_path / "out")


def test_a_source_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DatasetError, match="nowhere; check the path"):
        prepare("csv", tmp_path / "nowhere", tmp_path / "out")


def test_a_second_preparation_of_a_folder_is_refused_while_the_first_one_runs(source, tmp_path):
    out = tmp_path / "out"
    held = holding(tmp_path / ".out.lock", refusal=DatasetError("taken"))
    with held, pytest.raises(DatasetError, match="another process prepares a dataset there"):
        prepare("csv", source, out)
    prepare("csv", source, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_what_killed_preparations_left_is_swept(source, tmp_path):
    (tmp_path / ".out.4711.partial" / "recordings").mkdir(parents=True)
    prepare("csv", source, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]
