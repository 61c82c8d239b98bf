"""`evlora convert`: parts of a recording, and folders of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from evlora.cli.main import app
from evlora.errors import RecordingError
from evlora.recordings import EventStream, Recording, open_recording
from evlora.recordings.writers import write_recording


def run(*arguments: object) -> str:
    """What the command writes to standard error."""
    return ran(*arguments).stderr


def ran(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result


def made(path: Path) -> Path:
    """An event a millisecond for four seconds, from second 5 on, at 8×6 pixels."""
    number = np.arange(4000)
    events = EventStream.from_arrays(
        5_000_000 + 1000 * number, number % 8, number % 6, number % 2, width=8, height=6
    )
    write_recording(Recording(events, None, "made"), path)
    return path


def test_a_part_of_the_time_counts_from_the_first_event(tmp_path):
    out = tmp_path / "out.npz"
    run("convert", made(tmp_path / "in.npz"), out, "--from", "1.5s", "--until", "3000ms")

    events = open_recording(out).events
    assert (events.first_us, events.last_us, len(events)) == (6_500_000, 7_999_000, 1500)


def test_to_names_the_end_the_format_or_both(tmp_path):
    source = made(tmp_path / "in.npz")
    run("convert", source, tmp_path / "a.npz", "--from", "1.5s", "--to", "3s")
    run("convert", source, tmp_path / "b.raw", "--to", "evt2", "--to", "3000ms", "--from", "1.5s")

    for name in ("a.npz", "b.raw"):
        events = open_recording(tmp_path / name).events
        assert (events.first_us, events.last_us) == (6_500_000, 7_999_000)
    with pytest.raises(RecordingError, match="expected one, got 3s and 2s"):
        run("convert", source, tmp_path / "c.npz", "--to", "3s", "--until", "2s")
    with pytest.raises(RecordingError, match="expected one, got evt2 and evt3"):
        run("convert", source, tmp_path / "c.npz", "--to", "evt2", "--to", "evt3")


def test_a_crop_and_fewer_pixels_are_written(tmp_path):
    out = tmp_path / "out.h5"
    run("convert", made(tmp_path / "in.npz"), out, "--crop", "2,0,4,6", "--downsample", 2)

    events = open_recording(out).events
    assert (events.width, events.height) == (2, 3)
    assert len(events) == 2000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--from", "soon"), "--from: expected a time such as 1.5s"),
        (("--crop", "1,2,3"), "--crop: expected x,y,width,height"),
        (("--from", "3s", "--until", "1s"), "expected a part that begins before it ends"),
        (("--split-at-triggers",), "expected triggers to split at"),
    ],
)
def test_parts_that_make_no_sense_are_refused(tmp_path, options, message):
    with pytest.raises(RecordingError, match=message):
        run("convert", made(tmp_path / "in.npz"), tmp_path / "out.npz", *options)
    assert not (tmp_path / "out.npz").exists()


def test_a_recording_is_written_in_a_file_from_each_trigger_to_the_next(tmp_path):
    words = [0x8000, 0x6001, 0xA001, 0x0001, 0x2001, 0x6005, 0xA001, 0x2002, 0x2003]
    path = tmp_path / "in.raw"
    header = b"% evt 3.0\n% geometry 8x6\n% end\n"
    path.write_bytes(header + np.array(words, "<u2").tobytes())

    printed = run("convert", path, tmp_path / "out.h5", "--split-at-triggers")

    assert "2 files: 3 events" in printed
    assert len(open_recording(tmp_path / "out_0000.h5").events) == 1
    assert len(open_recording(tmp_path / "out_0001.h5").events) == 2


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_folder_is_converted_and_what_failed_is_reported(tmp_path, jobs):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    made(tmp_path / "in" / "a.npz")
    made(tmp_path / "in" / "deep" / "b.npz")
    (tmp_path / "in" / "broken.npz").write_bytes(b"PK\x03\x04 nothing more")

    with pytest.raises(RecordingError, match=r"1 of 3 recordings .*\n.*broken\.npz"):
        run("convert", tmp_path / "in", tmp_path / "out", "--to", "evt3", "--jobs", jobs)

    assert len(open_recording(tmp_path / "out" / "a.raw").events) == 4000
    assert len(open_recording(tmp_path / "out" / "deep" / "b.raw").events) == 4000
    assert not (tmp_path / "out" / "broken.raw").exists()


def test_text_without_events_is_passed_over_in_a_folder(tmp_path):
    (tmp_path / "in" / "__MACOSX").mkdir(parents=True)
    made(tmp_path / "in" / "a.csv")
    (tmp_path / "in" / "__MACOSX" / "a.csv").write_bytes((tmp_path / "in" / "a.csv").read_bytes())
    (tmp_path / "in" / "notes.txt").write_text("0 and 3 were recorded on a Monday\n")
    (tmp_path / "in" / "labels.csv").write_text("file,label\na.csv,0\n")

    inspected = ran("inspect", tmp_path / "in", "--json")
    converted = run("convert", tmp_path / "in", tmp_path / "out", "--to", "evt3")

    assert [json.loads(line)["events"] for line in inspected.stdout.splitlines()] == [4000]
    names = f"{tmp_path / 'in' / 'labels.csv'}, {tmp_path / 'in' / 'notes.txt'}"
    for printed in (inspected.stderr, converted):
        assert f"passed over text without events: {names}" in printed
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.raw"]


def test_a_folder_needs_a_format_to_convert_to(tmp_path):
    (tmp_path / "in").mkdir()
    made(tmp_path / "in" / "a.npz")

    with pytest.raises(RecordingError, match="a folder needs a format to convert to; one of npz"):
        run("convert", tmp_path / "in", tmp_path / "out")
    for name, message in {
        "evt4": "did you mean evt",
        "raw": "there are: evt2, evt2.1, evt3",
    }.items():
        with pytest.raises(RecordingError, match=f"no format called '{name}' .*; {message}"):
            run("convert", tmp_path / "in", tmp_path / "out", "--to", name)


def test_a_format_may_be_named_by_its_suffix(tmp_path):
    (tmp_path / "in").mkdir()
    made(tmp_path / "in" / "a.npz")
    for name in ("csv", ".txt"):
        run("convert", tmp_path / "in", tmp_path / "out", "--to", name)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.csv", "a.txt"}


def test_a_part_behind_the_end_is_refused_with_its_times(tmp_path):
    with pytest.raises(RecordingError, match=r"got 9000000 to 3999001 µs after"):
        run("convert", made(tmp_path / "in.npz"), tmp_path / "out.npz", "--from", "9s")


def test_a_folder_without_recordings_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(RecordingError, match="expected recordings below this folder"):
        run("convert", tmp_path / "in", tmp_path / "out", "--to", "npz")


def test_recordings_of_one_name_keep_their_suffixes(tmp_path):
    (tmp_path / "in").mkdir()
    made(tmp_path / "in" / "a.npz")
    made(tmp_path / "in" / "a.h5")

    run("convert", tmp_path / "in", tmp_path / "out", "--to", "text")

    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.h5.csv", "a.npz.csv"]
