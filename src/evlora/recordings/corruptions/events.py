"""Faults of an event sensor: the events as a damaged or a badly lit one would have sent them."""

import numpy as np
from numpy.typing import NDArray

from evlora.recordings.events import EventStream

PACKET_US = 10_000
"""Length of a packet; cameras and AEDAT 4 files send events in packets of about this length."""
BURST_US = 20_000
HOT_RATE_HZ = 1_000.0
FLICKER_HZ = 100.0
"""Of a lamp at mains of 50 Hz."""
FLICKER_SPREAD_US = 500.0


def hot_pixels(events: EventStream, share: float, rng: np.random.Generator) -> EventStream:
    """Some pixels send ON events at 1 kHz, whatever they see.

    Args:
        events: At least one event.
        share: Of the pixels; at least one is hot.
        rng: Draws which.
    """
    pixels = events.width * events.height
    hot = rng.choice(pixels, max(1, round(share * pixels)), replace=False)
    start_us, length_us = _span(events)
    each = rng.poisson(HOT_RATE_HZ * length_us / 1e6, len(hot))
    pixel = np.repeat(hot, each)
    t_us = start_us + rng.integers(0, length_us, len(pixel))
    return _with(events, t_us, pixel, np.ones(len(pixel), np.bool_))


def noise_bursts(events: EventStream, rate_hz: float, rng: np.random.Generator) -> EventStream:
    """Every pixel sends noise in bursts of 20 ms, with pauses as long on average.

    Args:
        events: At least one event.
        rate_hz: Events of each pixel a second during a burst.
        rng: Draws bursts and noise.
    """
    start_us, length_us = _span(events)
    is_burst = _some_of(-(-length_us // BURST_US), 0.5, rng)
    pixels = events.width * events.height
    count = rng.poisson(rate_hz * pixels * length_us / 1e6)
    since_us = rng.integers(0, length_us, count)
    since_us = since_us[is_burst[since_us // BURST_US]]
    pixel = rng.integers(0, pixels, len(since_us))
    return _with(events, start_us + since_us, pixel, rng.random(len(since_us)) < 0.5)


def dropped_packets(events: EventStream, share: float, rng: np.random.Generator) -> EventStream:
    """Packets of 10 ms get lost on their way.

    Args:
        events: At least one event.
        share: Of the packets that gets lost, on average.
        rng: Draws which.
    """
    start_us, length_us = _span(events)
    is_lost = rng.random(-(-length_us // PACKET_US)) < share
    return events.chosen(~is_lost[(events.t_us - start_us) // PACKET_US])


def dead_half(events: EventStream, share: float, rng: np.random.Generator) -> EventStream:
    """A part of the sensor at one of its four sides sends nothing.

    Args:
        events: Any number of events.
        share: Of the sensor's pixels that is dead; 0.5 is a half.
        rng: Draws the side.
    """
    side = int(rng.integers(4))
    place, size = (events.x, events.width) if side < 2 else (events.y, events.height)
    dead = round(share * size)
    return events.chosen(place >= dead if side % 2 else place < size - dead)


def time_jitter(events: EventStream, spread_us: float, rng: np.random.Generator) -> EventStream:
    """The times of events are wrong, each separately; they are put in the new order.

    Args:
        events: Any number of events.
        spread_us: Standard deviation in microseconds.
        rng: Draws by how much.
    """
    times = events.t_us + rng.normal(0, spread_us, len(events)).round().astype(np.int64)
    return EventStream.from_arrays(
        times,
        events.x,
        events.y,
        events.polarity,
        width=events.width,
        height=events.height,
        sort=True,
    )


def threshold_drift(events: EventStream, factor: float, rng: np.random.Generator) -> EventStream:
    """The thresholds of contrast rise in the course of the recording.

    They rise evenly from what they were to `factor` times that. A pixel needs that much more
    change to send an event: of its events of one polarity one is kept whenever the changes since
    the last one kept add up to a threshold.

    Args:
        events: At least one event.
        factor: At least 1.
        rng: Draws how far each pixel is from its next event.
    """
    start_us, length_us = _span(events)
    threshold = 1 + (factor - 1) * (events.t_us - start_us) / length_us
    pixels = events.width * events.height
    pixel = events.y.astype(np.int64) * events.width + events.x + events.polarity * pixels
    order = np.argsort(pixel, kind="stable")
    begins = np.ones(len(events), np.bool_)
    begins[1:] = pixel[order][1:] != pixel[order][:-1]
    summed = np.cumsum(1 / threshold[order])
    # Each pixel counts from its own first event, and from a level of its own.
    before = np.where(begins, summed - 1 / threshold[order], 0.0)
    level = summed - np.maximum.accumulate(before) + rng.random(2 * pixels)[pixel[order]]
    previous = np.concatenate([[0.0], level[:-1]])
    previous[begins] = level[begins] - 1 / threshold[order][begins]
    is_kept = np.zeros(len(events), np.bool_)
    is_kept[order] = np.floor(level) > np.floor(previous)
    return events.chosen(is_kept)


def flicker(events: EventStream, share: float, rng: np.random.Generator) -> EventStream:
    """A lamp flickers at 100 Hz: pixels send an ON and an OFF event in each period.

    Args:
        events: At least one event.
        share: Of the pixels that answer to a period, on average.
        rng: Draws which, and how late.
    """
    start_us, length_us = _span(events)
    half_us = 1e6 / FLICKER_HZ / 2
    pixels = events.width * events.height
    halves = int(length_us // half_us) + 1
    each = rng.binomial(pixels, share, halves)
    half = np.repeat(np.arange(halves), each)
    t_us = (half * half_us + rng.normal(0, FLICKER_SPREAD_US, len(half))).round().astype(np.int64)
    is_inside = (t_us >= 0) & (t_us < length_us)
    pixel = rng.integers(0, pixels, len(half))[is_inside]
    return _with(events, start_us + t_us[is_inside], pixel, half[is_inside] % 2 == 0)


def _span(events: EventStream) -> tuple[int, int]:
    """The first time, and the length up to behind the last event, in microseconds."""
    return events.first_us, events.last_us + 1 - events.first_us


def _some_of(count: int, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A mask of this length with a share of its places true, and at least one."""
    is_some = rng.random(count) < share
    is_some[int(rng.integers(count))] = True
    return is_some


def _with(
    events: EventStream,
    t_us: NDArray[np.int64],
    pixel: NDArray[np.int64],
    polarity: NDArray[np.bool_],
) -> EventStream:
    """The events and further ones, in the order of time."""
    y, x = np.divmod(pixel, events.width)
    return EventStream.from_arrays(
        np.concatenate([events.t_us, t_us]),
        np.concatenate([events.x, x.astype(np.uint16)]),
        np.concatenate([events.y, y.astype(np.uint16)]),
        np.concatenate([events.polarity, polarity]),
        width=events.width,
        height=events.height,
        sort=True,
    )
