"""Folders of classes become a manifest."""

import pytest

from evlora.datasets import prepare
from evlora.errors import DatasetError


@pytest.fixture
def tree(tmp_path):
    """A function that makes empty files and gives their manifest."""
    source = tmp_path / "source"

    def make(*paths, **options):
        for path in paths:
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).touch()
        return prepare("class_tree", source, tmp_path / "out", options=options, overwrite=True)

    return make


def parts(sample):
    return sample.sample, sample.events, sample.frames, sample.label, sample.split


def test_folders_of_splits_give_the_splits(tree):
    manifest = tree("train/cat/1.aedat4", "validation/cat/2.aedat4", "test/dog/3.npz")
    assert manifest.labels == ("cat", "dog")
    assert manifest.split_source == "folders train/, validation/, test/"
    assert [parts(sample) for sample in manifest.samples] == [
        ("test/dog/3", "test/dog/3.npz", None, "dog", "test"),
        ("train/cat/1", "train/cat/1.aedat4", None, "cat", "train"),
        ("validation/cat/2", "validation/cat/2.aedat4", None, "cat", "val"),
    ]
    assert not manifest.notes


def test_what_systems_and_network_disks_leave_is_no_class(tree):
    manifest = tree(
        *("train/cat/1.png", "test/cat/2.png", "train/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg"),
        *("train/cat/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg", "train/cat/1.png:Zone.Identifier"),
        *("train/$RECYCLE.BIN/3.png", "#recycle/4.png", "lost+found/5.png"),
    )
    assert manifest.labels == ("cat",)
    assert [sample.sample for sample in manifest.samples] == ["test/cat/2", "train/cat/1"]


def test_a_name_that_macos_wrote_in_two_characters_is_the_same_class(tree):
    manifest = tree("train/caf\u00e9/1.png", "test/cafe\u0301/2.png", "test/tea/3.png")
    assert manifest.labels == ("caf\u00e9", "tea")
    assert [sample.label for sample in manifest.samples] == ["caf\u00e9", "tea", "caf\u00e9"]
    assert manifest.samples[0].frames == "test/cafe\u0301/2.png"


def test_a_picture_or_a_folder_of_the_same_name_belongs_to_the_recording(tree):
    manifest = tree("train/cat/1.bin", "train/cat/1.png", "train/cat/2.bin", "train/cat/2/000.png")
    assert [parts(sample)[1:3] for sample in manifest.samples] == [
        ("train/cat/1.bin", "train/cat/1.png"),
        ("train/cat/2.bin", "train/cat/2"),
    ]


def test_a_folder_with_rgb_and_event_is_one_sample(tree):
    manifest = tree(
        "train/cat/1/rgb/000.png", "train/cat/1/rgb/001.png", "train/cat/1/event/e.npz",
        "train/cat/2/event.npz", "train/cat/2/rgb.png",
        "train/cat/3/rgb/000.png",
    )  # fmt: skip
    assert [parts(sample)[:3] for sample in manifest.samples] == [
        ("train/cat/1", "train/cat/1/event/e.npz", "train/cat/1/rgb"),
        ("train/cat/2", "train/cat/2/event.npz", "train/cat/2/rgb.png"),
        ("train/cat/3", None, "train/cat/3/rgb"),
    ]


def test_pictures_in_the_event_folder_are_event_images(tree):
    manifest = tree(
        "train/cat/1/rgb/000.png", "train/cat/1/event/000.png",
        "train/cat/2/rgb.png", "train/cat/2/event.png",
        "train/cat/3/event/000.png", "train/cat/3/event.npz",
        "train/cat/4/events/000.png",
    )  # fmt: skip
    assert [(sample.events, sample.frames, sample.event_images) for sample in manifest.samples] == [
        (None, "train/cat/1/rgb", "train/cat/1/event"),
        (None, "train/cat/2/rgb.png", "train/cat/2/event.png"),
        ("train/cat/3/event.npz", None, "train/cat/3/event"),
        (None, None, "train/cat/4/events"),
    ]


@pytest.mark.parametrize(
    ("text", "is_recording"),
    [
        ("t,x,y,p\n1,2,3,0\n", True),
        ("346 260\n0.5 2 3 1\n", True),
        ("1 2 3 True\n", True),
        ('"","t","x","y","p"\n"1",1,2,3,0\n', True),
        ("0003.npz 12 3\n", False),
        ("0 and 3 were recorded on a Monday\n", False),
        ("", False),
    ],
)
def test_a_text_file_is_a_recording_only_when_it_holds_events(tree, tmp_path, text, is_recording):
    folder = tmp_path / "source" / "train" / "cat"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text(text)
    manifest = tree("train/cat/1.npz", width=346, height=260)
    assert [sample.sample for sample in manifest.samples] == [
        "train/cat/1",
        *(["train/cat/a"] if is_recording else []),
    ]
    assert bool(manifest.notes) != is_recording


def test_pictures_and_folders_of_pictures_are_samples_of_frames(tree):
    manifest = tree("train/cat/a.jpg", "train/cat/b/1.png", "train/cat/b/2.png")
    assert [parts(sample)[1:3] for sample in manifest.samples] == [
        (None, "train/cat/a.jpg"),
        (None, "train/cat/b"),
    ]


def test_without_splits_a_part_of_each_class_becomes_the_test_split(tree):
    paths = [f"{label}/{number}.npz" for label in ("cat", "dog") for number in range(10)]
    manifest = tree(*paths, test_fraction=0.3)
    assert manifest.counts == {"train": 14, "test": 6}
    assert sum(sample.label == "cat" for sample in manifest.split("test")) == 3
    assert "6 of 20 samples became the test split" in manifest.notes[0]


def test_files_of_no_known_format_are_noted(tree):
    manifest = tree("train/cat/1.npz", "train/cat/readme.md", "train/cat/.hidden")
    assert len(manifest.samples) == 1
    assert (
        "passed over files of no known format: 1, such as train/cat/readme.md" in manifest.notes[0]
    )


def test_a_class_without_samples_is_noted(tree):
    manifest = tree("cat/1.npz", "cat/2.npz", "dog/readme.md")
    assert manifest.labels == ("cat",)
    assert "no sample in dog, which gives no class" in manifest.notes[1]


def test_folders_inside_of_a_class_hold_its_samples_where_asked(tree):
    paths = (
        "cat/1.npz", "cat/monday/1.npz", "cat/monday/1.png", "cat/monday/early/2.npz",
        "cat/tuesday/3/rgb/000.png", "cat/tuesday/4/000.png", "cat/4/event.npz",
    )  # fmt: skip
    with pytest.raises(DatasetError, match="no recording and no picture in cat/monday") as caught:
        tree(*paths)
    assert str(caught.value).endswith("such as a session, add subfolders=true")
    manifest = tree(*paths, subfolders=True)
    assert manifest.labels == ("cat",)
    assert {sample.sample: (sample.events, sample.frames) for sample in manifest.samples} == {
        "cat/1": ("cat/1.npz", None),
        "cat/4": ("cat/4/event.npz", None),
        "cat/monday/1": ("cat/monday/1.npz", "cat/monday/1.png"),
        "cat/monday/early/2": ("cat/monday/early/2.npz", None),
        "cat/tuesday/3": (None, "cat/tuesday/3/rgb"),
        "cat/tuesday/4": (None, "cat/tuesday/4"),
    }


def test_whole_sessions_are_held_out_where_asked(tree):
    paths = [
        f"{label}/day{day}/{number}.npz"
        for label in ("cat", "dog")
        for day in range(5)
        for number in range(3)
    ]
    mixed = tree(*paths, subfolders=True)
    said = "sessions of which train and test have samples; apart=session holds out whole ones"
    assert said in mixed.notes[0]
    manifest = tree(*paths, subfolders=True, apart="session")
    days = {
        split: {one.value_of("session") for one in manifest.split(split)}
        for split in ("train", "test")
    }
    assert [len(days[split]) for split in ("train", "test")] == [4, 1]
    assert manifest.counts == {"train": 24, "test": 6}
    assert manifest.split_source == "no session on both sides, seed 0"
    assert not any(said in note for note in manifest.notes)


def test_sessions_that_are_not_there_cannot_be_held_out(tree):
    with pytest.raises(DatasetError, match=r"cat/1 has none \(its columns: none\)"):
        tree("cat/1.npz", "cat/2.npz", subfolders=True, apart="session")


def test_sessions_beside_folders_for_splits_are_refused(tree):
    with pytest.raises(DatasetError, match="got train, which are the split; remove apart"):
        tree("train/cat/a/1.npz", subfolders=True, apart="session")


def test_recordings_beside_pictures_in_a_folder_are_not_lost(tree):
    paths = ("cat/a/1.npz", "cat/a/1.png", "cat/2.npz")
    with pytest.raises(DatasetError, match="no recording and no picture in cat/a"):
        tree(*paths)
    assert [parts(sample)[1:3] for sample in tree(*paths, subfolders=True).samples] == [
        ("cat/2.npz", None),
        ("cat/a/1.npz", "cat/a/1.png"),
    ]


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["readme.md"], "no sample in a folder of a class"),
        (["cat/readme.md"], "no sample in a folder of a class"),
        (["train/cat/1.npz", "cat/1.npz"], "cat beside the splits"),
        (["train/cat/1.npz", "train/cat/2/rgb/readme.md"], "no recording and no picture in"),
        (["train/cat/1/deeper/still/1.npz"], "no recording and no picture in train/cat/1"),
        (["train/cat/1.npz", "train/cat/1.bin"], "2 recordings for train/cat/1"),
        (["train/cat/1.png", "train/cat/1.jpg"], "2 pictures, videos or folders for train/cat/1"),
        (["train/cat/1/event/a.npz", "train/cat/1/event/b.npz"], "2 recordings for train/cat/1"),
        (["train/cat/1/event.png", "train/cat/1/event/a.png"], "2 sets of event images for"),
    ],
)
def test_a_wrong_tree_is_shown_beside_the_expected_one(tree, paths, found):
    with pytest.raises(DatasetError) as caught:
        tree(*paths)
    message = str(caught.value)
    assert found in message
    assert "expected:" in message
    assert "0001.aedat4" in message
    assert "found in source/:" in message
    assert paths[0].split("/")[-1] in message


def test_a_file_is_no_tree(tmp_path):
    (tmp_path / "a.npz").touch()
    with pytest.raises(DatasetError, match="name the folder around it"):
        prepare("class_tree", tmp_path / "a.npz", tmp_path / "out")


def test_photographs_in_folders_are_found(data_root, tmp_path):
    manifest = prepare("class_tree", data_root / "caltech101_subset", tmp_path / "out")
    assert manifest.counts == {"train": 350, "test": 150}
    assert len(manifest.labels) == 10
