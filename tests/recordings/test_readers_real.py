"""Real recordings: counts, sums and first and last times, each checked by a second reading."""

import faery
import numpy as np
import pytest
from recording_samples import evt3_word_by_word, require_equal

from evlora.recordings import EventStream, open_recording
from evlora.recordings.readers.prophesee_header import read_header

# file: format, sensor, events, sum of x, sum of y, ON events, first and last time, and the sum of
# all times behind the first. The second reading of each stands in the tests below: faery's Rust
# decoders for aedat4, EVT2, DAT and ES; an interpreter of the specification, one word after the
# other, for EVT3; Python integers, one record after the other, for N-MNIST.
PINNED = {
    "dvs_320x240.es": (
        *("es", (320, 240), 473225, 72946016, 56007796, 270001),
        *(0, 999000, 200862071000),
    ),
    "dvxplorer_320x240.aedat4": (
        *("aedat4", (320, 240), 111954, 18342405, 15105898, 55023),
        *(1605537493718345, 1605537494308262, 31685685498),
    ),
    "ncars.dat": ("dat", (304, 240), 2009, 93457, 40463, 1350, 0, 99952, 98196680),
    "nmnist.bin": ("nmnist", (34, 34), 4325, 74457, 71931, 2145, 654, 311175, 687658855),
    "prophesee_evt2_a.raw": (
        *("evt2", (640, 480), 539481, 171811022, 110162026, 367855),
        *(1317888, 1367888, 13364739784),
    ),
    "prophesee_evt2_b.raw": (
        *("evt2", (640, 480), 521252, 128979953, 216346680, 185861),
        *(913716224, 913812095, 21685464521),
    ),
    "prophesee_evt3.raw": (
        *("evt3", (1280, 720), 219596, 159113225, 85638051, 115532),
        *(11718656, 11727457, 954917491),
    ),
}


def summary(events: EventStream) -> tuple[int, ...]:
    sums = (events.x.sum(dtype=np.int64), events.y.sum(dtype=np.int64), events.polarity.sum())
    behind = (events.t_us - events.first_us).sum()
    return (len(events), *map(int, sums), events.first_us, events.last_us, int(behind))


@pytest.mark.parametrize("name", PINNED)
def test_a_real_file_is_read_as_pinned(data_root, name):
    recording = open_recording(data_root / "recordings" / name)

    format, sensor, *numbers = PINNED[name]
    assert recording.events is not None
    assert recording.format == format
    assert (recording.events.width, recording.events.height) == sensor
    assert summary(recording.events) == tuple(numbers)
    assert recording.warnings == ()


def test_every_real_file_is_pinned(data_root):
    assert {path.name for path in (data_root / "recordings").iterdir()} == set(PINNED)


@pytest.mark.parametrize("name", ["prophesee_evt2_a.raw", "prophesee_evt2_b.raw"])
def test_evt2_equals_what_faery_reads(data_root, name):
    path = data_root / "recordings" / name

    stream = faery.events_stream_from_file(path, version_fallback="evt2")

    require_equal(open_recording(path).events, stream.to_array())


def test_event_stream_equals_what_faery_reads(data_root):
    path = data_root / "recordings" / "dvs_320x240.es"

    require_equal(open_recording(path).events, faery.events_stream_from_file(path).to_array())


def test_dat_equals_what_faery_decodes(data_root):
    path = data_root / "recordings" / "ncars.dat"

    packets = list(faery.dat.Decoder(str(path), (304, 240), "dat2"))

    require_equal(open_recording(path).events, np.concatenate(packets), polarity="payload")


def test_aedat4_equals_what_faery_decodes(data_root):
    path = data_root / "recordings" / "dvxplorer_320x240.aedat4"

    with faery.aedat.Decoder(str(path)) as decoder:
        packets = [packet for track, packet in decoder if track.data_type == "events"]

    require_equal(open_recording(path).events, np.concatenate(packets))


def test_nmnist_equals_a_reading_record_by_record(data_root):
    path = data_root / "recordings" / "nmnist.bin"
    raw = path.read_bytes()

    records = [raw[start : start + 5] for start in range(0, len(raw), 5)]
    rows = [
        (int.from_bytes(record[2:], "big") & 0x7FFFFF, record[0], record[1], record[2] >> 7)
        for record in records
    ]

    array = np.array(rows, [("t", "i8"), ("x", "i4"), ("y", "i4"), ("on", "i4")])
    require_equal(open_recording(path).events, array)


def test_evt3_equals_a_reading_word_by_word(data_root):
    path = data_root / "recordings" / "prophesee_evt3.raw"
    words = np.fromfile(path, "<u2", offset=read_header(path).data_byte)

    require_equal(open_recording(path).events, evt3_word_by_word(words.tolist()))


def test_faery_reads_the_same_evt3_events_some_of_them_up_to_11_us_late(data_root):
    # Why EVT3 has a decoder of its own; when this fails, faery's may serve.
    path = data_root / "recordings" / "prophesee_evt3.raw"
    events = open_recording(path).events
    assert events is not None

    theirs = faery.events_stream_from_file(path, version_fallback="evt3").to_array()

    late = theirs["t"].astype(np.int64) - events.t_us
    assert late.min() == 0
    assert late.max() == 11
    assert 0.006 < (late > 0).mean() < 0.007
    np.testing.assert_array_equal(events.x, theirs["x"])
    np.testing.assert_array_equal(events.y, theirs["y"])


# Sums over all records of a split, checked against numpy's reading of all files' bytes at once
# for the count, and against the same loop over records as above for a sample of files.
@pytest.mark.parametrize(
    ("split", "numbers"),
    [
        pytest.param(
            "train",
            (1000, 4133231, 68895749, 71369733, 2059426, 610783373176, 25637533),
            marks=pytest.mark.slow,
        ),
        ("test", (100, 385596, 6388678, 6394198, 190652, 57793290170, 2396707)),
    ],
)
def test_paired_nmnist_is_read_as_pinned(data_root, split, numbers):
    totals = np.zeros(7, np.int64)
    for path in sorted((data_root / "nmnist_paired" / split).glob("*.bs2")):
        recording = open_recording(path, frames=path.with_suffix(".png"))
        events, frames = recording.events, recording.frames
        assert events is not None
        assert frames is not None
        assert (events.width, events.height, frames.width, frames.height) == (34, 34, 28, 28)
        assert frames.is_timed
        sums = (events.x.sum(dtype=int), events.y.sum(dtype=int), events.polarity.sum())
        grey = frames[0][..., 0].sum(dtype=int)
        totals += np.array([1, len(events), *sums, events.t_us.sum(), grey])
    assert tuple(map(int, totals)) == numbers
