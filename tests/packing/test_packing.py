"""Packing is complete or resumed, loses nothing, repeats nothing, and hides nothing."""

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from litdata import StreamingDataset
from slow import slow_but
from small_recordings import write_recording

from evlora.clips import Clip, ClipConfig, make_clip
from evlora.datasets import ClipDataset, prepare, read_manifest
from evlora.datasets.rendering import Rendering
from evlora.errors import DatasetError
from evlora.packing import JobPart, Packing, clip_dataset, drawing, join_parts, journal, pack
from evlora.packing.codec import decode, name_of
from evlora.packing.drawing import Job, Outcome, render, render_all

CLIP = ClipConfig(frames=2, size=16)
CLASSES = ("cat", "dog")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Sixteen recordings, twelve to train and four to test with."""
    folder = tmp_path / "source"
    for number in range(16):
        split = "test" if number % 4 == 3 else "train"
        path = folder / split / CLASSES[number % 2] / f"{number:02d}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_recording(path, number)
    return folder


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk for every third sample or so."""
    monkeypatch.setattr(journal, "CHUNK_BYTES", 6_000)


def prepared(source: Path, layout: str = "class_tree", *, allow_outside: bool = False) -> Path:
    """The dataset of this source as it is now, beside it."""
    folder = source.parent / f"{source.name}-dataset"
    prepare(layout, source, folder, overwrite=True, checks_files=False, allow_outside=allow_outside)
    return folder


def packed(source: Path, out: Path, **options: Any) -> Packing:
    return pack(prepared(source), out, CLIP, workers=0, **options)


def files_of(out: Path) -> dict[str, bytes]:
    """All of a dataset but the chunk's place in the time of the clock."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def items_of(out: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        folder.name: list(StreamingDataset(str(folder), shuffle=False))
        for folder in sorted(out.iterdir())
        if folder.is_dir()
    }


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def assert_same(first: Clip, second: Clip) -> None:
    assert (first.label, first.sample) == (second.label, second.sample)
    for a, b in ((first.rgb, second.rgb), (first.events, second.events)):
        assert a is not None
        assert b is not None
        assert torch.equal(a, b)


def assert_holds_the_clips_of(out: Path, dataset: ClipDataset, split: str) -> None:
    items = items_of(out)[split]
    assert len(items) == len(dataset)
    for number, item in enumerate(items):
        clip = make_clip(
            decode(item), dataset.config, sample=name_of(item), label=int(item["label"])
        )
        assert_same(clip, dataset[number])


@pytest.mark.usefixtures("small_chunks")
def test_the_shards_hold_the_clips_of_the_source_in_the_order_of_the_manifest(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    packing = packed(source, out)
    whole = prepare("class_tree", source, tmp_path / "index")
    manifest = read_manifest(out)
    assert manifest.counts == packing.manifest.counts == {"train": 12, "test": 4}
    assert manifest.labels == whole.labels
    assert manifest.split_source == whole.split_source
    assert len(list(out.glob("train/chunk-*.bin"))) > 2
    for split in ("train", "test"):
        assert [one.sample for one in manifest.split(split)] == [
            one.sample for one in whole.split(split)
        ]
        assert_holds_the_clips_of(out, ClipDataset(whole, split, CLIP), split)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "index",
        "out",
        "source",
        "source-dataset",
    ]


def test_the_dataset_states_how_it_was_packed(source: Path, tmp_path: Path) -> None:
    packed(source, tmp_path / "out", shorter_side_px=8)
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())["packed"]
    assert about["rendering"] == {
        "frames": 2,
        "modalities": ["rgb", "event"],
        "representation": "event_image",
        "window": "frame",
        "shorter_side_px": 8,
    }
    assert about["items"] == {"train": 12, "test": 4}
    assert about["rejected"] == 0
    frames = decode(items_of(tmp_path / "out")["test"][0]).frames
    assert frames is not None
    assert (frames.height, frames.width) == (8, 10)


def test_the_recordings_are_not_needed_any_more(source: Path, tmp_path: Path) -> None:
    packed(source, tmp_path / "out")
    shutil.rmtree(source)
    (tmp_path / "out").rename(tmp_path / "moved")
    manifest = read_manifest(tmp_path / "moved")
    assert manifest.packed is not None
    assert manifest.source == tmp_path / "moved"
    assert len(items_of(tmp_path / "moved")["train"]) == 12


def test_a_sample_whose_name_is_the_path_of_a_file_is_packed_as_any_other(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted(path.relative_to(source).as_posix() for path in source.rglob("*.npz"))
    rows = [f"{path.split('/')[0]},{path},{path.split('/')[1]}" for path in paths]
    (source / "index.csv").write_text("\n".join(["split,events,label", *rows]) + "\n")
    monkeypatch.chdir(source)  # the names in the table are paths from here
    prepare("csv", Path(), tmp_path / "index")
    pack(tmp_path / "index", tmp_path / "out", CLIP, workers=0)
    dataset = clip_dataset(read_manifest(tmp_path / "out"), "test", ClipConfig(frames=2, size=16))
    assert [dataset[i].sample for i in range(4)] == [p for p in paths if p.startswith("test/")]


@pytest.mark.slow
@pytest.mark.usefixtures("small_chunks")
def test_any_number_of_processes_packs_the_same(source: Path, tmp_path: Path) -> None:
    packed(source, tmp_path / "one")
    pack(prepared(source), tmp_path / "two", CLIP, workers=2)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


class Stop(Exception):  # noqa: N818 - it is no error
    """Ends the work as a killed process does: without any chance to tidy up."""


def interrupt_after(count: int) -> Any:
    def progress(done: int, total: int) -> None:
        del total
        if done == count:
            raise Stop

    return progress


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    "count", slow_but([0, 1, 3, 4, 11, 12, 13, 16], quick=lambda count: count in (0, 4, 16))
)
def test_interrupted_packing_goes_on_to_the_same_result(
    source: Path, tmp_path: Path, count: int
) -> None:
    packed(source, tmp_path / "whole")
    with pytest.raises(Stop):
        packed(source, tmp_path / "out", progress=interrupt_after(count))
    assert not (tmp_path / "out").exists()
    steps: list[int] = []
    packed(source, tmp_path / "out", progress=lambda done, _: steps.append(done))
    assert steps == list(range(count, 17))  # nothing was drawn again
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert not (tmp_path / "out.packing").exists()


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("file", ["journal.jsonl", "open.bin"])
@pytest.mark.parametrize("lost", slow_but([1, 500, 2_500, 10**9], quick=(500).__eq__))
def test_what_a_killed_process_wrote_in_part_is_packed_again(
    source: Path, tmp_path: Path, file: str, lost: int
) -> None:
    packed(source, tmp_path / "whole")
    with pytest.raises(Stop):
        packed(source, tmp_path / "out", progress=interrupt_after(11))
    path = tmp_path / "out.packing" / "part-1-of-1" / file
    os.truncate(path, max(0, path.stat().st_size - lost))
    packed(source, tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.slow
def test_a_kill_in_the_middle_of_two_processes_loses_and_repeats_nothing(
    source: Path, tmp_path: Path
) -> None:
    for number in range(16, 200):
        write_recording(source / "train" / "cat" / f"{number:03d}.npz", number)
    dataset = prepared(source)
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from evlora.clips import ClipConfig\n"
        "from evlora.packing import journal, pack\n"
        "def say(done, total): print(done, flush=True)\n"
        "if __name__ == '__main__':\n"
        "    journal.CHUNK_BYTES = 6000\n"
        f"    pack({str(dataset)!r}, sys.argv[1], ClipConfig(frames=2, size=16),\n"
        "         workers=2, progress=say)\n"
    )

    def run(out: Path, *, killed_at: int | None = None) -> list[int]:
        process = subprocess.Popen(
            [sys.executable, str(script), str(out)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        steps: list[int] = []
        for line in process.stdout:
            steps.append(int(line))
            if steps[-1] == killed_at:
                process.send_signal(signal.SIGKILL)
                break
        code = process.wait()
        assert code == (0 if killed_at is None else -signal.SIGKILL)
        process.stdout.close()
        return steps

    run(tmp_path / "whole")
    run(tmp_path / "out", killed_at=60)
    assert not (tmp_path / "out").exists()
    run(tmp_path / "out", killed_at=130)
    steps = run(tmp_path / "out")
    assert steps[0] >= 130
    assert steps == list(range(steps[0], 201))
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_an_array_of_jobs_packs_what_one_job_packs(
    source: Path, tmp_path: Path, order: tuple[int, ...]
) -> None:
    packed(source, tmp_path / "one")
    for number in order:
        packed(source, tmp_path / "out", part=JobPart(number, 3))
        assert not (tmp_path / "out").exists()
    join_parts(prepared(source), tmp_path / "out", CLIP)
    one, joined = items_of(tmp_path / "one"), items_of(tmp_path / "out")
    for split in ("train", "test"):
        assert [*map(name_of, joined[split])] == [*map(name_of, one[split])]
        for a, b in zip(one[split], joined[split], strict=True):
            assert np.array_equal(a["frames"], b["frames"])
            assert np.array_equal(a["event_images"], b["event_images"])
    assert (tmp_path / "out" / "manifest.jsonl").read_bytes() == (
        tmp_path / "one" / "manifest.jsonl"
    ).read_bytes()
    assert not (tmp_path / "out.packing").exists()


def test_missing_and_unfinished_parts_are_named(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    packed(source, out, part=JobPart(2, 4))
    with pytest.raises(DatasetError, match="parts that are missing: 1/4, 3/4, 4/4; pack"):
        join_parts(prepared(source), out, CLIP)
    for number in (1, 3):
        packed(source, out, part=JobPart(number, 4))
    with pytest.raises(Stop):
        packed(source, out, part=JobPart(4, 4), progress=interrupt_after(2))
    with pytest.raises(DatasetError, match=r"4-of-4: expected 4 .* only 2 .*let --part 4/4"):
        join_parts(prepared(source), out, CLIP)
    packed(source, out, part=JobPart(4, 4))
    assert join_parts(prepared(source), out, CLIP).manifest.counts == {"train": 12, "test": 4}


def test_parts_with_other_settings_are_refused(source: Path, tmp_path: Path) -> None:
    """As when two machines worked apart and their folders were copied together."""
    other = CLIP.model_copy(update={"frames": 3})
    packed(source, tmp_path / "out", part=JobPart(1, 2))
    pack(prepared(source), tmp_path / "there", other, workers=0, part=JobPart(2, 2))
    with pytest.raises(DatasetError, match="was packed with frames=2, now frames=3"):
        pack(prepared(source), tmp_path / "out", other, workers=0, part=JobPart(2, 2))
    shutil.copytree(
        tmp_path / "there.packing" / "part-2-of-2", tmp_path / "out.packing" / "part-2-of-2"
    )
    with pytest.raises(DatasetError, match="part-2-of-2: was packed with frames=3, now frames=2"):
        join_parts(prepared(source), tmp_path / "out", CLIP)


def test_two_arrays_are_not_mixed(source: Path, tmp_path: Path) -> None:
    packed(source, tmp_path / "out", part=JobPart(1, 2))
    with pytest.raises(DatasetError, match="the work of an array of 2 jobs, not of 3"):
        packed(source, tmp_path / "out", part=JobPart(1, 3))
    with pytest.raises(DatasetError, match="the work of an array of 2 jobs, not of 1"):
        packed(source, tmp_path / "out")
    with pytest.raises(DatasetError, match="that --overwrite would throw away"):
        packed(source, tmp_path / "out", part=JobPart(2, 2), overwrite=True)


def test_two_processes_do_not_pack_the_same_part(source: Path, tmp_path: Path) -> None:
    def again(done: int, total: int) -> None:
        del done, total
        for overwrite in (False, True):
            with pytest.raises(DatasetError, match="another process is packing here"):
                packed(source, tmp_path / "out", overwrite=overwrite)
        raise Stop

    with pytest.raises(Stop):
        packed(source, tmp_path / "out", progress=again)


@pytest.mark.parametrize("text", ["3", "0/2", "3/2", "a/b", "1/2/3", "-1/2"])
def test_a_part_is_one_of_several(text: str) -> None:
    with pytest.raises(DatasetError, match="part: expected i/n"):
        JobPart.parse(text)


def damage(source: Path) -> None:
    (source / "train" / "cat" / "02.npz").write_bytes(b"no archive")
    frames = source / "test" / "dog"
    np.savez(frames / "03.npz", t=[1], x=[1], y=[1], p=[1], width=np.asarray(20), height=[16])


@pytest.mark.parametrize("workers", slow_but([0, 2], quick=(0).__eq__))
def test_bad_samples_are_reported_and_counted_and_the_others_packed(
    source: Path, tmp_path: Path, workers: int
) -> None:
    damage(source)
    packing = pack(prepared(source), tmp_path / "out", CLIP, workers=workers)
    rows = rows_of(tmp_path / "out" / "rejected.csv")
    assert [(row["sample"], row["file"]) for row in rows] == [
        ("train/cat/02", "train/cat/02.npz"),
        ("test/dog/03", "test/dog/03.npz"),
    ]
    assert "found no frames" in rows[1]["reason"]
    assert [one.sample for one in packing.rejected] == [row["sample"] for row in rows]
    manifest = read_manifest(tmp_path / "out")
    assert manifest.counts == {"train": 11, "test": 3}
    assert manifest.packed is not None
    assert manifest.packed.rejected == 2
    names = [name_of(item) for split in items_of(tmp_path / "out").values() for item in split]
    assert sorted(names) == sorted(one.sample for one in manifest.samples)


def test_a_file_that_is_missing_rejects_its_sample(source: Path, tmp_path: Path) -> None:
    table = "split,events,label\n" + "".join(
        f"{path.relative_to(source).parts[0]},{path.relative_to(source)},{path.parent.name}\n"
        for path in sorted(source.rglob("*.npz"))
    )
    (source / "index.csv").write_text(table + "train,train/cat/99.npz,cat\n")
    packing = pack(prepared(source, "csv"), tmp_path / "out", CLIP, workers=0)
    (row,) = rows_of(tmp_path / "out" / "rejected.csv")
    assert row["file"] == "train/cat/99.npz"
    assert "no such file" in row["reason"]
    assert packing.manifest.counts == {"train": 12, "test": 4}


def test_the_first_bad_sample_is_an_error_where_asked(source: Path, tmp_path: Path) -> None:
    damage(source)
    with pytest.raises(DatasetError, match=r"sample train/cat/02: train/cat/02\.npz: "):
        packed(source, tmp_path / "out", strict=True)
    assert not (tmp_path / "out").exists()


def test_too_many_bad_samples_are_an_error_that_gives_the_reason(
    source: Path, tmp_path: Path
) -> None:
    only_events = CLIP.model_copy(update={"modalities": ("event",)})
    for path in source.rglob("*.npz"):
        np.savez(path, t=[1], x=[1], y=[1], p=[1], width=np.asarray(20), height=np.asarray(16))
    with pytest.raises(
        DatasetError, match=r"16 of 16 .*\(all of test, train\).*no frames"
    ) as reported:
        packed(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    where = tmp_path / "out.packing" / "rejected.csv"
    assert str(where) in str(reported.value)
    assert len(rows_of(where)) == 16
    pack(prepared(source), tmp_path / "out", only_events, workers=0, overwrite=True)
    assert read_manifest(tmp_path / "out").counts == {"train": 12, "test": 4}


def test_many_bad_samples_end_the_work_early(source: Path, tmp_path: Path) -> None:
    for number in range(16, 60):
        (source / "train" / "cat" / f"{number}.npz").write_bytes(b"no archive")
    for path in source.glob("*/*/0*.npz"):
        path.write_bytes(b"no archive")
    steps: list[int] = []
    with pytest.raises(DatasetError, match="samples could not be packed, which looks like"):
        packed(source, tmp_path / "out", progress=lambda done, _: steps.append(done))
    assert steps[-1] == 20


@pytest.mark.slow
def test_a_process_that_dies_costs_its_sample_and_no_other(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = prepare("class_tree", source, tmp_path / "index")
    jobs = [
        Job(number, sample, 0, source, Rendering.of(CLIP))
        for number, sample in enumerate(manifest.samples)
    ]
    monkeypatch.setattr(drawing, "render", dies_on_the_fifth)
    outcomes = list(render_all(jobs, workers=2))
    assert [one.done.number for one in outcomes] == list(range(16))
    assert [one.done.number for one in outcomes if one.done.reason] == [4]
    assert "killed" in outcomes[4].done.reason


def dies_on_the_fifth(job: Job) -> Outcome:
    if job.number == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return render(job)


def test_a_source_that_changed_is_noticed_when_packing_goes_on(
    source: Path, tmp_path: Path
) -> None:
    with pytest.raises(Stop):
        packed(source, tmp_path / "out", progress=interrupt_after(5))
    write_recording(source / "train" / "cat" / "00.npz", 99)
    with pytest.raises(
        DatasetError, match=r"have changed since they were packed: train/cat/00.*anew"
    ):
        packed(source, tmp_path / "out")
    packed(source, tmp_path / "out", overwrite=True)
    packed(source, tmp_path / "fresh")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_samples_that_came_and_went_are_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        packed(source, tmp_path / "out", progress=interrupt_after(5))
    (source / "train" / "cat" / "00.npz").rename(source / "train" / "cat" / "77.npz")
    with pytest.raises(
        DatasetError, match=r"that are new: train/cat/77, samples that are gone: train/"
    ):
        packed(source, tmp_path / "out")


def test_packing_again_changes_nothing_and_notices_a_changed_source(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert packed(source, out).is_new
    before = files_of(out)
    again = packed(source, out)
    assert not again.is_new
    assert again.manifest.counts == {"train": 12, "test": 4}
    assert files_of(out) == before
    with pytest.raises(DatasetError, match="was packed with frames=2, now frames=3"):
        pack(prepared(source), out, CLIP.model_copy(update={"frames": 3}), workers=0)
    write_recording(source / "test" / "dog" / "03.npz", 99)
    with pytest.raises(DatasetError, match=r"have changed since they were packed: test/dog/03"):
        packed(source, out)
    assert packed(source, out, overwrite=True).is_new


def test_recordings_that_the_layout_made_stay_in_the_prepared_dataset(tmp_path: Path) -> None:
    options = {"train": 4, "val": 4, "test": 4, "size_px": 16, "frames": 3, "duration_ms": 30}
    dataset, out = tmp_path / "dataset", tmp_path / "out"
    prepare("generated", None, dataset, options=options)
    before = files_of(dataset)
    with pytest.raises(Stop):
        pack(dataset, out, CLIP, workers=0, progress=interrupt_after(5))
    pack(dataset, out, CLIP)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "out"]
    assert "recordings" not in [path.name for path in out.iterdir()]
    assert files_of(dataset) == before
    assert not pack(dataset, out, CLIP).is_new
    shutil.rmtree(dataset)
    assert read_manifest(out).counts == {"train": 4, "val": 4, "test": 4}


def test_the_folder_of_the_dataset_is_never_packed_into(tmp_path: Path, source: Path) -> None:
    dataset = prepared(source)
    for out in (dataset, tmp_path):
        with pytest.raises(DatasetError, match="that holds the dataset to be packed"):
            pack(dataset, out, CLIP, overwrite=True)
    with pytest.raises(DatasetError, match="that holds the recordings to be packed"):
        pack(dataset, source, CLIP, overwrite=True)
    assert read_manifest(dataset).counts == {"train": 12, "test": 4}


def test_a_packed_dataset_is_not_packed_again(source: Path, tmp_path: Path) -> None:
    packed(source, tmp_path / "out")
    with pytest.raises(DatasetError, match="expected a prepared dataset of recordings, got a pac"):
        pack(tmp_path / "out", tmp_path / "again", CLIP)
    assert not (tmp_path / "again").exists()


def test_recordings_that_were_moved_are_found_where_they_are_said_to_lie(
    source: Path, tmp_path: Path
) -> None:
    dataset = prepared(source)
    source.rename(tmp_path / "moved")
    with pytest.raises(DatasetError, match=r"data\.source=FOLDER to train"):
        pack(dataset, tmp_path / "out", CLIP)
    moved = pack(dataset, tmp_path / "out", CLIP, source=tmp_path / "moved")
    assert moved.manifest.counts == {"train": 12, "test": 4}


FULL_DISK = (
    r"could not be packed, the disk is full; nothing lies under this name yet\. "
    r"\d+ of 16 samples are packed, the others need about 0\.0 MB more\. "
    r"Make room, then give the same command again: it resumes from what is kept in "
)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("chunks", [0, 1, 4])
def test_a_full_disk_is_reported_and_packing_goes_on_when_there_is_room(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: int
) -> None:
    packed(source, tmp_path / "whole")
    write, written = journal.write_chunk, list[Path]()

    def write_until_full(items: Any, path: Path) -> dict[str, Any]:
        if len(written) == chunks:
            path.parent.mkdir(exist_ok=True)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        return write(items, path)

    monkeypatch.setattr(journal, "write_chunk", write_until_full)
    with pytest.raises(DatasetError, match=FULL_DISK):
        packed(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(journal, "write_chunk", write)
    packed(source, tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_a_small_disk_of_its_own_fills_up_and_grows(source: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    for number in range(16, 80):
        write_recording(source / "train" / "cat" / f"{number:03d}.npz", number)
    command = f"{sys.executable} -m evlora pack {prepared(source)} {disk}/new/out"
    command += " clip.frames=2 --workers 0"
    script = f"""
        mount -t tmpfs -o size=8k tmpfs {disk} || exit 99
        {command}; echo $?; ls -A {disk}
        mount -o remount,size=120k {disk}
        {command}; echo $?; ls -A {disk}/new
        mount -o remount,size=8m {disk}
        {command} && cp -r {disk}/new/out {tmp_path}/copy
    """
    ran = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode in (1, 99) and "error:" not in ran.stderr:
        pytest.skip(f"no mounting here: {ran.stderr}")
    assert ran.returncode == 0, ran.stderr
    first, second = ran.stderr.splitlines()
    assert "the disk is full" in first  # nothing was kept: not even the plan had room
    assert "the disk is full" in second
    assert "it resumes from what is kept" in second
    assert ran.stdout.splitlines()[:3] == ["2", "2", "out.packing"]
    packed(source, tmp_path / "whole")
    assert files_of(tmp_path / "copy") == files_of(tmp_path / "whole")


@pytest.mark.slow
def test_real_recordings_are_packed_exactly(data_root: Path, tmp_path: Path) -> None:
    source = data_root / "nmnist_paired"
    config = ClipConfig(size=32)
    whole = prepare("csv", source, tmp_path / "index")
    packing = pack(tmp_path / "index", tmp_path / "out", config, workers=0)
    assert packing.manifest.counts == {"train": 1000, "test": 100}
    assert not packing.rejected
    assert_holds_the_clips_of(tmp_path / "out", ClipDataset(whole, "test", config), "test")


def test_the_generated_dataset_is_packed_exactly(tmp_path: Path) -> None:
    options = {"train": 8, "val": 8, "test": 8, "size_px": 32, "frames": 6, "duration_ms": 60}
    config = ClipConfig(frames=4, size=24)
    whole = prepare("generated", None, tmp_path / "index", options=options)
    pack(tmp_path / "index", tmp_path / "out", config)
    for split in ("train", "val", "test"):
        assert_holds_the_clips_of(tmp_path / "out", ClipDataset(whole, split, config), split)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two samples, each a folder of three frames and one of three event images."""
    from PIL import Image

    rows = ["split,events,frames,event_images,label"]
    for number, split in enumerate(["train", "train", "test"]):
        for kind in ("aps", "dvs"):
            folder = tmp_path / "pictures" / f"{number}_{kind}"
            folder.mkdir(parents=True)
            for place in range(3):
                pixels = np.random.default_rng([number, place]).integers(0, 256, (12, 16, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{place:03d}.png")
        rows.append(f"{split},,{number}_aps,{number}_dvs,cat")
    (tmp_path / "pictures" / "index.csv").write_text("\n".join([*rows, ""]))
    return tmp_path / "pictures"


def test_event_images_are_packed_exactly(pictures: Path, tmp_path: Path) -> None:
    pack(prepared(pictures, "csv"), tmp_path / "out", CLIP)
    whole = prepare("csv", pictures, tmp_path / "index")
    assert_holds_the_clips_of(tmp_path / "out", ClipDataset(whole, "train", CLIP), "train")


def test_a_damaged_picture_is_named(pictures: Path, tmp_path: Path) -> None:
    path = pictures / "1_dvs" / "002.png"
    path.write_bytes(path.read_bytes()[:200])
    pack(prepared(pictures, "csv"), tmp_path / "out", CLIP)
    (row,) = rows_of(tmp_path / "out" / "rejected.csv")
    assert row["file"] == "1_dvs/002.png"
    assert "could not read it" in row["reason"]


def test_a_recording_that_was_read_in_part_is_packed_and_reported(
    source: Path, tmp_path: Path, data_root: Path
) -> None:
    whole = (data_root / "nmnist_paired" / "train" / "00001.bs2").read_bytes()
    for folder in ("train/cat", "test/dog"):
        (source / folder / "cut.bs2").write_bytes(whole[:2001])
    config = CLIP.model_copy(update={"modalities": ("event",)})
    packing = pack(prepared(source), tmp_path / "out", config, workers=0)
    assert [one.sample for one in packing.remarked] == ["train/cat/cut", "test/dog/cut"]
    rows = {row["sample"]: row for row in rows_of(tmp_path / "out" / "sources.csv")}
    assert "1 bytes after event 400" in rows["test/dog/cut"]["remarks"]
    assert rows["test/dog/cut"]["bytes"] == "2001"
    assert not rows["test/dog/03"]["remarks"]


def test_a_sample_that_is_too_large_is_rejected(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "MOST_BYTES", 10_000)
    with np.load(source / "train" / "cat" / "00.npz") as arrays:
        longer = {**arrays, "frames": np.tile(arrays["frames"], (4, 1, 1, 1))}
    times_us = 1_000 * np.arange(12)
    longer |= {"frame_start_us": times_us, "frame_end_us": times_us}
    np.savez(source / "train" / "cat" / "00.npz", **longer)
    (rejected,) = packed(source, tmp_path / "out").rejected
    assert rejected.sample == "train/cat/00"
    assert "expected at most 0 MB when it is packed" in rejected.reason


def test_samples_may_lie_anywhere_if_their_user_agrees(source: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    write_recording(tmp_path / "elsewhere" / "a.npz", 50)
    write_recording(tmp_path / "elsewhere" / "b.npz", 51)
    rows = [f"train,{tmp_path}/elsewhere/a.npz,cat", "test,../elsewhere/b.npz,cat"]
    (source / "index.csv").write_text("\n".join(["split,events,label", *rows, ""]))
    assert pack(
        prepared(source, "csv", allow_outside=True), tmp_path / "out", CLIP
    ).manifest.counts == {
        "train": 1,
        "test": 1,
    }
    assert not pack(prepared(source, "csv", allow_outside=True), tmp_path / "out", CLIP).is_new
    write_recording(tmp_path / "elsewhere" / "b.npz", 52)
    with pytest.raises(DatasetError, match=r"since they were packed: \.\./elsewhere/b"):
        pack(prepared(source, "csv", allow_outside=True), tmp_path / "out", CLIP)
