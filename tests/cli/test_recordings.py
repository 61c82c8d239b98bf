"""`evlora inspect`, `convert` and `simulate`, as a user types them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from evlora.cli.main import app
from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import EventStream, Recording, open_recording, survey
from evlora.recordings.readers import prophesee_words
from evlora.recordings.writers import write_recording

INSPECT_KEYS = [
    *("format", "width", "height", "events", "on", "off"),
    *("t_first_us", "t_last_us", "frames", "warnings"),
]
"""Scripts read them; more may follow."""

Outcome = tuple[str, str]


def run(*arguments: object) -> Outcome:
    """What the command writes to standard output and to standard error."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout, result.stderr


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Twelve events in 1.1 s of a 7×5 sensor, four of them ON, after a gap."""
    times = np.array([0, *range(1_000_000, 1_100_001, 10_000)])
    events = EventStream.from_arrays(
        times, np.arange(12) % 7, np.arange(12) % 5, np.arange(12) % 3 == 0, width=7, height=5
    )
    path = tmp_path / "made.npz"
    write_recording(Recording(events, None, "made"), path)
    return path


def equal(one: EventStream, other: EventStream) -> bool:
    fields = ("t_us", "x", "y", "polarity")
    return all(np.array_equal(getattr(one, field), getattr(other, field)) for field in fields)


# --- inspect ------------------------------------------------------------------------------------


def test_inspect_prints_the_numbers(recording: Path):
    out, _ = run("inspect", recording)
    lines = {line[:11].strip(): line[12:] for line in out.splitlines()}
    assert lines["format"] == "npz"
    assert lines["sensor"] == "7 × 5 pixels"
    assert lines["events"] == "12"
    assert lines["polarity"] == "4 ON, 8 OFF (33.3 % ON)"
    assert lines["time"] == "0 … 1,100,000 µs"
    assert lines["duration"] == "1.100 s"
    assert lines["frames"] == "0"
    assert len(lines["over time"]) == 50
    assert lines["gaps"] == "none"


def test_inspect_prints_one_json_object_with_the_promised_keys(recording: Path):
    out, _ = run("inspect", recording, "--json")
    content = json.loads(out)
    assert list(content)[: len(INSPECT_KEYS)] == INSPECT_KEYS
    assert [content[key] for key in INSPECT_KEYS] == [
        *("npz", 7, 5, 12, 4, 8, 0, 1_100_000, 0),
        [],
    ]
    assert content["activity"]["active_pixels"] == 12


def test_inspect_states_of_which_part_of_a_long_file_its_numbers_are(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(survey, "LONG_BYTES", 0)
    monkeypatch.setattr(survey, "PART_EVENTS", 1)
    monkeypatch.setattr(prophesee_words, "CHUNK_EVENTS", 100)
    count = 1000
    times, places = np.arange(count), np.arange(count) % 5
    events = EventStream.from_arrays(times, places, places, places > 1, width=7, height=5)
    path = tmp_path / "long.dat"
    write_recording(Recording(events, None, "made"), path)

    out, _ = run("inspect", path)
    lines = {line[:11].strip(): line[12:] for line in out.splitlines()}

    assert lines["part"].startswith("the first 0 of 0 MB (")
    assert int(lines["events"]) < count
    whole = run("inspect", path, "--whole")[0]
    assert "\npart " not in whole
    assert "\nevents      1,000\n" in whole
    assert json.loads(run("inspect", path, "--json")[0])["events"] == count


def test_inspect_reports_damage_as_part_of_what_it_prints(data_root: Path, tmp_path: Path):
    cut = tmp_path / "cut.bin"
    cut.write_bytes((data_root / "recordings" / "nmnist.bin").read_bytes()[:-2])
    out, err = run("inspect", cut, "--json")
    content = json.loads(out)
    assert content["events"] == 4324
    assert len(content["warnings"]) == 1
    assert "3 bytes" in content["warnings"][0]
    assert err == ""
    assert "warning     " in run("inspect", cut)[0]


def test_inspect_draws_and_animates_only_where_asked(recording: Path):
    folder = recording.parent
    run("inspect", recording)
    assert [file.name for file in folder.iterdir()] == ["made.npz"]
    drawn = run("inspect", recording, "--out", folder / "a.png", "--animate", folder / "a.gif")
    assert drawn[1] == f"picture: {folder / 'a.png'}\nanimation: {folder / 'a.gif'}\n"
    assert sorted(file.name for file in folder.iterdir()) == ["a.gif", "a.png", "made.npz"]
    for name in ("a.png", "a.gif"):
        with Image.open(folder / name) as image:
            assert min(image.size) >= 300


def test_inspect_takes_format_and_sensor_from_the_command_line(tmp_path: Path):
    odd = tmp_path / "events.data"
    odd.write_text("0 1 2 1\n5 3 4 0\n")
    out, _ = run("inspect", odd, "--format", "text", "--width", 9, "--height", 8, "--json")
    content = json.loads(out)
    assert (content["format"], content["width"], content["height"]) == ("text", 9, 8)
    assert (content["events"], content["t_last_us"]) == (2, 5)


def test_inspect_and_convert_take_columns_and_unit_from_the_command_line(tmp_path: Path):
    odd = tmp_path / "events.csv"
    odd.write_text("2,1,77,1,1000\n4,3,78,-1,5000\n")
    words = ("--columns", "y,x,brightness,p,t", "--unit", "ns", "--width", 9, "--height", 8)

    content = json.loads(run("inspect", odd, *words, "--json")[0])
    run("convert", odd, tmp_path / "out.npz", *words)

    assert (content["on"], content["off"], content["t_last_us"]) == (1, 1, 5)
    events = open_recording(tmp_path / "out.npz").events
    assert events is not None
    assert (events.x.tolist(), events.y.tolist()) == ([1, 3], [2, 4])


def test_a_table_without_names_in_another_order_ends_with_an_error(tmp_path: Path):
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 346, 3000), rng.integers(0, 260, 3000)]
    rows += [np.sort(rng.integers(0, 100_000, 3000)), rng.integers(0, 2, 3000)]
    odd = tmp_path / "events.txt"
    np.savetxt(odd, np.stack(rows, 1), fmt="%d")

    with pytest.raises(RecordingError, match=r"t x y p was assumed: .*--columns"):
        run("inspect", odd, "--width", 346, "--height", 260)


def test_inspect_lays_separate_frames_under_the_events(recording: Path, tmp_path: Path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.full((5, 7, 3), 80 * number, np.uint8)).save(folder / f"{number}.png")
    out, _ = run("inspect", recording, "--frames", folder, "--json")
    content = json.loads(out)
    assert content["frames"] == 3
    assert content["frame_timing"]["width"] == 7


def test_inspect_of_frames_alone_counts_frames(tmp_path: Path):
    Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(tmp_path / "0.png")
    out, _ = run("inspect", tmp_path, "--json")
    content = json.loads(out)
    assert (content["events"], content["frames"]) == (0, 1)
    assert content["activity"] is None
    assert "sensor      7 × 5 pixels" in run("inspect", tmp_path)[0]


@pytest.mark.parametrize(
    "name",
    [
        *("dvs_320x240.es", "dvxplorer_320x240.aedat4", "ncars.dat", "nmnist.bin"),
        *("prophesee_evt2_a.raw", "prophesee_evt2_b.raw", "prophesee_evt3.raw"),
    ],
)
def test_every_real_sample_can_be_inspected(data_root: Path, name: str):
    out, _ = run("inspect", data_root / "recordings" / name)
    assert "ON, " in out
    assert "warning" not in out


@pytest.mark.parametrize("option", ["--out", "--animate"])
def test_inspect_refuses_a_name_before_it_reads(
    recording: Path, capsys: pytest.CaptureFixture[str], option: str
):
    with pytest.raises(RecordingError, match="expected a name that ends in"):
        run("inspect", recording, option, recording.parent / "look.xyz")
    assert not capsys.readouterr().out


# --- convert ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("out.h5", ()),
        ("out.npz", ()),
        ("out.csv", ()),
        ("out.es", ()),
        ("out.raw", ("--to", "evt2")),
        ("out.raw", ("--to", "evt3")),
    ],
)
def test_convert_and_back_changes_nothing(
    recording: Path, tmp_path: Path, name: str, options: tuple[str, ...]
):
    there, back = tmp_path / "there" / name, tmp_path / "back.npz"
    out, err = run("convert", recording, there, *options)
    assert out == ""
    assert err == f"{there}: 12 events\n"
    run("convert", there, back)
    before, after = open_recording(recording).events, open_recording(back).events
    assert before is not None
    assert after is not None
    assert equal(before, after)
    assert (after.width, after.height) == (7, 5)


def test_convert_refuses_what_it_does_not_know_and_leaves_nothing(recording: Path):
    with pytest.raises(RecordingError, match=r"no format with suffix '\.xyz' can be written"):
        run("convert", recording, recording.parent / "out.xyz")
    with pytest.raises(RecordingError, match="no such file or folder"):
        run("convert", recording.parent / "absent.npz", recording.parent / "out.npz")
    assert [file.name for file in recording.parent.iterdir()] == ["made.npz"]


# --- simulate -----------------------------------------------------------------------------------


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A bar that crosses 64×48 pixels in 8 frames of 40 ms."""
    import av

    path = tmp_path / "bar.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(8):
            image = np.full((48, 64, 3), 30, np.uint8)
            image[:, 6 * number : 6 * number + 8] = 220
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def test_simulate_writes_the_events_of_a_video(video: Path, tmp_path: Path):
    out = tmp_path / "events.h5"
    _, err = run("simulate", video, out)
    events = open_recording(out).events
    assert events is not None
    assert err == f"{out}: {len(events):,} events\n"
    assert (events.width, events.height) == (64, 48)
    assert 0 < events.first_us < events.last_us <= 7 * 40_000
    on = events.x[events.polarity]
    assert on[-50:].mean() > on[:50].mean() + 30


def test_simulate_is_repeatable_and_follows_seed_size_and_sensor(video: Path, tmp_path: Path):
    def simulated(*options: object) -> EventStream:
        run("simulate", video, tmp_path / "out.npz", *options)
        events = open_recording(tmp_path / "out.npz").events
        assert events is not None
        return events

    plain = simulated()
    assert equal(plain, simulated("--seed", 0))
    assert not equal(plain, simulated("--seed", 1))
    small = simulated("--width", 32, "--height", 24)
    assert (small.width, small.height) == (32, 24)
    quiet = simulated("positive_threshold=0.6", "negative_threshold=0.6")
    assert len(quiet) < len(plain) / 2


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("threshold=1", "with a key of positive_threshold, negative_threshold"),
        ("seed", "expected key=value"),
        ("leak_rate_hz=often", "leak_rate_hz: expected a number"),
        ("positive_threshold=0", "expected a number above 0"),
    ],
)
def test_simulate_explains_a_wrong_sensor(video: Path, tmp_path: Path, pair: str, message: str):
    with pytest.raises(RecordingError, match=message):
        run("simulate", video, tmp_path / "out.npz", pair)
    assert not (tmp_path / "out.npz").exists()


def test_simulate_of_events_names_what_changes_their_format(recording: Path, tmp_path: Path):
    with pytest.raises(RecordingError, match="holds events already; evlora convert changes"):
        run("simulate", recording, tmp_path / "out.npz")


# --- the command itself -------------------------------------------------------------------------


def test_a_mistake_gives_one_line_and_exit_code_2(tmp_path: Path):
    command = "from evlora.cli.main import run; run()"
    result = subprocess.run(
        [sys.executable, "-c", command, "inspect", str(tmp_path / "absent.raw")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_a_damaged_file_is_warned_of_when_it_is_converted(data_root: Path, tmp_path: Path):
    cut = tmp_path / "cut.bin"
    cut.write_bytes((data_root / "recordings" / "nmnist.bin").read_bytes()[:-2])
    with pytest.warns(RecordingWarning, match="3 bytes"):
        run("convert", cut, tmp_path / "out.npz")
