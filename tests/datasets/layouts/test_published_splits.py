"""Lists of paths and shipped lists: what they say, and what they contradict."""

from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path

import miniatures
import published_miniatures
import pytest

from evlora.datasets import prepare
from evlora.datasets.layouts.ncaltech101 import SPLITS
from evlora.datasets.layouts.published_splits import shipped_names
from evlora.errors import DatasetError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def lips(source: Path) -> Path:
    published_miniatures.dvs_lip(source)
    return source


def test_eventbinds_lists_ship_whole() -> None:
    text = resources.files("evlora.datasets.layouts").joinpath(SPLITS["eventbind"].shipped)
    names = shipped_names(text.read_text("utf-8"))
    assert len(names) == SPLITS["eventbind"].counts["test"] == 1741
    assert len({name.split("/")[0] for name in names}) == 101
    assert {"accordion/image_0001", "trilobite/image_0082"} & names == {"trilobite/image_0082"}


def test_a_shipped_split_needs_all_of_its_samples_or_counts_those_there(
    source: Path, out: Path
) -> None:
    miniatures.ncaltech101(source)
    with pytest.raises(DatasetError, match="all 1,741 samples that the split names"):
        prepare("ncaltech101", source, out, options={"split": "eventbind"})
    options = {"split": "eventbind", "missing": "leave_out"}
    manifest = prepare("ncaltech101", source, out, options=options)
    assert manifest.split_name == "eventbind"
    test = {sample.sample for sample in manifest.split("test")}
    assert test
    assert test < {f"{c}/image_{n:04d}" for c in ("accordion", "airplanes") for n in range(1, 6)}
    assert any("has 6,968 samples in train, found" in note for note in manifest.notes)


def test_the_even_split_is_taken_where_it_is_asked_for(source: Path, out: Path) -> None:
    published_miniatures.n_imagenet(source)
    manifest = prepare("n_imagenet", source, out, options={"split": "even"})
    assert (manifest.split_name, manifest.split_source) == ("even", "evenly chosen, seed 0")


def test_a_release_whose_lists_alone_state_the_classes_has_no_other_split(
    source: Path, out: Path
) -> None:
    published_miniatures.thu_eact50(source)
    with pytest.raises(
        DatasetError, match="the lists alone state the action of a file, got 'even'"
    ):
        prepare("thu_eact50", source, out, options={"split": "even"})


def test_variants_become_a_column_and_folders_a_split(source: Path, out: Path) -> None:
    published_miniatures.n_imagenet(source, variants=("_mode_1", "_brightness_4"), with_lists=False)
    manifest = prepare("n_imagenet", source, out)
    assert manifest.split_name == "folders"
    found = {sample.value_of("variant") for sample in manifest.split("test")}
    assert found == {"mode_1", "brightness_4"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("twice", r"every sample in one list, found .*n01440764_0 in train_list.txt line 1 and"),
        ("absent", r"samples that the split names, 1 are not there\n.*val_list.txt line 5 names"),
        ("one list", r"lists train_list.txt, val_list.txt together, val_list.txt is not there"),
        ("empty", r"val_list.txt: expected a path a line, the file is empty"),
    ],
)
def test_lists_that_disagree_are_refused(
    change: str, message: str, source: Path, out: Path
) -> None:
    published_miniatures.n_imagenet(source)
    lists = source / "val_list.txt"
    if change == "twice":
        first = (source / "train_list.txt").read_text().splitlines()[0]
        lists.write_text(f"{lists.read_text()}{first}\n")
    elif change == "absent":
        lists.write_text(f"{lists.read_text()}/data/extracted_val/n01440764/lost.npz\n")
    elif change == "one list":
        lists.unlink()
    else:
        lists.write_text("\n")
    with pytest.raises(DatasetError, match=message):
        prepare("n_imagenet", source, out)
    assert not out.exists()


def test_a_split_without_its_lists_is_refused(source: Path, out: Path) -> None:
    miniatures.hardvs_compact(source)
    for split in miniatures.SPLITS:
        (source / f"{split}_label.txt").unlink()
    with pytest.raises(DatasetError, match=r"lists train_label.txt, .* for split=official"):
        prepare("hardvs", source, out, options={"split": "official"})
    with pytest.raises(DatasetError, match=r"split=official or split=even, got 'eventbind'"):
        prepare("hardvs", source, out, options={"split": "eventbind"})


def test_a_class_of_another_dataset_is_refused(source: Path, out: Path) -> None:
    published_miniatures.cifar10_dvs(source)
    (source / "airplane").rename(source / "accordion")
    with pytest.raises(DatasetError, match="accordion is no class of CIFAR10-DVS"):
        prepare("cifar10_dvs", source, out)


def test_archives_that_are_still_packed_are_named(source: Path, out: Path) -> None:
    for name in ("airplane.zip", "automobile.zip"):
        (source / name).write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"unpack airplane.zip, automobile.zip; name the folder"):
        prepare("cifar10_dvs", source, out)


def test_an_unfinished_download_is_named(lips: Path, out: Path) -> None:
    (lips / "DVS-Lip" / "test" / "accused" / "9.npy.part").touch()
    with pytest.raises(DatasetError, match=r"1 that a download has not finished, such as .*9.npy"):
        prepare("dvs_lip", lips, out)


def test_pickled_recordings_are_refused_unopened(source: Path, out: Path) -> None:
    published_miniatures.bullying10k(source)
    (source / "Bullying10k_final" / "kicking" / "01" / "0001.npy").write_bytes(b"")
    with pytest.raises(DatasetError, match="a pickle can run any code, so evlora opens none"):
        prepare("bullying10k", source, out)


def test_rows_without_polarity_are_no_events(source: Path, out: Path) -> None:
    published_miniatures.thu_eact50(source)
    manifest = prepare("thu_eact50", source, out)
    from evlora.datasets.opening import open_sample

    sample = manifest.samples[0]
    events = open_sample(sample, manifest.source).events
    assert events is not None
    assert len(events) == 300
    assert (events.width, events.height) == (1280, 800)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,77,1\n", "expected five columns"),
        ("900,2,77,1,5\n", "line 1: expected y below 800"),
        ("y,x,b,p,t\n", "expected rows of y, x, brightness, polarity, time"),
    ],
)
def test_a_wrong_row_of_events_is_named(text: str, message: str, source: Path, out: Path) -> None:
    published_miniatures.thu_eact50(source)
    (source / "data" / "A0P0C1.csv").write_text(text)
    with pytest.raises(Exception, match=message):
        prepare("thu_eact50", source, out)
    assert not out.exists()


def test_rows_of_pix2nvs_count_from_the_bottom(source: Path, tmp_path: Path) -> None:
    from evlora.datasets.layouts.mat_events import upright
    from evlora.recordings import open_recording

    published_miniatures.mat_events(source / "a.mat", 0)
    plain = open_recording(source / "a.mat", width=240, height=180).events
    mirrored = upright(is_mirrored=True)(source / "a.mat")
    turned = upright(is_mirrored=False)(source / "a.mat")
    assert plain is not None
    assert (turned.y == 179 - plain.y).all()
    assert (turned.x == plain.x).all()
    assert (mirrored.x == 239 - plain.x).all()


def test_a_number_of_no_action_is_refused(source: Path, out: Path) -> None:
    published_miniatures.thu_eact50(source)
    lists = source / "test.txt"
    lists.write_text(lists.read_text().replace(",1\n", ",50\n"))
    with pytest.raises(DatasetError, match=r"test.txt line \d+: .* 0 to 49, got 50"):
        prepare("thu_eact50", source, out)


def one_above(source: Path) -> Path:
    """The folder around a release, as somebody names it who unpacked into a folder of its name."""
    (around := source.parent / "around").mkdir()
    source.rename(around / "release")
    return around


@pytest.mark.parametrize(
    ("layout", "make", "found"),
    [
        ("seact", published_miniatures.seact, "SeAct_train.txt, SeAct_val.txt in release"),
        ("n_imagenet", published_miniatures.n_imagenet, "train_list.txt, val_list.txt in release"),
        (
            "n_imagenet",
            partial(published_miniatures.n_imagenet, with_lists=False),
            "folder extracted_train in release",
        ),
    ],
)
def test_a_published_split_one_folder_further_down_is_named_not_replaced(
    source: Path, out: Path, layout: str, make: Callable[[Path], None], found: str
) -> None:
    make(source)
    around = one_above(source)
    with pytest.raises(DatasetError, match=f"{found}; name .*around/release.* as the source"):
        prepare(layout, around, out)


def test_the_lists_of_train_and_test_are_needed_together(source: Path, out: Path) -> None:
    miniatures.hardvs_compact(source)
    next(source.rglob("test_label.txt")).unlink()
    with pytest.raises(DatasetError, match=r"together, test_label\.txt is not there; get it too"):
        prepare("hardvs", source, out)


def test_an_archive_that_nobody_unpacked_is_noted(source: Path, out: Path) -> None:
    published_miniatures.cifar10_dvs(source)
    (source / "bird.zip").write_bytes(b"PK")
    (source / "airplane.zip").write_bytes(b"PK")  # unpacked: a folder of its name lies beside it
    manifest = prepare("cifar10_dvs", source, out)
    (note,) = (note for note in manifest.notes if "archive" in note)
    assert note.startswith("1 archives without a folder of their name were not opened")
    assert note.endswith("bird.zip")


def test_an_unfinished_download_is_refused_where_folders_give_the_split(
    source: Path, out: Path
) -> None:
    miniatures.ncars(source)
    first = min(source.rglob("*.dat"))
    first.rename(first.with_name(f"{first.name}.part"))
    with pytest.raises(DatasetError, match=r"found 1 that a download has not finished.*\.part"):
        prepare("ncars", source, out)
