"""Datasets of videos, as their releases lie on disk, become manifests."""

import json

import pytest
import video_miniatures as miniatures
from slow import slow_but

import evlora
from evlora.clips import ClipConfig
from evlora.datasets import ClipDataset, prepare, read_manifest
from evlora.errors import DatasetError

CONFIG = ClipConfig(frames=3, size=32, modalities=("rgb",))


@pytest.fixture
def source(tmp_path):
    return tmp_path / "source"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def numbers(manifest, split):
    """The number in the name of each video of a split, class by class."""
    return [sample.sample.partition("(")[2][0] for sample in manifest.split(split)]


@pytest.mark.parametrize(
    ("split", "train", "test"), [(1, "01", "2"), (2, "03", "1"), (3, "23", "0")]
)
def test_each_official_split_of_hmdb51_is_honoured(source, out, split, train, test):
    manifest = prepare("hmdb51", miniatures.hmdb51(source), out, options={"split": split})
    assert manifest.labels == miniatures.HMDB51_CLASSES
    assert numbers(manifest, "train") == list(train * 2)
    assert numbers(manifest, "test") == list(test * 2)
    assert manifest.split_source == f"official split {split} (testTrainMulti_7030_splits)"
    assert manifest.notes == (f"2 videos belong to no part of split {split}",)
    assert ClipDataset(read_manifest(out), "test", CONFIG)[1].rgb.shape == (3, 3, 32, 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace(" 2 ", " 3 "),
            r"disagree:\n  cartwheel_test_split1.txt line 3: expected",
        ),
        (lambda text: text.replace("(0)", "(9)"), r"line 1: Some_#film\(9\)_cart"),
        (lambda text: text + text.splitlines()[0], "line 5: .*or named twice"),
        (lambda text: text.splitlines()[0], r"split1.txt: .*\(1\).* is not in the list"),
    ],
)
def test_a_list_of_hmdb51_that_disagrees_with_the_videos_is_refused(source, out, change, message):
    miniatures.hmdb51(source)
    path = source / "testTrainMulti_7030_splits" / "cartwheel_test_split1.txt"
    path.write_text(change(path.read_text()))
    with pytest.raises(DatasetError, match=message):
        prepare("hmdb51", source, out)


def test_a_class_of_hmdb51_without_a_list_or_without_videos_is_named(source, out):
    miniatures.hmdb51(source)
    (source / "hmdb51_org" / "chew").mkdir()
    with pytest.raises(DatasetError, match="no list for chew"):
        prepare("hmdb51", source, out)
    (source / "hmdb51_org" / "chew").rmdir()
    (source / "testTrainMulti_7030_splits" / "clap_test_split1.txt").touch()
    with pytest.raises(DatasetError, match="no folder of videos for clap"):
        prepare("hmdb51", source, out)


def test_templates_of_something_something_are_found_without_their_brackets(source, out):
    miniatures.something_something(source)
    manifest = prepare("something_something_v2", source, out)
    assert manifest.labels == miniatures.SOMETHING_TEMPLATES
    assert manifest.counts == {"train": 3, "val": 2, "test": 1}
    assert [sample.sample for sample in manifest.split("train")] == ["1", "2", "3"]
    up, into = miniatures.SOMETHING_TEMPLATES
    assert [sample.label for sample in manifest.split("train")] == [up, into, up]
    assert manifest.split("test")[0].label == into
    assert manifest.split_source == "train.json, validation.json, test-answers.csv"
    assert manifest.notes == ("1 videos are in no list with labels",)
    assert ClipDataset(read_manifest(out), "val", CONFIG)[1].label == 1


def test_something_something_without_answers_has_no_test_split(source, out):
    miniatures.something_something(source)
    (source / "labels" / "test-answers.csv").unlink()
    manifest = prepare("something_something_v2", source, out)
    assert manifest.splits == ("train", "val")
    assert "evaluate on val" in manifest.notes[-1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("validation.json", json.dumps([{"id": "9", "template": "Moving [something] up"}]),
         "validation.json entry 1: no video 9"),
        ("validation.json", json.dumps([{"id": "1", "template": "Moving [something] up"}]),
         "validation.json entry 1: no video 1 .*or named twice"),
        ("train.json", json.dumps([{"id": "1", "template": "Eating [something]"}]),
         r"train.json entry 1: 'Eating \[something\]' is no template"),
        ("train.json", json.dumps([{"id": "1"}]), "entry 1: expected an object with id and temp"),
        ("train.json", "[", "train.json: expected JSON"),
        ("labels.json", json.dumps({"Moving something up": "1"}), "a number from 0 on"),
        ("labels.json", json.dumps(["Moving something up"]), "a number from 0 on"),
        ("test-answers.csv", "6,Moving something up\n", "line 1: expected `id;template`"),
    ],
)  # fmt: skip
def test_lists_of_something_something_that_disagree_are_refused(source, out, name, text, message):
    miniatures.something_something(source)
    (source / "labels" / name).write_text(text)
    with pytest.raises(DatasetError, match=message):
        prepare("something_something_v2", source, out)


def test_videos_with_lists_take_the_names_of_their_folders(source, out):
    manifest = prepare("video_lists", miniatures.video_lists(source), out)
    assert manifest.labels == ("abseiling", "air drumming")
    assert manifest.counts == {"train": 2, "val": 2, "test": 2}
    assert manifest.split("val")[1].frames == "val/air drumming/0001.mp4"
    assert manifest.split_source == "train.csv, val.csv, test.csv"
    assert ClipDataset(read_manifest(out), "val", CONFIG)[1].label == 1


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a.mp4 0\nb.mp4 1\n", ("0", "1")),
        ("a.mp4\t1\nb.mp4\t2\n", ("1", "2")),
        ("a.mp4,0\nb.mp4,10\n", ("0", "10")),
        ("{here}/a.mp4 6 0\n{here}/b.mp4 6 1\n", ("0", "1")),
    ],
)
def test_lists_with_blanks_tabs_commas_three_columns_or_full_paths_are_read(
    source, out, text, labels
):
    miniatures.video(source / "a.mp4")
    miniatures.video(source / "b.mp4")
    (source / "kinetics_train_list.txt").write_text(text.format(here=source))
    manifest = prepare("video_lists", source, out)
    assert manifest.labels == labels
    assert len(ClipDataset(read_manifest(out), "train", CONFIG)[1].rgb) == 3


@pytest.mark.parametrize("base", [0, 1])
def test_names_may_come_from_a_file_and_labels_count_from_zero_or_one(source, out, base):
    for name in ("a.mp4", "b.mp4"):
        miniatures.video(source / name)
    (source / "train.txt").write_text(f"a.mp4 {base}\nb.mp4 {base + 1}\n")
    (source / "labels.txt").write_text("climbing\ndrumming\n")
    manifest = prepare("video_lists", source, out)
    assert [sample.label for sample in manifest.samples] == ["climbing", "drumming"]


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        ("a.mp4 0\nb.mp4 2\n", "x\ny\n", "the names of labels 0 to 2 .*got 2 names"),
        ("a.mp4 1\nb.mp4 2\n", "x\ny\nz\n", "the names of labels 1 to 2 .*got 3 names"),
        ("a.mp4 0\nb.mp4 1\n", "x\nx\n", "expected names that differ, got x twice"),
        ("a.mp4 0\na.mp4 1\n", None, "expected one label for a.mp4, found 0 .*line 1.* and 1 .*2"),
        ("path label\na.mp4 0\n", None, "train.txt line 1: expected `path label`"),
        ("", None, "the file is empty"),
        ("a.mp4 0\nc.mp4 1\n", None, "train.txt line 2: no c.mp4"),
        ("x/a.mp4 0\ny/b.mp4 1\nx/c.mp4 1\n", None, "one label for the folder x, found 0"),
    ],
)
def test_lists_that_contradict_themselves_or_the_videos_are_refused(
    source, out, text, names, message
):
    for name in ("a.mp4", "b.mp4", "x/a.mp4", "x/c.mp4", "y/b.mp4"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    (source / "train.txt").write_text(text)
    if names is not None:
        (source / "labels.txt").write_text(names)
    with pytest.raises(DatasetError, match=message):
        prepare("video_lists", source, out)


def test_listed_videos_that_are_gone_are_counted_when_they_may_be_skipped(source, out):
    miniatures.video_lists(source)
    (source / "train" / "abseiling" / "0000.mp4").unlink()
    with pytest.raises(DatasetError, match=r"train\.csv line 1: no train/abseiling/0000\.mp4"):
        prepare("video_lists", source, out)
    manifest = prepare("video_lists", source, out, options={"missing": "leave_out"})
    assert manifest.counts == {"train": 1, "val": 2, "test": 2}
    assert "1 of 6 listed videos are not there and were skipped" in manifest.notes[0]


def test_the_videos_may_lie_elsewhere_than_their_lists(source, out, tmp_path):
    miniatures.video_lists(source)
    lists = tmp_path / "lists"
    lists.mkdir()
    for path in source.glob("*.csv"):
        path.rename(lists / path.name)
    manifest = prepare("video_lists", lists, out, options={"videos": str(source)})
    assert manifest.source == source


def test_two_lists_of_one_split_are_refused(source, out):
    miniatures.video_lists(source)
    (source / "validation.txt").touch()
    with pytest.raises(DatasetError, match=r"two lists of val, val\.csv and validation\.txt"):
        prepare("video_lists", source, out)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("hmdb51", "testTrainMulti_7030_splits/"),
        ("something_something_v2", "validation.json"),
        ("video_lists", "train/abseiling/0001.mp4 0"),
    ],
)
def test_a_wrong_tree_is_shown_beside_the_expected_one(layout, expected, source, out):
    (source / "something else").mkdir(parents=True)
    with pytest.raises(DatasetError) as caught:
        prepare(layout, source, out)
    message = str(caught.value)
    assert "found in source/:" in message
    assert "something else/" in message
    assert expected in message


@pytest.mark.parametrize(
    "layout",
    slow_but(["hmdb51", "something_something_v2", "video_lists"], quick="hmdb51".__eq__),
)
def test_a_miniature_is_trained_with(layout, source, out, tiny_settings):
    getattr(miniatures, layout.removesuffix("_v2"))(source)
    labels = prepare(layout, source, out).labels
    settings = {
        **tiny_settings,
        "data.root": str(out),
        "data.validation_fraction": 0.4,
        "clip.modalities": ["rgb"],
        "clip.frames": 3,
        "model": {"network": "single_stream", "temporal": "transformer"},
        "training.epochs": 1,
        "training.batch_size": 2,
    }
    run = evlora.train("demo", overrides=settings)
    assert evlora.load_bundle(run.bundle).labels == labels
