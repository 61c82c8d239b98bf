"""Moments out of pipes, growing files and sockets: those of the file, whatever happens between."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from evlora.errors import RecordingError
from evlora.recordings import EventStream, FrameSequence, Recording, write_recording
from evlora.recordings.live import LiveMoment, open_stream
from evlora.recordings.live.arrival import PERIOD_S, ArrivalClock
from evlora.recordings.readers.aedat4 import MAGIC
from evlora.recordings.readers.prophesee_header import read_header

WINDOW_US = 10_000
SUPPORT = Path(__file__).parents[2] / "support"


@pytest.fixture(scope="module")
def stream_of_events() -> EventStream:
    """Half a second of noise."""
    random = np.random.default_rng(0)
    times = np.sort(random.integers(1_000_000, 1_500_000, 8000))
    x, y, p = (random.integers(0, high, 8000) for high in (40, 30, 2))
    return EventStream.from_arrays(times, x, y, p, width=40, height=30)


@pytest.fixture(scope="module", params=["aedat4", "evt3.raw", "evt2.raw"])
def recorded(request, stream_of_events: EventStream, tmp_path_factory) -> Path:
    format = {"aedat4": "aedat4", "evt3.raw": "evt3", "evt2.raw": "evt2"}[request.param]
    path = tmp_path_factory.mktemp("live") / f"recording.{request.param}"
    write_recording(Recording(stream_of_events, None, "memory"), path, format=format)
    return path


@contextmanager
def standard_input(data: bytes) -> Iterator[None]:
    """`data` comes through a pipe at file descriptor 0, in pieces of an odd size."""
    reading, writing = os.pipe()
    before = os.dup(0)
    os.dup2(reading, 0)
    os.close(reading)

    def write() -> None:
        with suppress(BrokenPipeError), open(writing, "wb", buffering=0) as pipe:  # noqa: PTH123
            for start in range(0, len(data), 4001):
                pipe.write(data[start : start + 4001])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        os.dup2(before, 0)  # whoever still writes gets a broken pipe
        os.close(before)
        thread.join(timeout=5)


@contextmanager
def server(*answers: bytes) -> Iterator[int]:
    """A port of this machine that sends each answer to one client and then cuts the line."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for answer in answers:
                client, _ = listening.accept()
                with client:
                    client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]


def assert_windows_of(moments: list[LiveMoment], events: EventStream) -> None:
    assert len(moments) == 50
    for number, moment in enumerate(moments):
        start_us = events.first_us + number * WINDOW_US
        assert moment.window_us == (start_us, start_us + WINDOW_US)
        wanted = events.between(*moment.window_us)
        assert moment.events is not None
        for name in ("t_us", "x", "y", "polarity"):
            got = getattr(moment.events, name)
            np.testing.assert_array_equal(got, getattr(wanted, name))


def test_standard_input_gives_the_windows_of_the_file(
    recorded: Path, stream_of_events: EventStream
) -> None:
    options = {"wants": ("event",), "window_us": WINDOW_US, "keeps_all": True}
    with standard_input(recorded.read_bytes()), open_stream("-", **options) as camera:
        assert_windows_of(list(camera), stream_of_events)


def test_words_without_a_header_need_their_format_and_sensor(
    recorded: Path, stream_of_events: EventStream
) -> None:
    if recorded.name != "recording.evt3.raw":
        return
    words = recorded.read_bytes()[read_header(recorded).data_byte :]
    options = {"wants": ("event",), "window_us": WINDOW_US, "keeps_all": True}
    with standard_input(words), pytest.raises(RecordingError, match="--format, --width and"):
        open_stream("-", **options)
    stated = {"format": "evt3", "width": 40, "height": 30}
    with standard_input(words), open_stream("-", **options, **stated) as camera:
        counts = [len(moment.events) for moment in camera if moment.events is not None]
    assert sum(counts) == len(stream_of_events)


def test_a_growing_file_is_followed(
    recorded: Path, stream_of_events: EventStream, tmp_path: Path
) -> None:
    data = recorded.read_bytes()
    growing = tmp_path / "growing"
    growing.write_bytes(data[: len(data) // 2])

    def grow() -> None:
        time.sleep(0.1)
        with growing.open("ab") as file:
            file.write(data[len(data) // 2 :])

    thread = threading.Thread(target=grow)
    thread.start()
    moments: list[LiveMoment] = []
    options = {"wants": ("event",), "window_us": WINDOW_US, "keeps_all": True}
    with open_stream(growing, **options) as camera:
        for moment in camera:
            moments.append(moment)
            if len(moments) == 49:  # the last window ends with the file, which has no end
                break
    thread.join()
    assert sum(len(m.events) for m in moments if m.events is not None) == len(
        stream_of_events.between(stream_of_events.first_us, moments[-1].window_us[1])
    )


def test_a_connection_that_is_lost_comes_back_with_a_line(recorded: Path) -> None:
    data = recorded.read_bytes().removeprefix(MAGIC)  # as iniVation's software sends it
    if recorded.suffix == ".raw":
        data = recorded.read_bytes()
    lines: list[str] = []
    options = {"wants": ("event",), "window_us": WINDOW_US, "keeps_all": True}
    with (
        server(data[: len(data) // 2], data) as port,
        open_stream(f"tcp://127.0.0.1:{port}", **options, report=lines.append) as camera,
    ):
        seen = [next(camera) for _ in range(45)]
        assert camera.reconnections == 1
    assert "lost (the other side has closed it); trying again" in lines[0]
    assert lines[1].endswith("connected again")
    # The second connection begins anew: what was seen is not shown again.
    ends_us = [moment.window_us[1] for moment in seen]
    assert ends_us == sorted(set(ends_us))


def test_only_the_newest_moment_waits(recorded: Path, stream_of_events: EventStream) -> None:
    data = recorded.read_bytes()
    with (
        standard_input(data),
        open_stream("-", wants=("event",), window_us=WINDOW_US) as camera,
    ):
        time.sleep(0.3)
        moments = list(camera)
    assert len(moments) + sum(m.dropped for m in moments) == 50
    assert moments[-1].window_us[1] >= stream_of_events.last_us
    assert len(moments) < 10


def test_frames_and_events_of_one_stream_make_moments(tmp_path: Path) -> None:
    ends = 1_000_000 + 20_000 * np.arange(1, 6)
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, 30, 40, 3), np.uint8)
    times = np.arange(1_000_000, 1_100_000, 500)
    zeros = np.zeros(len(times), int)
    recording = Recording(
        EventStream.from_arrays(times, zeros, zeros, zeros, width=40, height=30),
        FrameSequence.from_images(images, start_us=ends - 5000, end_us=ends),
        "memory",
    )
    path = tmp_path / "both.aedat4"
    write_recording(recording, path)
    with standard_input(path.read_bytes()), open_stream("-", keeps_all=True) as camera:
        moments = list(camera)
    assert [m.window_us[1] for m in moments] == ends.tolist()
    for number, moment in enumerate(moments):
        assert moment.frame is not None
        assert moment.events is not None
        assert (moment.frame == number).all()
        assert len(moment.events) == 40


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tcp://127.0.0.1", r"expected tcp://HOST:PORT"),
        ("tcp://127.0.0.1:1", r"nothing answers there"),
        ("unix:/nowhere.sock", r"nothing answers there"),
        ("camera:canon", r"expected camera:, camera:dv or camera:neuromorphic"),
    ],
)
def test_a_source_that_is_not_there_is_an_error_at_once(source: str, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        open_stream(source, window_us=WINDOW_US)


def test_without_frames_the_length_of_a_moment_must_be_given(recorded: Path) -> None:
    with (
        standard_input(recorded.read_bytes()),
        pytest.raises(RecordingError, match="give --window-ms"),
    ):
        open_stream("-", wants=("event",))


def test_an_age_counts_from_the_quickest_arrival_and_follows_drift() -> None:
    clock = ArrivalClock()
    clock.seen(1_000_000, now=501.25)
    clock.seen(2_000_000, now=502.20)
    assert clock.due(2_500_000) == pytest.approx(502.70)
    for step in range(3):
        clock.seen(3_000_000, now=503.30 + step * (PERIOD_S + 1))
    assert clock.due(3_000_000) == pytest.approx(503.30 + PERIOD_S + 1)


@pytest.mark.slow
@pytest.mark.parametrize("is_local", [False, True])
def test_dv_processings_own_writer_is_read_and_may_be_killed(
    is_local: bool, tmp_path: Path
) -> None:
    pytest.importorskip("dv_processing")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = str(tmp_path / "camera") if is_local else str(free.getsockname()[1])
    words = [sys.executable, str(SUPPORT / "dv_writer.py"), address, "--zero-s", str(time.time())]

    def start() -> subprocess.Popen[bytes]:
        (tmp_path / "camera").unlink(missing_ok=True)
        process = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process.stdout as output:
            assert output.readline() == b"ready\n"
        return process

    process = start()
    lines: list[str] = []
    name = f"unix:{address}" if is_local else f"tcp://127.0.0.1:{address}"
    try:
        with open_stream(name, wants=("event",), window_us=33_000, report=lines.append) as camera:
            for number, moment in enumerate(camera):
                assert moment.events is not None
                columns = (moment.events.t_us - 1_700_000_000_000_000) // 25_000 % 64
                np.testing.assert_array_equal(moment.events.x, columns)
                if number == 15:
                    process.kill()
                    process.wait()
                    process = start()
                if camera.reconnections and number > 30:
                    break
    finally:
        process.kill()
        process.wait()
    assert len(lines) == 2
