"""The index of a dataset: written whole, read strictly."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from evlora.datasets.holding_out import choose_evenly
from evlora.datasets.manifest import Manifest, Sample
from evlora.datasets.storage import (
    DATASET_FILE,
    MANIFEST_FILE,
    read_manifest,
    require_sound,
    write_manifest,
)
from evlora.errors import DatasetError


def sample(number, *, label="cat", split="train", frames=None):
    return Sample(f"s{number}", f"s{number}.bin", frames, label, split)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(4):
        (folder / f"s{number}.bin").write_bytes(b"\0" * 5)
    (folder / "a.png").touch()
    (folder / "b.png").touch()
    return folder


@pytest.fixture
def manifest(source):
    samples = (
        sample(0, frames="a.png"),
        sample(1, label="dog", frames=("a.png", "b.png")),
        sample(2, split="val"),
        Sample("only frames, ünïcode", None, "b.png", "dog", "test"),
        Sample("drawn before", None, "a.png", "dog", "test", event_images="b.png"),
        Sample(
            *("only drawn", None, None, "dog", "test"),
            event_images=("a.png", "b.png"),
            columns=(("light", "dim"), ("who", "ü")),
        ),
    )
    return Manifest("test", source, ("cat", "dog"), samples, split_source="official lists")


@pytest.fixture
def written(manifest, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    write_manifest(manifest, folder)
    return folder


def change_line(folder, number, **fields):
    path = folder / MANIFEST_FILE
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[number] = json.dumps({**json.loads(lines[number]), **fields})
    path.write_text("\n".join(lines), encoding="utf-8")


def fault_in(folder):
    with pytest.raises(DatasetError) as caught:
        read_manifest(folder)
    return str(caught.value)


def test_what_is_written_is_read_back(manifest, written):
    assert read_manifest(written) == manifest


def test_a_dataset_whose_replacement_was_stopped_is_read(manifest, written):
    # Where names cannot be exchanged in one step, a kill may leave the old one aside.
    written.rename(written.with_name(f".{written.name}.former"))
    assert read_manifest(written) == manifest


def test_a_source_that_no_folder_can_be_called_is_refused(written):
    about = written / "dataset.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"source": "x" * 5000}))
    with pytest.raises(DatasetError, match="cannot be opened: File name too long"):
        read_manifest(written)


def test_a_dataset_of_an_earlier_version_is_read(manifest, source, tmp_path):
    """Written by version 0.1.0: without event images and without a word on the split."""
    about = {
        "format": "evlora dataset",
        "version": 1,
        "layout": "test",
        "source": str(source),
        "labels": ["cat", "dog"],
        "counts": {"train": 1},
    }
    line = {"sample": "s0", "events": "s0.bin", "frames": None, "label": "cat", "split": "train"}
    (tmp_path / DATASET_FILE).write_text(json.dumps(about))
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(line) + "\n")
    read = read_manifest(tmp_path)
    assert read.split_source == ""
    assert read.samples == (sample(0, label="cat"),)


def test_only_the_two_files_are_written(written):
    assert {path.name for path in written.iterdir()} == {DATASET_FILE, MANIFEST_FILE}


def test_splits_counts_and_samples_agree(manifest):
    assert manifest.splits == ("train", "val", "test")
    assert manifest.counts == {"train": 2, "val": 1, "test": 3}
    assert [found.sample for found in manifest.split("train")] == ["s0", "s1"]


def test_a_split_that_is_not_there_is_named_with_those_that_are(manifest):
    without = replace(manifest, samples=manifest.samples[:2])
    with pytest.raises(DatasetError, match=r"split 'test': expected one .*: it has 2 in train"):
        without.split("test")


def test_a_source_inside_the_dataset_moves_with_it(tmp_path):
    folder = tmp_path / "out"
    (folder / "recordings").mkdir(parents=True)
    (folder / "recordings" / "s0.bin").touch()
    one = Sample("s0", "recordings/s0.bin", None, "cat", "train")
    write_manifest(Manifest("test", folder, ("cat",), (one,)), folder)
    moved = folder.rename(tmp_path / "elsewhere")
    assert read_manifest(moved).source == moved


def test_a_source_that_moved_can_be_given(source, written, tmp_path):
    moved = source.rename(tmp_path / "moved")
    assert "data.source=FOLDER to train" in fault_in(written)
    assert read_manifest(written, source=moved).source == moved


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"events": "missing.bin"}, "line 1: s0: no such file: missing.bin"),
        ({"frames": ["a.png", "c.png"]}, "line 1: s0: no such file: c.png"),
        ({"label": "cow"}, "line 1: s0: expected one of the dataset's 2 labels, got 'cow'"),
        ({"label": ["cat"]}, r"got \['cat'\]"),
        ({"split": "dev"}, "line 1: s0: expected a split of train, val, test, got 'dev'"),
        ({"events": None, "frames": None}, "line 1: s0: expected events or frames, got neither"),
        ({"events": 3}, "line 1: expected a path or null as events, got 3"),
        ({"frames": []}, r"line 1: expected a path, a list of paths, or null as frames, got \[\]"),
        ({"event_images": "c.png"}, "line 1: s0: no such file: c.png"),
        ({"event_images": 3}, "expected a path, a list of paths, or null as event_images, got 3"),
        ({"sample": ""}, "line 1: expected a name as sample, got ''"),
        ({"sample": "s1"}, "the sample 's1' stands there 2 times"),
        ({"columns": {"light": 3}}, "line 1: s0: expected names and values of text as columns"),
        ({"weight": 1}, "line 1: expected the keys sample, events, .* got .*weight"),
        ({"events": "a.png"}, "line 1: s0: expected a recording as events, got frames: a.png"),
        (
            {"split": "val"},
            "expected .*'train': 2.* samples as dataset.json states, got .*'val': 2",
        ),
    ],
)
def test_a_wrong_line_is_reported_with_its_place(written, fields, message):
    change_line(written, 0, **fields)
    with pytest.raises(DatasetError, match=message):
        read_manifest(written)


def test_a_sample_keeps_its_further_columns(source, tmp_path):
    one = replace(sample(0), columns=(("subject", "07"), ("light", "dark")))
    write_manifest(Manifest("test", source, ("cat",), (one,)), tmp_path)
    (found,) = read_manifest(tmp_path).samples
    assert found == one
    assert [found.value_of(column) for column in ("light", "label", "place")] == [
        "dark",
        "cat",
        None,
    ]


def test_a_line_of_two_samples_is_a_fault(written):
    path = written / MANIFEST_FILE
    lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{lines[0]},{lines[1]}", *lines[2:]]))
    assert "line 1: expected one JSON object" in fault_in(written)


def test_many_labels_are_looked_up_without_a_search(source, tmp_path):
    count = 20_000
    names = tuple(f"class {number}" for number in range(count))
    samples = tuple(replace(sample(0), sample=name, label=name) for name in names)
    write_manifest(Manifest("test", source, names, samples), tmp_path)
    begun = time.process_time()
    assert len(read_manifest(tmp_path).samples) == count
    assert time.process_time() - begun < 2


def test_events_of_an_unknown_format_are_reported(written, source):
    (source / "s0.xyz").touch()
    change_line(written, 0, events="s0.xyz")
    assert "no format has its suffix '.xyz'" in fault_in(written)


@pytest.mark.parametrize("line", ["{", "[]", "null", "3", "\0"])
def test_a_line_that_is_no_object_is_reported(written, line):
    with (written / MANIFEST_FILE).open("a") as file:
        file.write(line + "\n")
    assert "1 fault:\n  line 7: expected" in fault_in(written)


def test_many_faults_are_counted_and_the_first_are_shown(source, tmp_path):
    samples = tuple(sample(number + 10) for number in range(8))
    manifest = Manifest("test", source, ("cat",), samples)
    write_manifest(manifest, tmp_path)
    message = fault_in(tmp_path)
    assert "8 faults" in message
    assert message.count("no such file") == 5
    assert "and 3 more" in message
    assert "mend the lines or the files" in message


def test_a_manifest_that_was_cut_short_is_noticed(written):
    path = written / MANIFEST_FILE
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:3]))
    assert f"samples as {DATASET_FILE} states" in fault_in(written)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"format": "another"},
        {"labels": ["cat", "cat"]},
        {"labels": "cat"},
        {"counts": None},
        {"extra": 1},
    ],
)
def test_a_description_of_another_kind_is_refused(written, change):
    path = written / DATASET_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert next(iter(change)) in fault_in(written)


def test_a_damaged_description_is_refused(written):
    (written / DATASET_FILE).write_bytes(b'{"format": "evlo')
    assert "prepare the dataset again" in fault_in(written)


def test_a_folder_that_was_not_prepared_is_refused(tmp_path):
    assert f"evlora prepare LAYOUT {tmp_path} OUT" in fault_in(tmp_path)
    assert "no such folder" in fault_in(tmp_path / "nowhere")


def test_files_and_names_are_checked_before_anything_is_written(source):
    twice = Manifest("test", source, ("cat",), (sample(0), sample(0), sample(9)))
    with pytest.raises(DatasetError, match="2 faults") as caught:
        require_sound(twice)
    assert "no such file: s9.bin" in str(caught.value)
    assert "'s0' stands there 2 times" in str(caught.value)


def test_a_dataset_without_samples_is_refused(source):
    with pytest.raises(DatasetError, match="at least one sample, got none"):
        require_sound(Manifest("test", source, (), ()))


def unevenly_labelled():
    return tuple(
        sample(f"{label}{number}", label=label)
        for label, count in (("a", 40), ("b", 20), ("c", 5), ("d", 1))
        for number in range(count)
    )


def test_a_validation_share_is_taken_evenly_from_the_classes():
    manifest = Manifest("test", Path(), ("a", "b", "c", "d"), unevenly_labelled())
    held_out = manifest.with_validation(0.2, seed=0).split("val")
    counts = {label: sum(s.label == label for s in held_out) for label in "abcd"}
    assert counts == {"a": 8, "b": 4, "c": 1, "d": 0}


def test_a_validation_share_loses_and_repeats_no_sample():
    manifest = Manifest("test", Path(), ("a", "b", "c", "d"), unevenly_labelled())
    divided = manifest.with_validation(0.2, seed=0)
    assert [s.sample for s in divided.samples] == [s.sample for s in manifest.samples]
    assert divided.counts == {"train": 53, "val": 13}


def test_a_validation_share_is_named_beside_where_the_split_came_from():
    manifest = Manifest("test", Path(), ("a", "b", "c", "d"), unevenly_labelled())
    listed = replace(manifest, split_source="train_label.txt")
    said = "val: 0.2 of train, evenly chosen, seed 3"
    assert manifest.with_validation(0.2, seed=3).split_source == said
    assert listed.with_validation(0.2, seed=3).split_source == f"train_label.txt; {said}"


def test_the_choice_depends_on_the_seed_and_not_on_the_order():
    samples = unevenly_labelled()
    assert choose_evenly(samples, 0.2, seed=0) == choose_evenly(samples[::-1], 0.2, seed=0)
    assert choose_evenly(samples, 0.2, seed=0) != choose_evenly(samples, 0.2, seed=1)


def filmed(persons: int) -> tuple[Sample, ...]:
    """Three clips of each of two classes by each person."""
    return tuple(
        replace(
            sample(f"{label}{number}", label=label), columns=(("subject", str(number % persons)),)
        )
        for label in "ab"
        for number in range(3 * persons)
    )


@pytest.mark.parametrize("seed", range(4))
def test_no_person_is_on_both_sides_of_a_validation_share_that_keeps_them_apart(seed):
    manifest = Manifest("test", Path(), ("a", "b"), filmed(10))
    divided = manifest.with_validation(0.2, seed=seed, apart="subject")
    persons = {
        split: {one.value_of("subject") for one in divided.split(split)}
        for split in ("train", "val")
    }
    assert [len(persons[split]) for split in ("train", "val")] == [8, 2]
    assert not persons["train"] & persons["val"]
    assert divided.counts == {"train": 48, "val": 12}
    assert divided.split_source == f"val: 0.2 of train, no subject on both sides, seed {seed}"


def test_persons_are_held_out_so_that_each_class_keeps_a_sample():
    """The only person of class c stays, whatever the seed."""
    of_c = replace(sample("c0", label="c"), columns=(("subject", "9"),))
    samples = (*(one for one in filmed(10) if one.value_of("subject") != "9"), of_c)
    manifest = Manifest("test", Path(), ("a", "b", "c"), samples)
    for seed in range(20):
        held_out = manifest.with_validation(0.3, seed=seed, apart="subject").split("val")
        assert held_out
        assert all(one.value_of("subject") != "9" for one in held_out)


def test_persons_that_cannot_be_kept_apart_are_refused():
    alone = Manifest("test", Path(), ("a", "b"), filmed(1))
    with pytest.raises(DatasetError, match="of its 1 none can; choose another share or another"):
        alone.with_validation(0.2, seed=0, apart="subject")
    with pytest.raises(DatasetError, match=r"'person', sa0 has none \(its columns: subject\)"):
        alone.with_validation(0.2, seed=0, apart="person")


def test_a_validation_split_of_its_own_is_kept(manifest):
    assert manifest.with_validation(0.5, seed=0) is manifest


def test_a_share_of_nothing_holds_out_nothing(source):
    manifest = Manifest("test", source, ("cat",), (sample(0), sample(1)))
    assert manifest.with_validation(0, seed=0).splits == ("train",)


def test_a_share_that_no_class_can_spare_is_refused(source):
    manifest = Manifest("test", source, ("cat", "dog"), (sample(0), sample(1, label="dog")))
    with pytest.raises(DatasetError, match=r"2 of 2 classes have no other.*validation_fraction=0"):
        manifest.with_validation(0.5, seed=0)
