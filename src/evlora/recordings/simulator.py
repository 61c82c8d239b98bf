"""Events from video, frame by frame: what an event camera would have sent of the same scene.

The model is that of ESIM (Rebecq et al., CoRL 2018) on given frames: each pixel remembers a level
of log brightness and fires whenever the brightness has moved away from it by a threshold; between
two frames log brightness is taken to change linearly, so that times fall between the frames.
Spread of thresholds, refractory period, leak and shot noise follow v2e (Hu et al., CVPR Workshops
2021) in their simplest form. Memory is a few numbers per pixel, however long the video is.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from evlora.config import Config
from evlora.errors import RecordingError
from evlora.recordings.events import EventStream

Levels = NDArray[np.float64]

LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue add to the brightness of a pixel (ITU-R BT.601)."""
SMALLEST_THRESHOLD_SHARE = 0.1
"""No pixel's threshold is drawn below this share of the sensor's, however large the spread."""


class SensorModel(Config):
    """How the simulated sensor answers to light; thresholds are changes of log brightness."""

    positive_threshold: PositiveFloat = 0.2
    """Rise of log brightness that fires an ON event."""
    negative_threshold: PositiveFloat = 0.2
    """Fall of log brightness that fires an OFF event."""
    threshold_spread: float = Field(default=0.15, ge=0, lt=1)
    """Standard deviation of the thresholds among the pixels, as a share of the threshold."""
    refractory_us: NonNegativeInt = 500
    """After an event a pixel is deaf for so long; what it would have sent in between is lost."""
    leak_rate_hz: NonNegativeFloat = 0.1
    """ON events a pixel sends each second without any change of brightness."""
    shot_noise_rate_hz: NonNegativeFloat = 0.1
    """Events at random times a pixel sends each second, half of them ON."""
    dark_level: PositiveFloat = 10.0
    """Added to the luma (0…255) before its logarithm: keeps one grey level in the darkest parts of
    an 8-bit video from firing events."""


class _Fired(NamedTuple):
    """Events before they are put in order, by the number of their pixel; shape (N,) each."""

    t_us: NDArray[np.int64]
    pixel: NDArray[np.int64]
    is_on: NDArray[np.bool_]

    def joined(self, other: "_Fired") -> "_Fired":
        return _Fired(
            np.concatenate([self.t_us, other.t_us]),
            np.concatenate([self.pixel, other.pixel]),
            np.concatenate([self.is_on, other.is_on]),
        )

    def chosen(self, index: NDArray[np.intp]) -> "_Fired":
        return _Fired(self.t_us[index], self.pixel[index], self.is_on[index])


class EventSimulator:
    """A simulated sensor that is shown one frame after the other."""

    def __init__(
        self, *, width: int, height: int, sensor: SensorModel | None = None, seed: int = 0
    ) -> None:
        """Make a sensor that has seen nothing yet.

        Args:
            width: Columns of the sensor and of every frame.
            height: Rows, as for `width`.
            sensor: How it answers; None for the default.
            seed: Of thresholds and noise: the same seed and frames give the same events.

        Raises:
            RecordingError: The sensor has no pixel.
        """
        if width < 1 or height < 1:
            raise RecordingError(f"simulator: expected at least 1×1 pixel, got {width}×{height}")
        self.width, self.height = width, height
        self.sensor = sensor or SensorModel()
        self._random = np.random.default_rng(seed)
        self._positive = self._draw_thresholds(self.sensor.positive_threshold)
        self._negative = self._draw_thresholds(self.sensor.negative_threshold)
        # How full each pixel's leak is, in events; the sensor has leaked before it is looked at.
        self._leaked = self._random.random(width * height)
        self._log_of_byte = np.log(np.arange(256) + self.sensor.dark_level)
        self._t_us: int | None = None
        self._seen = np.zeros(width * height)
        self._remembered = np.zeros(width * height)
        self._at_rest_until_us = np.full(width * height, np.iinfo(np.int64).min)

    def push(self, frame: NDArray[Any], t_us: int) -> EventStream:
        """The events between the frame before this one and this one; none for the first.

        Args:
            frame: Grey (H, W) or RGB (H, W, 3); uint8, or floating in 0…255.
            t_us: When the frame was taken, in microseconds, after the one before it.

        Returns:
            Events in (t of the frame before, t_us], in the order of time.

        Raises:
            RecordingError: The frame has another size or type, or does not come later than the
                one before it.
        """
        log_brightness = self._log_brightness(frame)
        if self._t_us is None:
            self._t_us, self._seen = t_us, log_brightness
            self._remembered = log_brightness.copy()
            return EventStream.empty(width=self.width, height=self.height)
        if t_us <= self._t_us:
            raise RecordingError(
                f"simulator: expected a frame later than {self._t_us} µs, got one of {t_us} µs; "
                "skip frames that repeat a time"
            )
        start_us, self._t_us = self._t_us, t_us
        duration_us = t_us - start_us
        fired = self._signal(log_brightness, start_us, duration_us)
        if self.sensor.leak_rate_hz:
            fired = fired.joined(self._leak(start_us, duration_us))
        if self.sensor.shot_noise_rate_hz:
            fired = fired.joined(self._shot_noise(start_us, duration_us))
        # Times relative to the start fit few bytes, which numpy sorts several times faster.
        since = fired.t_us - start_us
        fits = duration_us <= np.iinfo(np.uint16).max
        order = np.argsort(since.astype(np.uint16) if fits else since, kind="stable")
        fired = fired.chosen(order)
        if self.sensor.refractory_us:
            fired = fired.chosen(self._outside_refractory_period(fired))
        y, x = np.divmod(fired.pixel.astype(np.int32), np.int32(self.width))
        return EventStream(
            fired.t_us,
            x.astype(np.uint16),
            y.astype(np.uint16),
            fired.is_on,
            self.width,
            self.height,
        )

    def _draw_thresholds(self, threshold: float) -> Levels:
        spread = self._random.normal(1.0, self.sensor.threshold_spread, self.width * self.height)
        return threshold * np.maximum(spread, SMALLEST_THRESHOLD_SHARE)

    def _log_brightness(self, frame: NDArray[Any]) -> Levels:
        if frame.shape[:2] != (self.height, self.width) or frame.shape[2:] not in ((), (3,)):
            raise RecordingError(
                f"simulator: expected frames of shape ({self.height}, {self.width}) or "
                f"({self.height}, {self.width}, 3), got {frame.shape}"
            )
        if frame.dtype != np.uint8 and frame.dtype.kind != "f":
            raise RecordingError(
                f"simulator: expected frames as uint8 or floating in 0…255, got {frame.dtype}"
            )
        if frame.ndim == 3:
            frame = frame @ np.asarray(LUMA)
        if frame.dtype == np.uint8:
            return self._log_of_byte[frame.reshape(-1)]
        return np.log(frame.reshape(-1) + self.sensor.dark_level)

    def _signal(self, log_brightness: Levels, start_us: int, duration_us: int) -> _Fired:
        before = self._seen - self._remembered
        after = log_brightness - self._remembered
        self._seen = log_brightness
        threshold = np.where(after > 0, self._positive, -self._negative)
        times_crossed = (after / threshold).astype(np.int64)
        self._remembered += times_crossed * threshold
        return _crossings(
            before, after, threshold, times_crossed, start_us=start_us, duration_us=duration_us
        )

    def _leak(self, start_us: int, duration_us: int) -> _Fired:
        before = self._leaked
        after = before + self.sensor.leak_rate_hz * duration_us / 1e6
        times_full = after.astype(np.int64)
        self._leaked = after - times_full
        return _crossings(
            before,
            after,
            np.ones_like(after),
            times_full,
            start_us=start_us,
            duration_us=duration_us,
        )

    def _shot_noise(self, start_us: int, duration_us: int) -> _Fired:
        pixels = self.width * self.height
        count = self._random.poisson(self.sensor.shot_noise_rate_hz * pixels * duration_us / 1e6)
        return _Fired(
            start_us + self._random.integers(1, duration_us, count, endpoint=True),
            self._random.integers(0, pixels, count),
            self._random.random(count) < 0.5,
        )

    def _outside_refractory_period(self, fired: _Fired) -> NDArray[np.intp]:
        """Which events are sent, of those that fired, in the order of time."""
        is_sent = np.zeros(len(fired.t_us), np.bool_)
        waiting = np.arange(len(is_sent))
        first = np.empty(self.width * self.height, np.int64)
        # One round for the first waiting event of every pixel, for it decides over the next.
        while len(waiting):
            pixel = fired.pixel[waiting]
            first[pixel] = len(is_sent)
            np.minimum.at(first, pixel, waiting)
            is_first = first[pixel] == waiting
            candidate, pixel = waiting[is_first], pixel[is_first]
            is_rested = fired.t_us[candidate] >= self._at_rest_until_us[pixel]
            sent = candidate[is_rested]
            is_sent[sent] = True
            self._at_rest_until_us[pixel[is_rested]] = fired.t_us[sent] + self.sensor.refractory_us
            waiting = waiting[~is_first]
        return np.flatnonzero(is_sent)


def _crossings(
    before: Levels,
    after: Levels,
    threshold: Levels,
    times_crossed: NDArray[np.int64],
    *,
    start_us: int,
    duration_us: int,
) -> _Fired:
    """When levels that change linearly cross each multiple of their threshold; pixel by pixel."""
    active = np.flatnonzero(times_crossed)
    count, step = times_crossed[active], threshold[active]
    begin, change = before[active], (after - before)[active]
    source = np.repeat(np.arange(len(active)), count)
    nth = np.arange(1, len(source) + 1) - (np.cumsum(count) - count)[source]
    share = (nth * step[source] - begin[source]) / change[source]
    # The first whole microsecond at which the level has been crossed.
    since = np.clip(np.ceil(share * duration_us).astype(np.int64), 1, duration_us)
    return _Fired(start_us + since, active[source], step[source] > 0)
