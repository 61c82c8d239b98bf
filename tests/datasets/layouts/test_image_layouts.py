"""Datasets of pictures, as their releases lie on disk, become manifests of single frames."""

import json
import pickle
from collections import Counter

import image_miniatures as miniatures
import pytest
from slow import slow_but

import evlora
from evlora.clips import ClipConfig
from evlora.datasets import ClipDataset, prepare, read_manifest
from evlora.errors import DatasetError
from evlora.recordings import open_recording

ONE_PICTURE = ClipConfig(frames=1, size=32, modalities=("rgb",))


@pytest.fixture
def source(tmp_path):
    return tmp_path / "source"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def pixels(manifest, name):
    sample = next(sample for sample in manifest.samples if sample.sample == name)
    return open_recording(manifest.source / sample.frames).frames[0]


@pytest.mark.parametrize("release", ["binary", "python"])
def test_cifar100_becomes_png_files_of_the_same_pixels(release, source, out, monkeypatch):
    if release == "binary":
        miniatures.cifar100_binary(source)
    else:
        miniatures.cifar100_python(source, monkeypatch)
    manifest = prepare("cifar100", source, out)
    assert manifest.counts == {"train": 200, "test": 100}
    assert manifest.labels == miniatures.CIFAR100_NAMES
    assert manifest.split_source == f"cifar-100-{release}, train and test"
    assert any("200 pictures in train; the release has 50,000" in note for note in manifest.notes)
    sample = manifest.samples[107]
    assert (sample.label, sample.split) == ("thing_07", "train")
    assert (pixels(manifest, sample.sample) == miniatures.picture(107)).all()
    clip = ClipDataset(read_manifest(out), "test", ONE_PICTURE)[3]
    assert clip.rgb.shape == (1, 3, 32, 32)
    assert clip.label == 3


def test_cifar100_may_be_named_by_the_folder_of_the_release_itself(source, out):
    miniatures.cifar100_binary(source)
    assert prepare("cifar100", source / "cifar-100-binary", out).counts["train"] == 200


def test_a_pickle_that_is_not_the_release_is_never_opened(source, out, monkeypatch, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    miniatures.cifar100_python(source, monkeypatch)
    (source / "cifar-100-python" / "train").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DatasetError, match="a pickle that is not known is not opened"):
        prepare("cifar100", source, out)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "no multiple; the file is cut"),
        (lambda file: file.write_bytes(b""), "got 0 bytes, which is none"),
        (lambda file: file.write_bytes(b"\xff" * 3074), "picture 0: expected a fine class below"),
        (lambda file: file.unlink(), "no test.bin in cifar-100-binary"),
        (lambda file: (file.parent / "fine_label_names.txt").write_text("cat"), "100 names, got 1"),
    ],
)
def test_a_damaged_binary_release_of_cifar100_is_refused(source, out, damage, message):
    miniatures.cifar100_binary(source)
    damage(source / "cifar-100-binary" / "test.bin")
    with pytest.raises(DatasetError, match=message):
        prepare("cifar100", source, out)
    assert not out.exists()


def test_svhn_becomes_png_files_and_its_digit_ten_is_zero(source, out, monkeypatch):
    manifest = prepare("svhn", miniatures.svhn(source, monkeypatch), out)
    assert manifest.counts == {"train": 20, "test": 10}
    assert manifest.labels == tuple("0123456789")
    assert [sample.label for sample in manifest.split("test")] == list("0123456789")
    assert (pixels(manifest, "train/7/000017") == miniatures.picture(17)).all()
    assert manifest.split_source == "train_32x32.mat, test_32x32.mat"


def test_the_extra_pictures_of_svhn_join_train_only_when_asked(source, out, monkeypatch):
    miniatures.svhn(source, monkeypatch)
    manifest = prepare("svhn", source, out, options={"extra": True})
    assert manifest.counts == {"train": 25, "test": 10}
    assert "extra_32x32.mat" in manifest.split_source


def test_a_file_of_svhn_with_another_sum_is_refused(source, out, monkeypatch):
    miniatures.svhn(source, monkeypatch)
    (source / "test_32x32.mat").write_bytes(b"cut")
    with pytest.raises(DatasetError, match=r"test_32x32\.mat: expected the file with the MD5 sum"):
        prepare("svhn", source, out)


def test_food101_is_listed_by_its_official_lists_where_it_lies(source, out):
    manifest = prepare("food101", miniatures.food101(source), out)
    assert manifest.counts == {"train": 6, "test": 2}
    assert manifest.labels == ("apple_pie", "baby_back_ribs")
    first = manifest.split("test")[0]
    assert (first.sample, first.frames) == ("apple_pie/1003", "images/apple_pie/1003.jpg")
    assert manifest.split_source == "meta/train.json and meta/test.json"
    assert sorted(entry.name for entry in out.iterdir()) == ["dataset.json", "manifest.jsonl"]
    assert ClipDataset(read_manifest(out), "test", ONE_PICTURE)[1].label == 1


def test_lists_of_food101_that_contradict_the_pictures_are_refused(source, out):
    miniatures.food101(source)
    path = source / "food-101" / "meta" / "test.json"
    path.write_text(json.dumps({"apple_pie": ["baby_back_ribs/1003"]}))
    with pytest.raises(DatasetError, match=r"pictures of apple_pie, got baby_back_ribs/1003"):
        prepare("food101", source, out)
    path.write_text(json.dumps({"apple_pie": ["apple_pie/77"]}))
    with pytest.raises(DatasetError, match=r"no such file: images/apple_pie/77\.jpg"):
        prepare("food101", source, out)
    path.write_text('["apple_pie"')
    with pytest.raises(DatasetError, match=r"test\.json: expected an object that gives each class"):
        prepare("food101", source, out)


def test_a_folder_of_food101_that_no_list_names_is_noted(source, out):
    miniatures.food101(source)
    (source / "food-101" / "images" / "gravel").mkdir()
    assert "gravel" in prepare("food101", source, out).notes[0]


def test_pictures_in_folders_of_classes_and_splits_are_found(source, out):
    miniatures.image_folder(source)
    (source / "train" / "dog" / "readme.md").touch()
    (source / "train" / "dog" / ".hidden.png").touch()
    manifest = prepare("image_folder", source, out)
    assert manifest.counts == {"train": 4, "val": 2}
    assert manifest.labels == ("cat", "dog")
    assert "train/cat/more/2.JPEG" in [sample.frames for sample in manifest.samples]
    assert manifest.split_source == "folders train/, val/"
    assert "passed over 1 files that are no pictures, such as train/dog/readme.md" in "".join(
        manifest.notes
    )


def test_without_folders_for_splits_a_part_of_each_class_is_held_out(source, out):
    miniatures.image_folder(source)
    options = {"test_fraction": 0.5, "seed": 3}
    manifest = prepare("image_folder", source / "train", out, options=options)
    assert manifest.counts == {"train": 2, "test": 2}
    assert Counter(sample.label for sample in manifest.split("test")) == {"cat": 1, "dog": 1}
    assert manifest.split_source == "evenly chosen, seed 3"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train/bird/.keep", "no picture in train/bird"),
        ("extra/1.png", "extra beside the splits"),
        ("val/bird/1.png", "the classes of train in every split, got bird in val alone"),
    ],
)
def test_folders_of_pictures_that_do_not_fit_are_refused(source, out, change, message):
    miniatures.image_folder(source)
    (source / change).parent.mkdir(parents=True)
    (source / change).touch()
    with pytest.raises(DatasetError, match=message):
        prepare("image_folder", source, out)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("cifar100", "cifar-100-python.tar.gz"),
        ("svhn", "ufldl.stanford.edu/housenumbers"),
        ("food101", "food-101.tar.gz"),
        ("image_folder", "some_class/"),
    ],
)
def test_a_wrong_tree_is_shown_beside_the_expected_one_with_where_to_get_it(
    layout, expected, source, out
):
    (source / "something else").mkdir(parents=True)
    with pytest.raises(DatasetError) as caught:
        prepare(layout, source, out)
    message = str(caught.value)
    assert "expected:" in message
    assert "found in source/:" in message
    assert "something else/" in message
    assert expected in message


def test_real_photographs_in_folders_are_prepared(data_root, out):
    manifest = prepare("image_folder", data_root / "caltech101_subset", out)
    assert manifest.counts == {"train": 350, "test": 150}
    counts = Counter((sample.label, sample.split) for sample in manifest.samples)
    assert len(manifest.labels) == 10
    assert set(counts.values()) == {35, 15}
    clip = ClipDataset(read_manifest(out), "test", ONE_PICTURE)[0]
    assert clip.rgb.float().std() > 10


@pytest.mark.parametrize(
    "layout",
    slow_but(["cifar100", "svhn", "food101", "image_folder"], quick="image_folder".__eq__),
)
def test_a_miniature_is_trained_with(layout, source, out, tiny_settings, monkeypatch):
    if layout == "svhn":
        miniatures.svhn(source, monkeypatch)
    else:
        make = miniatures.cifar100_binary if layout == "cifar100" else getattr(miniatures, layout)
        make(source)
    labels = prepare(layout, source, out).labels
    settings = {
        **tiny_settings,
        "data.root": str(out),
        "data.validation_fraction": 0.4,
        "clip.modalities": ["rgb"],
        "clip.frames": 1,
        "model": {"network": "single_stream"},
        "training.epochs": 1,
        "training.batch_size": 4,
    }
    run = evlora.train("demo", overrides=settings)
    assert evlora.load_bundle(run.bundle).labels == labels


def test_progress_counts_the_pictures_that_are_written(source, out):
    reported = []
    miniatures.cifar100_binary(source)
    prepare("cifar100", source, out, progress=lambda *done: reported.append(done))
    assert reported == [(number, 300) for number in range(1, 301)]


def test_thumbnails_and_companions_are_no_pictures_and_no_class(source, out):
    names = ("train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "val/dog/4.png")
    left = ("train/@eaDir/1.jpg", "train/cat/@eaDir/1.png/THUMB.jpg", "train/__MACOSX/cat/1.png")
    for name in (*names, *left, "train/cat/._1.png"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()

    manifest = prepare("image_folder", source, out)

    assert manifest.labels == ("cat", "dog")
    assert sorted(sample.sample for sample in manifest.samples) == list(names)
