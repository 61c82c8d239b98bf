"""Text as people have it: what its first lines state is used, or the file is refused."""

import random

import numpy as np
import pytest

from evlora.errors import RecordingError, RecordingWarning
from evlora.recordings import iterate_windows, open_recording

SENSOR = {"width": 346, "height": 260}
ROWS = [
    (50 * n, random.Random(n).randrange(346), random.Random(-n - 1).randrange(260), n % 2)
    for n in range(500)
]


def write(path, head, line):
    path.write_text(head + "".join(line(n, *row) for n, row in enumerate(ROWS)), newline="")
    return path


def require_rows(events):
    t, x, y, p = np.array(ROWS).T
    np.testing.assert_array_equal(events.t_us, t)
    np.testing.assert_array_equal(events.x, x)
    np.testing.assert_array_equal(events.y, y)
    np.testing.assert_array_equal(events.polarity, p == 1)


V2E_NOISE = (
    "#!events.txt\n# Format is time (float s), x, y, polarity (0=off, 1=on), signal/noise (1/0)\n"
)
V2E = "# Format is time (float s), x, y, polarity (0=off, 1=on) as specified at http://a.b/c.html\n"


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("t,x,y,p\n", lambda n, t, x, y, p: f"{t},{x},{y},{p}\n"),
        (",t,x,y,p\n", lambda n, t, x, y, p: f"{n},{t},{x},{y},{p}\n"),  # pandas
        ("Unnamed: 0,t,x,y,p\n", lambda n, t, x, y, p: f"{n},{t},{x},{y},{p}\n"),
        ("\tt\tx\ty\tp\n", lambda n, t, x, y, p: f"{n}\t{t}\t{x}\t{y}\t{p}\n"),
        ('"t","x","y","p"\n', lambda n, t, x, y, p: f"{t},{x},{y},{p}\n"),  # R, spreadsheets
        ('"","t","x","y","p"\n', lambda n, t, x, y, p: f'"{n + 1}",{t},{x},{y},{p}\n'),
        ('"t" "x" "y" "p"\n', lambda n, t, x, y, p: f'"{n + 1}" {t} {x} {y} {p}\n'),
        ('"t";"x";"y";"p"\n', lambda n, t, x, y, p: f"{t};{x};{y};{p}\n"),
        (
            "time [s];x;y;p\n",  # a spreadsheet where decimals have commas
            lambda n, t, x, y, p: f"{f'{t / 1e6:.6f}'.replace('.', ',')};{x};{y};{p}\n",
        ),
        ("t,x,y,p,label\n", lambda n, t, x, y, p: f"{t},{x},{y},{p},{n % 3}\n"),
        ("t,x,y,p,\n", lambda n, t, x, y, p: f"{t},{x},{y},{p},\n"),
        ("t_ns,x,y,p\n", lambda n, t, x, y, p: f"{1000 * t + 999},{x},{y},{p}\n"),
        ("time (ms),x,y,p\n", lambda n, t, x, y, p: f"{t / 1000},{x},{y},{p}\n"),
        ("# t [ns] x y p\n", lambda n, t, x, y, p: f"{1000 * t} {x} {y} {p}\n"),
        ("# timestamps in nanoseconds\n", lambda n, t, x, y, p: f"{1000 * t} {x} {y} {p}\n"),
        ("x y p timestamp_us\n", lambda n, t, x, y, p: f"{x} {y} {p} {t}\n"),
        ("t,x@346,y@260,on\r\n", lambda n, t, x, y, p: f"{t},{x},{y},{p}\r\n"),  # faery
        (V2E_NOISE, lambda n, t, x, y, p: f"{t / 1e6} {x} {y} {p} {n % 7 > 0:d}\n"),
        (V2E, lambda n, t, x, y, p: f"{t / 1e6} {x} {y} {p}\n"),
        ("sep=;\nt;x;y;p\n", lambda n, t, x, y, p: f"{t};{x};{y};{p}\n"),  # spreadsheets
        ("t,col,row,p\n", lambda n, t, x, y, p: f"{t},{x},{y},{p}\n"),
        ("ts,x_addr,y_addr,pol\n", lambda n, t, x, y, p: f"{t},{x},{y},{p}\n"),
        ("time,xpos,ypos,pol\n", lambda n, t, x, y, p: f"{t},{x},{y},{p}\n"),
        ("time;coord_x;coord_y;pol\n", lambda n, t, x, y, p: f"{t};{x};{y};{p}\n"),
        ("\ufefft,x,y,p\n", lambda n, t, x, y, p: f"{t},{x},{y},{p}\n"),
        ("\ufeff", lambda n, t, x, y, p: f"{t},{x},{y},{p}\n"),
        ("t_us,x_px,y_px,is_on\n", lambda n, t, x, y, p: f"{t},{x},{y},{p}\n"),
        ("t,x,y,p\nms,px,px,-\n", lambda n, t, x, y, p: f"{t / 1000},{x},{y},{p}\n"),
        ("x,y,t,p\npx,px,[ns],\n", lambda n, t, x, y, p: f"{x},{y},{1000 * t},{p}\n"),
        (
            "t [s]\tx\ty\tp\n",  # a spreadsheet that parts its columns by tabs
            lambda n, t, x, y, p: f"{f'{t / 1e6:.6f}'.replace('.', ',')}\t{x}\t{y}\t{p}\n",
        ),
        ("t,\tx,\ty,\tp\n", lambda n, t, x, y, p: f"{t},\t{x},\t{y},\t{p}\n"),
    ],
)
def test_what_the_first_lines_state_is_used(tmp_path, head, line):
    path = write(tmp_path / "sample.csv", head, line)

    recording = open_recording(path, **SENSOR)

    require_rows(recording.events)
    assert recording.warnings == ()


@pytest.mark.parametrize(
    "line",
    [
        "t,x@346,y@260,on\n",
        "# resolution: 346x260\nt,x,y,p\n",
        "# sensor: DAVIS346 346x260\nt,x,y,p\n",
        "# resolution: (346, 260)\nt,x,y,p\n",
        "# sensor_size [346, 260]\nt,x,y,p\n",
        "# width=346 height=260\nt,x,y,p\n",
        "# height: 260, width: 346\nt,x,y,p\n",
        "346 260\nt,x,y,p\n",
    ],
)
def test_the_sensor_that_the_first_lines_state_is_used(tmp_path, line):
    path = write(tmp_path / "sample.csv", line, lambda n, t, x, y, p: f"{t},{x},{y},{p}\n")

    events = open_recording(path).events

    assert (events.width, events.height) == (346, 260)
    require_rows(events)


@pytest.mark.parametrize(
    ("head", "line", "message"),
    [
        ("t,timestamp,x,y,p\n", "0,0,1,2,1\n", "expected one name per field, got t, timestamp"),
        ("t,x,y,p\n", "0,1,2,1,7\n", r"line 2: expected an event of 4 numbers .*--columns"),
        ("a,b,c,d\n", "0,1,2,1\n", "expected the names of t, x, y and p in line 1"),
        ("", "0,1,2,1,7\n", r"line 1: expected an event of 4 numbers as no line names"),
    ],
)
def test_a_table_whose_columns_are_not_clear_is_refused(tmp_path, head, line, message):
    path = tmp_path / "sample.csv"
    path.write_text(head + line * 3)

    with pytest.raises(RecordingError, match=message):
        open_recording(path, **SENSOR)


def test_numbers_in_a_comment_that_are_no_size_are_none(tmp_path):
    head = "# sensor time resolution: 1,000 ns, camera of 10 Hz, lens 50x2\nt,x,y,p\n"
    path = write(tmp_path / "sample.csv", head, lambda n, t, x, y, p: f"{t},{x},{y},{p}\n")

    with pytest.raises(RecordingError, match="does not state the size of its sensor"):
        open_recording(path)


def test_tables_parted_by_tabs_have_a_suffix_of_their_own(tmp_path):
    path = write(
        tmp_path / "a.tsv", "t\tx\ty\tp\n", lambda n, *row: "\t".join(map(str, row)) + "\n"
    )

    require_rows(open_recording(path, **SENSOR).events)


def test_lines_of_an_old_mac_are_refused_with_the_cure(tmp_path):
    path = write(tmp_path / "a.csv", "t,x,y,p\r", lambda n, t, x, y, p: f"{t},{x},{y},{p}\r")

    with pytest.raises(RecordingError, match=r"bare carriage returns .*; save the text"):
        open_recording(path, **SENSOR)


@pytest.mark.parametrize("suffix", [".csv.gz", ".zip", ".tar.xz"])
def test_a_packed_recording_is_refused_with_the_cure(tmp_path, suffix):
    path = tmp_path / f"sample{suffix}"
    path.write_bytes(b"\x1f\x8b\x08")

    with pytest.raises(RecordingError, match=r"got an archive by its suffix .*; unpack it"):
        open_recording(path, **SENSOR)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_text_in_utf16_is_refused_with_the_cure(tmp_path, encoding):
    path = tmp_path / "events.csv"
    path.write_text("t,x,y,p\n1,2,3,1\n", encoding=encoding)

    with pytest.raises(RecordingError, match=r"expected UTF-8, got UTF-16; save the text as UTF-8"):
        open_recording(path, **SENSOR)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8", "utf-8-sig"])
def test_a_header_outside_utf8_keeps_its_unit(tmp_path, encoding):
    path = tmp_path / "events.csv"
    lines = "".join(f"{t},{x},{y},{p}\n" for t, x, y, p in ROWS)
    path.write_text(f"t [µs],x,y,p\n{lines}", encoding=encoding)

    require_rows(open_recording(path, **SENSOR).events)


@pytest.mark.parametrize(
    "words",
    [("OFF", "ON"), ("off", "on"), ("-", "+"), ("neg", "pos"), ("False", "True"), ('"-"', '"+"')],
)
def test_words_for_a_polarity_are_read(tmp_path, words):
    path = write(
        tmp_path / "events.csv", "t,x,y,p\n", lambda n, t, x, y, p: f"{t},{x},{y},{words[p]}\n"
    )

    require_rows(open_recording(path, **SENSOR).events)


@pytest.mark.parametrize("order", ["xytp", "yxtp", "xypt", "ptxy"])
def test_an_undeclared_order_of_columns_is_refused_rather_than_cut_off(tmp_path, order):
    rng = np.random.default_rng(0)
    count = 3000
    values = {
        "t": np.sort(rng.integers(0, 100_000, count)),
        "x": rng.integers(0, 346, count),
        "y": rng.integers(0, 260, count),
        "p": rng.integers(0, 2, count),
    }
    path = tmp_path / "sample.txt"
    np.savetxt(path, np.stack([values[field] for field in order], 1), fmt="%d")

    with pytest.raises(RecordingError, match=r"--columns"):
        open_recording(path, **SENSOR)
    events = open_recording(path, columns=",".join(order), **SENSOR).events

    np.testing.assert_array_equal(events.t_us, values["t"])
    np.testing.assert_array_equal(events.y, values["y"])


def test_the_caller_names_the_columns_of_a_table_without_names(tmp_path):
    path = write(tmp_path / "sample.csv", "", lambda n, t, x, y, p: f"{y},{x},{n},{p},{1000 * t}\n")

    recording = open_recording(path, columns="y,x,brightness,p,t", unit="ns", **SENSOR)
    windows = iterate_windows(
        path, duration_us=10_000, columns=["y", "x", "b", "p", "t"], unit="ns", **SENSOR
    )

    require_rows(recording.events)
    assert sum(len(window.events) for window in windows) == len(ROWS)


def test_the_caller_picks_columns_by_the_names_that_a_line_gives(tmp_path):
    path = write(
        tmp_path / "sample.csv",
        "stamp,col,row,polarity,t\n",
        lambda n, t, x, y, p: f"{t},{x},{y},{p},{n}\n",
    )

    events = open_recording(path, columns="t=stamp,x=col,y=row,p=polarity", **SENSOR).events

    require_rows(events)
    with pytest.raises(RecordingError, match=r"expected columns named line .*got stamp, col"):
        open_recording(path, columns="t=stamp,x=col,y=line,p=polarity", **SENSOR)


@pytest.mark.parametrize("columns", ["t,x,y", "t,x,y,p,p", "t=a,x=b,y=c", "t=a,x=,y=c,p=d"])
def test_columns_that_name_no_or_two_of_a_field_are_refused(tmp_path, columns):
    path = write(tmp_path / "sample.csv", "", lambda n, t, x, y, p: f"{t},{x},{y},{p}\n")

    with pytest.raises(RecordingError, match=r"columns: expected t, x, y and p once each"):
        open_recording(path, columns=columns, **SENSOR)


def test_a_unit_that_is_none_is_refused(tmp_path):
    path = write(tmp_path / "sample.csv", "", lambda n, t, x, y, p: f"{t},{x},{y},{p}\n")

    with pytest.raises(RecordingError, match=r"unit: expected s, ms, us or ns, got 'fortnights'"):
        open_recording(path, unit="fortnights", **SENSOR)


def test_columns_for_a_format_that_states_them_are_refused(tmp_path):
    path = tmp_path / "sample.raw"
    path.write_bytes(b"% evt 2.0\n% geometry 64x48\n% end\n")

    with pytest.raises(RecordingError, match=r"no columns= .*evt2.*it is for npz, npy, hdf5, mat"):
        open_recording(path, columns="t,x,y,p")


def test_nanoseconds_since_1970_are_known_by_their_size(tmp_path):
    start_ns = 1_764_000_000_123_456_789
    path = write(
        tmp_path / "sample.csv",
        "t,x,y,p\n",
        lambda n, t, x, y, p: f"{start_ns + 1000 * t},{x},{y},{p}\n",
    )

    recording = open_recording(path, **SENSOR)

    np.testing.assert_array_equal(recording.events.t_us, start_ns // 1000 + np.array(ROWS)[:, 0])
    assert any("ns since 1970" in remark for remark in recording.remarks)


def test_a_clock_that_looks_like_milliseconds_since_1970_is_remarked_upon(tmp_path):
    path = write(
        tmp_path / "ms.csv",
        "t,x,y,p\n",
        lambda n, t, x, y, p: f"{1_700_000_000_000 + t},{x},{y},{p}\n",
    )
    recording = open_recording(path, **SENSOR)

    assert recording.events.first_us == 1_700_000_000_000
    assert any("name the unit with unit=ms" in remark for remark in recording.remarks)
    in_ms = open_recording(path, unit="ms", **SENSOR)
    assert in_ms.events.first_us == 1_700_000_000_000_000
    assert not any("unit=ms" in remark for remark in in_ms.remarks)


def test_times_that_lose_their_unit_within_the_file_are_refused(tmp_path, monkeypatch):
    from evlora.recordings.readers import text

    monkeypatch.setattr(text, "BLOCK_BYTES", 16)
    path = tmp_path / "sample.csv"
    path.write_text("t,x,y,p\n" + "0,1,2,1\n" * 4 + "0.5,1,2,1\n")

    with pytest.raises(RecordingError, match=r"whole us as before.*--unit, got times with fract"):
        open_recording(path, **SENSOR)


# Polarity


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".npy", ".h5"])
def test_a_polarity_of_0_beside_both_signs_is_neither_and_counted(tmp_path, suffix):
    import h5py

    rng = np.random.default_rng(0)
    p = rng.integers(-1, 2, 2000)
    fields = {
        "t": np.sort(rng.integers(0, 100_000, 2000)),
        "x": rng.integers(0, 346, 2000),
        "y": rng.integers(0, 260, 2000),
        "p": p.astype(np.int8),
    }
    path = tmp_path / f"sample{suffix}"
    if suffix == ".csv":
        rows = np.stack([*fields.values()], 1)
        np.savetxt(path, rows, fmt="%d", delimiter=",", header="t,x,y,p", comments="")
    elif suffix == ".npz":
        np.savez(path, **fields)
    elif suffix == ".npy":
        np.save(path, np.rec.fromarrays([*fields.values()], names="t,x,y,p"))
    else:
        with h5py.File(path, "w") as file:
            for name, values in fields.items():
                file[f"events/{name}"] = values

    with pytest.warns(RecordingWarning, match=rf"{(p == 0).sum()} of 2000 events have a polar"):
        events = open_recording(path, **SENSOR).events

    np.testing.assert_array_equal(events.t_us, fields["t"][p != 0])
    np.testing.assert_array_equal(events.polarity, p[p != 0] > 0)


def test_a_minus_one_after_zeros_were_read_as_off_is_refused(tmp_path, monkeypatch):
    from evlora.recordings.readers import text

    monkeypatch.setattr(text, "BLOCK_BYTES", 16)
    path = tmp_path / "sample.csv"
    path.write_text("t,x,y,p\n" + "0,1,2,1\n1,1,2,0\n" * 4 + "2,1,2,-1\n")

    with pytest.raises(RecordingError, match="which of them is OFF is not clear"):
        open_recording(path, **SENSOR)


@pytest.mark.parametrize("values", [(0, 2), (1, 2), (0, 255), (-2, 1)])
def test_polarities_of_other_values_are_refused(tmp_path, values):
    path = tmp_path / "sample.npz"
    np.savez(path, t=[0, 1], x=[1, 1], y=[1, 1], p=list(values))

    with pytest.raises(RecordingError, match=r"expected p as booleans, 0 and 1, or −1 and 1"):
        open_recording(path, **SENSOR)


# Lines that are no events


def test_a_line_that_is_no_event_before_most_of_the_file_is_an_error(tmp_path):
    path = tmp_path / "sample.csv"
    path.write_text("t,x,y,p\n" + "1,1,1,1\n" * 10 + "t,x,y,p\n" + "2,1,1,1\n" * 100)

    with pytest.raises(RecordingError, match=r"line 12 is no event.*only 10 events come before"):
        open_recording(path, **SENSOR)


def test_a_line_of_more_cells_than_the_others_is_no_event(tmp_path):
    path = tmp_path / "sample.csv"
    path.write_text("t,x,y,p\n" + "1,1,1,1\n" * 10 + "2,1,1,1,9\n")

    with pytest.warns(RecordingWarning, match="line 12 is no event: '2,1,1,1,9'"):
        assert len(open_recording(path, **SENSOR).events) == 10
