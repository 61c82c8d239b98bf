"""A table of samples becomes a manifest."""

import pytest

from evlora.datasets import prepare, read_manifest
from evlora.errors import DatasetError


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("1.bin", "2.bin", "1.png", "a, b.png"):
        (source / name).touch()
    return source


def prepared(folder, text, *, name="index.csv", source=None):
    (folder / name).write_text(text, encoding="utf-8")
    return prepare("csv", source or folder, folder.parent / "out")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_found_out(folder, separator):
    text = "split,events,frame,label\ntrain,1.bin,1.png,cat\ntest,2.bin,,dog\n"
    manifest = prepared(folder, text.replace(",", separator))
    assert manifest.counts == {"train": 1, "test": 1}
    assert manifest.labels == ("cat", "dog")
    first, second = manifest.samples
    assert (first.events, first.frames) == ("1.bin", "1.png")
    assert (second.events, second.frames) == ("2.bin", None)


def test_what_was_prepared_can_be_read(folder):
    manifest = prepared(folder, "split,events,label\ntrain,1.bin,cat\n")
    assert read_manifest(folder.parent / "out") == manifest


def test_a_path_of_windows_is_refused_with_the_cure(folder):
    with pytest.raises(DatasetError, match=r"no such file: a\\1.bin; write / between folders"):
        prepared(folder, "split,events,label\ntrain,a\\1.bin,cat\n")


def test_the_table_itself_may_be_named(folder):
    manifest = prepared(
        folder,
        "split,events,label\ntrain,1.bin,cat\n",
        name="mine.csv",
        source=folder / "mine.csv",
    )
    assert manifest.source == folder.resolve()


def test_columns_may_be_written_otherwise_and_stand_in_any_order(folder):
    manifest = prepared(folder, '\ufeffLabel, Frames ,Split\ncat,"a, b.png",validation\n\n')
    (only,) = manifest.samples
    assert (only.label, only.frames, only.events, only.split) == ("cat", "a, b.png", None, "val")


def test_a_row_may_name_event_images_beside_frames_or_alone(folder):
    manifest = prepared(
        folder,
        'split,frame,event_images,label\ntrain,1.png,"a, b.png",cat\ntest,,"a, b.png",cat\n',
    )
    assert manifest.split_source == "column split of index.csv"
    assert [(sample.frames, sample.event_images) for sample in manifest.samples] == [
        ("1.png", "a, b.png"),
        (None, "a, b.png"),
    ]


def test_other_columns_are_kept_and_noted(folder):
    manifest = prepared(folder, "split,events,label,who\ntrain,1.bin,cat,me\ntest,2.bin,cat,\n")
    assert "kept the columns who" in manifest.notes[0]
    assert [sample.value_of("who") for sample in manifest.samples] == ["me", None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("split,events\ntrain,1.bin\n", "expected the columns split, label, .*got split, events"),
        (
            "split,label\ntrain,cat\n",
            "and events, frame, event_images or several of them, got split, label",
        ),
        ("", "got no header"),
        ("split,events,label,Label\n", "one column label, got 2"),
        ("split,events,label\ntrain,1.bin\n", "row 2: expected 3 cells as in the first row, got 2"),
        ("split,events,label\n\ntrain,,cat\n", "row 3: expected a split, a label, and events"),
        ("split,events,label\ndev,1.bin,cat\n", "row 2: expected the split .*got 'dev'"),
        ("split,events,label\ntrain,3.bin,cat\n", "no such file: 3.bin"),
        ("split,events,label\ntrain,1.bin,cat\ntest,1.bin,cat\n", "'1.bin' stands there 2 times"),
        ("split,events,label\n", "expected at least one sample, got none"),
    ],
)
def test_a_wrong_table_is_refused_and_nothing_is_written(folder, text, message):
    with pytest.raises(DatasetError, match=message):
        prepared(folder, text)
    assert [path.name for path in folder.parent.iterdir()] == ["source"]


def test_a_table_in_another_encoding_is_refused(folder):
    (folder / "index.csv").write_bytes("split,events,label\ntrain,1.bin,Bär\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="byte 32 of another encoding; save it as UTF-8"):
        prepare("csv", folder, folder.parent / "out")


def test_a_folder_without_a_table_is_shown_with_what_it_holds(folder):
    with pytest.raises(DatasetError, match=r"index\.csv: no such table; .*found 1\.bin, 1\.png"):
        prepare("csv", folder, folder.parent / "out")


def two_classes_of_six(folder):
    for number in range(12):
        (folder / f"{number}.bin").touch()
    rows = [f"train,{number}.bin,{'ab'[number % 2]}" for number in range(12)]
    (folder / "index.csv").write_text("split,events,label\n" + "\n".join(rows), encoding="utf-8")
    return folder


def test_a_test_split_may_be_chosen_anew_evenly_over_the_classes(folder, tmp_path):
    source = two_classes_of_six(folder)
    manifest = prepare("csv", source, tmp_path / "a", options={"test": 4})
    assert manifest.counts == {"train": 8, "test": 4}
    assert sorted(sample.label for sample in manifest.split("test")) == ["a", "a", "b", "b"]
    assert manifest.split_source == "4 rows for test, evenly chosen, seed 0"

    again = prepare("csv", source, tmp_path / "b", options={"test": 4})
    other = prepare("csv", source, tmp_path / "c", options={"test": 4, "seed": 1})
    assert again.samples == manifest.samples
    assert other.samples != manifest.samples


def test_a_test_split_may_hold_out_whole_persons(folder, tmp_path):
    source = two_classes_of_six(folder)
    rows = (source / "index.csv").read_text().split()[1:]
    persons = [f"{row},{number // 4}" for number, row in enumerate(rows)]
    (source / "index.csv").write_text("\n".join(["split,events,label,person", *persons]))
    manifest = prepare("csv", source, tmp_path / "a", options={"test": 4, "apart": "person"})
    assert manifest.counts == {"train": 8, "test": 4}
    assert len({sample.value_of("person") for sample in manifest.split("test")}) == 1
    assert manifest.split_source == "4 rows for test, no person on both sides, seed 0"
    with pytest.raises(DatasetError, match="add test=N, or remove apart"):
        prepare("csv", source, tmp_path / "b", options={"apart": "person"})


def test_a_test_split_of_all_rows_is_refused(folder, tmp_path):
    source = two_classes_of_six(folder)
    with pytest.raises(DatasetError, match=r"test=12 of 12; choose fewer"):
        prepare("csv", source, tmp_path / "a", options={"test": 12})
