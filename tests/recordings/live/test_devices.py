"""Cameras by their drivers. No camera is there: stand-ins have the drivers' documented interface.

That is of dv-processing 2.0.4 (`io.camera.open`, `CameraInputBase`, `Frame`) and of
neuromorphic-drivers 0.18.2 (`open`, `Device`, `packet.py`).
"""
# ruff: noqa: N802 -- dv-processing's own names

import enum
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evlora.errors import RecordingError
from evlora.recordings.live import LiveMoment, open_stream

WIDTH, HEIGHT = 8, 6
DV_EVENT = np.dtype(
    {
        "names": ["timestamp", "x", "y", "polarity"],
        "formats": ["<i8", "<i2", "<i2", "i1"],
        "offsets": [0, 8, 10, 12],
        "itemsize": 16,
    }
)
NEUROMORPHIC_EVENT = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
BLUE, GREEN, RED = 10, 20, 30


def times_of(batch: int) -> Any:
    """Of the batch of this number: ten events in 10 ms."""
    return 1_000_000 + 10_000 * batch + 1000 * np.arange(10)


class DvBatch:
    """A `dv.EventStore`."""

    def __init__(self, batch: int) -> None:
        self._rows = np.zeros(10, DV_EVENT)
        self._rows["timestamp"], self._rows["x"] = times_of(batch), np.arange(10) % WIDTH
        self._rows["polarity"] = np.arange(10) % 2

    def __len__(self) -> int:
        return len(self._rows)

    def numpy(self) -> Any:
        return self._rows


class DvCamera:
    """A `dv.io.camera.CameraInputBase` that is unplugged after these batches."""

    def __init__(self, batches: range, *, has_frames: bool = False) -> None:
        self._batches, self._has_frames = iter(batches), has_frames
        self._frames: list[Any] = []
        self._is_there = True

    def getEventResolution(self) -> tuple[int, int]:
        return WIDTH, HEIGHT

    def isFrameStreamAvailable(self) -> bool:
        return self._has_frames

    def isRunning(self) -> bool:
        return self._is_there

    def getNextEventBatch(self) -> DvBatch | None:
        batch = next(self._batches, None)
        if batch is None:
            self._is_there = False
            return None
        image = np.full((HEIGHT, WIDTH, 3), (BLUE, GREEN, RED), np.uint8)
        begun = int(times_of(batch)[0])
        exposure = timedelta(microseconds=5000)
        self._frames.append(SimpleNamespace(image=image, timestamp=begun, exposure=exposure))
        return DvBatch(batch)

    def getNextFrame(self) -> Any:
        return self._frames.pop(0) if self._frames else None


class Name(enum.Enum):
    """As neuromorphic-drivers names its cameras."""

    INIVATION_DAVIS346 = "iniVation DAVIS 346"


class NeuromorphicCamera:
    """A `neuromorphic_drivers.Device`: an iterator that raises once it is unplugged."""

    def __init__(self, batches: range) -> None:
        self._packets = self._each(batches)
        self.is_closed = False

    def name(self) -> Name:
        return Name.INIVATION_DAVIS346

    def properties(self) -> Any:
        return SimpleNamespace(width=WIDTH, height=HEIGHT)

    def close(self) -> None:
        self.is_closed = True

    def __next__(self) -> tuple[Any, Any]:
        return next(self._packets)

    def _each(self, batches: range) -> Iterator[tuple[Any, Any]]:
        for batch in batches:
            yield SimpleNamespace(), None  # nothing came within `iterator_timeout`
            rows = np.zeros(10, NEUROMORPHIC_EVENT)
            rows["t"], rows["x"], rows["on"] = times_of(batch), np.arange(10) % WIDTH, True
            begun = int(rows["t"][0])
            frame = SimpleNamespace(
                start_t=begun - 100,
                exposure_start_t=begun,
                exposure_end_t=begun + 5000,
                t=begun + 6000,
                pixels=np.full((HEIGHT, WIDTH), 64 * 1023, np.uint16),
            )
            yield SimpleNamespace(), SimpleNamespace(polarity_events=rows, frames=[frame])
        raise RuntimeError("libusb: the device was disconnected")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes these drivers the ones that are installed; each opens its cameras one after another.

    An exception in place of a camera is what opening raises.
    """

    def opening(cameras: list[Any]) -> Callable[..., Any]:
        left = iter(cameras)

        def open(**_: Any) -> Any:
            camera = next(left, RuntimeError("no device was found"))
            if isinstance(camera, Exception):
                raise camera
            return camera

        return open

    def put(*, dv: list[Any] | None = None, neuromorphic: list[Any] | None = None) -> None:
        modules: dict[str, Any] = {"dv_processing": None, "neuromorphic_drivers": None}
        if dv is not None:
            camera = SimpleNamespace(open=opening(dv))
            modules["dv_processing"] = SimpleNamespace(io=SimpleNamespace(camera=camera))
        if neuromorphic is not None:
            modules["neuromorphic_drivers"] = SimpleNamespace(open=opening(neuromorphic))
        for name, module in modules.items():  # None is for Python a module that is not installed
            monkeypatch.setitem(sys.modules, name, module)

    return put


def taken(source: str, count: int, **options: Any) -> tuple[list[LiveMoment], list[str]]:
    """The first moments of a camera, and what was reported."""
    lines: list[str] = []
    options = {"keeps_all": True, "report": lines.append, **options}
    with open_stream(source, **options) as camera:
        return [next(camera) for _ in range(count)], lines


def events_of(moments: list[LiveMoment]) -> list[int]:
    return [t for m in moments if m.events is not None for t in m.events.t_us.tolist()]


def test_dv_processing_gives_events_by_their_fields(install: Callable[..., None]) -> None:
    install(dv=[DvCamera(range(6))])
    moments, _ = taken("camera:dv", 5, wants=("event",), window_us=10_000)
    assert events_of(moments) == np.concatenate([times_of(n) for n in range(5)]).tolist()
    first = moments[0].events
    assert first is not None
    assert (first.width, first.height) == (WIDTH, HEIGHT)
    assert first.x.tolist() == (np.arange(10) % WIDTH).tolist()
    assert first.polarity.tolist() == (np.arange(10) % 2 == 1).tolist()


def test_dv_processing_gives_frames_whose_colours_are_opencvs(
    install: Callable[..., None],
) -> None:
    install(dv=[DvCamera(range(6), has_frames=True)])
    moments, _ = taken("camera:dv", 3)
    for moment in moments:
        assert moment.frame is not None
        assert moment.frame[0, 0].tolist() == [RED, GREEN, BLUE]
    ends = [moment.window_us[1] for moment in moments]
    assert ends == [times_of(n)[0] + 5000 for n in range(3)]


def test_neuromorphic_drivers_give_events_and_frames_of_16_bits(
    install: Callable[..., None],
) -> None:
    install(neuromorphic=[NeuromorphicCamera(range(6))])
    moments, _ = taken("camera:neuromorphic", 3)
    for number, moment in enumerate(moments):
        assert moment.frame is not None
        assert moment.events is not None
        assert (moment.frame == 1023 // 4).all()
        assert moment.window_us[1] == times_of(number)[0] + 5000
        assert moment.events.polarity.all()


@pytest.mark.parametrize("driver", ["dv", "neuromorphic"])
def test_a_camera_that_is_unplugged_comes_back(install: Callable[..., None], driver: str) -> None:
    kind = {"dv": DvCamera, "neuromorphic": NeuromorphicCamera}[driver]
    first = kind(range(3))
    install(**{driver: [first, RuntimeError("busy"), kind(range(5, 9))]})
    moments, lines = taken(f"camera:{driver}", 7, wants=("event",), window_us=10_000)
    wanted = [t for n in (0, 1, 2, 5, 6) for t in times_of(n).tolist()]
    assert events_of(moments) == wanted
    assert f"camera:{driver}: lost (" in lines[0]
    assert lines[1] == f"camera:{driver}: connected again"
    assert getattr(first, "is_closed", True)


def test_the_second_driver_is_tried_where_the_first_finds_no_camera(
    install: Callable[..., None],
) -> None:
    install(dv=[], neuromorphic=[NeuromorphicCamera(range(3))])
    moments, _ = taken("camera:", 2, wants=("event",), window_us=10_000)
    assert len(events_of(moments)) == 20


def test_no_driver_and_no_camera_are_two_errors(install: Callable[..., None]) -> None:
    install()
    with pytest.raises(RecordingError, match=r"dv_processing or neuromorphic_drivers; install"):
        open_stream("camera:", window_us=10_000)
    install(dv=[])
    with pytest.raises(RecordingError, match=r"nothing answers there .*no device was found"):
        open_stream("camera:dv", window_us=10_000)
