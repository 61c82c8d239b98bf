"""Every layout of events, from the folder to a training step; and what it does with a wrong one."""

import errno
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import miniatures
import pytest
from miniatures import MINIATURES, Miniature
from published_miniatures import PUBLISHED
from slow import slow_but

import evlora
from evlora.cli.main import run
from evlora.clips import ClipConfig
from evlora.datasets import ClipDataset, prepare, read_manifest
from evlora.errors import DatasetError
from evlora.recordings import open_recording

ALL = {**MINIATURES, **PUBLISHED}
READ_EACH_TIME = {*MINIATURES, "n_imagenet", "thu_eact50", "asl_dvs"}
CASES = pytest.mark.parametrize(
    "miniature", slow_but(ALL.items(), quick=lambda case: case[0] in READ_EACH_TIME, named=True)
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@CASES
def test_a_miniature_is_read_as_its_authors_mean_it(
    miniature: Miniature, source: Path, out: Path
) -> None:
    miniature.make(source)
    manifest = prepare(miniature.layout, source, out)
    assert read_manifest(out) == replace(manifest, notes=())
    assert manifest.labels == miniature.labels
    assert manifest.counts == miniature.counts
    assert manifest.split_source == miniature.split_source
    config = ClipConfig(frames=3, size=32, modalities=miniature.modalities)
    for split in manifest.splits:
        dataset = ClipDataset(read_manifest(out), split, config)
        for clip in (dataset[index] for index in range(len(dataset))):
            for modality, images in (("rgb", clip.rgb), ("event", clip.events)):
                if modality in miniature.modalities:
                    assert images is not None
                    assert images.shape == (3, 3, 32, 32)
                    assert images.float().std() > 0


@pytest.mark.parametrize(
    "miniature",
    slow_but(ALL.items(), quick=lambda case: case[0] == "class_tree", named=True),
)
def test_a_miniature_is_trained_with(
    miniature: Miniature, source: Path, out: Path, tiny_settings: dict[str, Any]
) -> None:
    miniature.make(source)
    prepare(miniature.layout, source, out)
    settings = {
        **tiny_settings,
        "data.root": str(out),
        "data.validation_fraction": 0.3,
        "clip.modalities": list(miniature.modalities),
        "training.epochs": 1,
        "training.batch_size": 4,
    }
    run = evlora.train("demo", overrides=settings)
    assert evlora.load_bundle(run.bundle).labels == miniature.labels


@pytest.mark.parametrize(
    "layout", sorted({miniature.layout for miniature in ALL.values()} - {"csv"})
)
def test_a_wrong_tree_is_shown_beside_the_expected_one(
    layout: str, source: Path, out: Path
) -> None:
    (source / "somewhere").mkdir()
    (source / "somewhere" / "holiday.doc").touch()
    with pytest.raises(DatasetError) as caught:
        prepare(layout, source, out)
    message = str(caught.value)
    assert "not laid out as expected" in message
    assert "expected:" in message
    assert "found in source/:" in message
    assert "holiday.doc" in message
    assert not out.exists()
    with pytest.raises(DatasetError, match="name the folder around it"):
        prepare(layout, source / "somewhere" / "holiday.doc", out)


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("hardvs, pictures", "rawframes"),
        ("pokerevent, raw", "Poker_Event"),
        ("celex_har", "rawframe"),
        ("ncaltech101", "Caltech101"),
    ],
)
def test_the_folder_of_the_classes_may_be_named_as_well(
    name: str, inner: str, source: Path, out: Path
) -> None:
    MINIATURES[name].make(source)
    manifest = prepare(MINIATURES[name].layout, source / inner, out)
    assert manifest.split_source == MINIATURES[name].split_source
    assert manifest.counts == MINIATURES[name].counts


def test_splits_of_ncars_may_lie_in_a_folder_of_their_own_name(source: Path, out: Path) -> None:
    MINIATURES["ncars"].make(source)
    for split in ("train", "test"):
        folder = source / f"n-cars_{split}"
        unpacked = folder.rename(source / "unpacked")
        folder.mkdir()
        unpacked.rename(folder / split)

    manifest = prepare("ncars", source, out)

    assert manifest.counts == MINIATURES["ncars"].counts
    assert manifest.split("test")[0].sample == "n-cars_test/test/background/obj_000000_td"


def test_numbers_of_classes_are_those_of_the_official_labels(source: Path, out: Path) -> None:
    miniatures.poker_pictures(source)
    miniatures.label_lists(source, ("heart_king", "club_10"), base=1)
    assert prepare("pokerevent", source, out).labels == ("heart_king", "club_10")


def test_without_lists_the_split_is_chosen_evenly_and_said_so(source: Path, out: Path) -> None:
    miniatures.hardvs_pictures(source)
    for split in miniatures.SPLITS:
        (source / f"{split}_label.txt").unlink()
    manifest = prepare("hardvs", source, out, options={"test_fraction": 0.5, "seed": 3})
    assert manifest.counts == {"train": 6, "test": 6}
    assert manifest.split_source == "evenly chosen, seed 3"
    assert "no official split (none of train_label.txt" in manifest.notes[0]


def test_lists_may_lie_elsewhere(source: Path, out: Path, tmp_path: Path) -> None:
    miniatures.poker_pictures(source)
    lists = tmp_path / "lists"
    lists.mkdir()
    for split in miniatures.SPLITS:
        (source / f"{split}_label.txt").rename(lists / f"{split}_label.txt")
    manifest = prepare("pokerevent", source, out, options={"lists": str(lists)})
    assert manifest.split_source == "train_label.txt, val_label.txt, test_label.txt"
    with pytest.raises(DatasetError, match="found none of them; name another folder with lists="):
        prepare("pokerevent", source, out, options={"lists": str(source)}, overwrite=True)


def test_listed_samples_that_are_not_there_are_refused_or_counted(source: Path, out: Path) -> None:
    miniatures.poker_raw(source)
    gone = source / "Poker_Event" / "heart_king" / "dvSave-2021_09_28_19_29_03.aedat4"
    gone.unlink()
    with pytest.raises(DatasetError) as caught:
        prepare("pokerevent", source, out)
    assert "expected all 12 listed samples on disk, 1 are not there" in str(caught.value)
    assert "val_label.txt line 2 names: heart_king/dvSave-2021_09_28_19_29_03" in str(caught.value)
    assert "on disk is, for example: club_10/dvSave-2021_09_28_19_29_00" in str(caught.value)
    manifest = prepare("pokerevent", source, out, options={"missing": "leave_out"})
    assert manifest.counts == {"train": 6, "val": 1, "test": 4}
    assert "1 listed samples are not there and were skipped: val_label.txt line 2" in str(
        manifest.notes
    )


def test_lists_of_another_release_are_refused_even_where_samples_may_be_missing(
    source: Path, out: Path
) -> None:
    miniatures.poker_raw(source)
    miniatures.label_lists(source, miniatures.ACTIONS, base=0)
    with pytest.raises(DatasetError, match="12 are not there"):
        prepare("pokerevent", source, out, options={"missing": "leave_out"})


def test_what_no_list_names_and_what_is_no_recording_is_counted(source: Path, out: Path) -> None:
    miniatures.poker_raw(source)
    extra = source / "Poker_Event" / "club_10" / "extra.aedat4"
    extra.touch()
    extra.with_name("readme.txt").touch()
    (extra.parent / "empty").mkdir()
    notes = "\n".join(prepare("pokerevent", source, out).notes)
    assert "1 samples that no list names were skipped: club_10/extra" in notes
    assert "1 files that are no recordings of this dataset were passed over: Poker_Event/" in notes
    assert "1 folders without pictures were skipped: club_10/empty" in notes


def test_missing_pictures_and_wrong_numbers_of_frames_are_counted(source: Path, out: Path) -> None:
    miniatures.hardvs_pictures(source)
    sequence = "dvSave-2021_09_28_19_29_00"
    for ending in ("_aps", "_dvs"):
        where = source / "rawframes" / "action_001" / sequence / f"{sequence}{ending}"
        (where / "00000010.png").unlink()
    notes = "\n".join(prepare("hardvs", source, out).notes)
    assert "12 recordings are numbered in steps of 5: action_001" in notes
    assert f"action_001/{sequence}: 1 missing in the numbering by 5, the first after" in notes
    assert f"train_label.txt line 1 gives 4, action_001/{sequence} has 3" in notes


def test_frames_and_event_images_of_different_number_are_counted(source: Path, out: Path) -> None:
    miniatures.poker_pictures(source)
    sequence = "dvSave-2021_09_28_19_29_00"
    where = source / "Poker_rgb_event" / "club_10" / sequence / f"{sequence}_dvs"
    (where / "00000003.png").unlink()
    notes = "\n".join(prepare("pokerevent", source, out).notes)
    assert f"club_10/{sequence}: 4 frames and 3 event images" in notes


def test_recordings_without_frames_among_others_are_counted(source: Path, out: Path) -> None:
    miniatures.hardvs_pictures(source)
    sequence = "dvSave-2021_09_28_19_29_00"
    shutil.rmtree(source / "rawframes" / "action_130" / sequence / f"{sequence}_aps")
    notes = "\n".join(prepare("hardvs", source, out).notes)
    assert f"1 recordings have no frames, the others have: action_130/{sequence}" in notes


def test_a_full_disk_is_reported_and_leaves_nothing(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    miniatures.hardvs_archives(source)
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(DatasetError, match=r"nothing was written: .*No space left on device"):
        prepare("hardvs", source, out)
    assert [path.name for path in out.parent.iterdir()] == ["source"]


def test_another_form_of_the_release_beside_is_reported(source: Path, out: Path) -> None:
    miniatures.poker_raw(source)
    miniatures.poker_pictures(source)
    manifest = prepare("pokerevent", source, out)
    assert manifest.samples[0].event_images is not None
    assert "lies beside Poker_rgb_event and was passed over" in manifest.notes[0]


def test_hardvs_names_that_two_classes_share_are_distinguished(source: Path, out: Path) -> None:
    miniatures.hardvs_pictures(source)
    (source / "HARDVS_300_class.txt").write_text("Action001-Wave\nAction130 Wave\n")
    assert prepare("hardvs", source, out).labels == ("Wave (action_001)", "Wave (action_130)")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("Action001-L type clamp back", "L type clamp back"),
        ("Action001 wink_ Blink an eye", "wink_ Blink an eye"),
        ("Action001- Alternate Front Kick", "Alternate Front Kick"),
        ("Action001 - jumping jack", "jumping jack"),
        ("Action002-Wave", "action_001"),
    ],
)
def test_hardvs_names_of_classes_are_written_in_several_ways(
    line: str, name: str, source: Path, out: Path
) -> None:
    miniatures.hardvs_compact(source)
    (source / "HARDVS_300_class.txt").write_text(f"{line}\r\n")
    assert prepare("hardvs", source, out).labels == (name, "action_130")


def test_folders_of_one_label_are_one_class(source: Path, out: Path) -> None:
    miniatures.poker_pictures(source)
    for path in source.glob("*_label.txt"):
        path.write_text(path.read_text().replace("\t1\n", "\t0\n"))
    manifest = prepare("pokerevent", source, out)
    assert manifest.labels == ("club_10",)
    assert "heart_king and club_10 have label 0" in str(manifest.notes)


def test_archives_beside_unpacked_folders_are_refused(source: Path, out: Path) -> None:
    miniatures.hardvs_archives(source)
    miniatures.events_npz(source / "MINI_HARDVS_files" / "action_130" / "a.npz")
    with pytest.raises(DatasetError, match=r"either archives or .* action_001\.zip, beside 1 fol"):
        prepare("hardvs", source, out)


def test_a_member_of_an_archive_never_leaves_its_folder(
    source: Path, out: Path, tmp_path: Path
) -> None:
    miniatures.hardvs_archives(source)
    miniatures.events_npz(tmp_path / "events.npz")
    archive = source / "MINI_HARDVS_files" / "action_001.zip"
    with zipfile.ZipFile(archive, "a") as opened:
        opened.write(tmp_path / "events.npz", "../../../../escaped.npz")
        opened.writestr("readme.txt", "hello")
    manifest = prepare("hardvs", source, out)
    escaped = out / "recordings" / "action_001" / "escaped.npz"
    assert list(tmp_path.rglob("escaped.npz")) == [escaped]
    notes = "\n".join(manifest.notes)
    assert "samples that no list names were skipped: action_001/escaped" in notes
    assert "members of archives are no recordings and were passed over: readme.txt" in notes


@pytest.mark.parametrize("fault", ["cut", "bomb"])
def test_a_damaged_archive_is_refused_and_nothing_is_left(
    fault: str, source: Path, out: Path
) -> None:
    miniatures.hardvs_archives(source)
    archive = source / "MINI_HARDVS_files" / "action_130.zip"
    if fault == "cut":
        archive.write_bytes(archive.read_bytes()[:-100])
    else:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr("action_130/a.npz", bytes(1 << 20))
    with pytest.raises(DatasetError, match=r"action_130\.zip: expected a whole zip archive"):
        prepare("hardvs", source, out)
    assert [path.name for path in out.parent.iterdir() if path != source] == []


def test_a_file_of_dailydvs_whose_name_states_another_class_is_counted(
    source: Path, out: Path
) -> None:
    miniatures.dailydvs200(source)
    path = source / "test.txt"
    path.write_text(path.read_text().replace("09_11_04.aedat4 0", "09_11_04.aedat4 1"))
    notes = prepare("dailydvs200", source, out).notes
    assert "test.txt line 1 gives action_001, C0P4M0S1_20231111_09_11_04 is action_000" in notes[0]


def test_a_gesture_holds_the_events_of_its_time(source: Path, out: Path) -> None:
    miniatures.dvs_gesture(source)
    manifest = prepare("dvs_gesture", source, out)
    whole = open_recording(source / "user01_led.aedat").events
    by_name = {sample.sample: sample for sample in manifest.samples}
    gesture = by_name["user01_led/01"]
    part = open_recording(manifest.source / str(gesture.events)).events
    assert whole is not None
    assert part is not None
    assert (gesture.label, gesture.split) == ("arm_roll", "train")
    assert (part.width, part.height) == (128, 128)
    assert (part.t_us == whole.between(95_000, 190_000).t_us).all()


def test_gestures_are_called_as_the_mapping_states(source: Path, out: Path) -> None:
    miniatures.dvs_gesture(source)
    (source / "gesture_mapping.csv").write_text(
        "action,label\n" + "".join(f"gesture {n},{n}\n" for n in range(1, 12))
    )
    assert prepare("dvs_gesture", source, out).labels[7] == "gesture 8"
    (source / "gesture_mapping.csv").write_text("action,label\nwave,1\nclap,3\n")
    with pytest.raises(DatasetError, match="numbers from 1 on, got the numbers 1, 3"):
        prepare("dvs_gesture", source, out, overwrite=True)


def test_gestures_without_events_are_counted_and_without_lists_split_evenly(
    source: Path, out: Path
) -> None:
    miniatures.dvs_gesture(source)
    (source / "user01_led_labels.csv").write_text(
        "class,startTime_usec,endTime_usec\n1,0,90000\n2,900000,990000\n"
    )
    for split in ("train", "test"):
        (source / f"trials_to_{split}.txt").unlink()
    manifest = prepare("dvs_gesture", source, out)
    assert manifest.split_source == "evenly chosen, seed 0"
    assert "1 gestures without an event were skipped: user01_led_labels.csv line 3" in str(
        manifest.notes
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("user01_led_labels.csv", None, r"expected user01_led_labels\.csv beside it"),
        ("user01_led_labels.csv", "class,start\n", "expected the first line class,startTime_usec"),
        ("user01_led_labels.csv", "{}12,0,9\n", "line 2: expected a class of 1 to 11"),
        ("user01_led_labels.csv", "{}1,9,0\n", "a start before the end, got 1,9,0"),
        ("user01_led_labels.csv", "{}1,x\n", "got 1,x"),
        ("trials_to_test.txt", None, r"expected trials_to_train\.txt and trials_to_test\.txt"),
        ("trials_to_test.txt", "user99.aedat\n", r"line 1: expected a recording .* no user99"),
        ("trials_to_test.txt", "user01_led.aedat\n", r"user01_led\.aedat is in trials_to_train"),
    ],
)
def test_tables_and_lists_of_gestures_that_contradict_are_refused(
    name: str, text: str | None, message: str, source: Path, out: Path
) -> None:
    miniatures.dvs_gesture(source)
    if text is None:
        (source / name).unlink()
    else:
        (source / name).write_text(text.format("class,startTime_usec,endTime_usec\n"))
    with pytest.raises(DatasetError, match=message):
        prepare("dvs_gesture", source, out)
    assert not out.exists()


def test_the_commands_of_the_docs_run(
    project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (project_root / "docs" / "datasets.md").read_text(encoding="utf-8")
    section = text.partition("## Frames and events")[2].partition("\n## ")[0]
    commands = section.partition("```sh\n")[2].partition("```")[0].splitlines()
    monkeypatch.chdir(tmp_path)
    for command in commands:
        program, *words = command.split()
        assert program == "evlora"
        miniature = next(each for each in MINIATURES.values() if each.layout == words[1])
        Path(words[2]).mkdir()
        miniature.make(Path(words[2]))
        monkeypatch.setattr(sys, "argv", [program, *words])
        with pytest.raises(SystemExit) as ended:
            run()
        assert ended.value.code == 0
        assert read_manifest(words[3]).labels == miniature.labels
    assert len(commands) == 4
