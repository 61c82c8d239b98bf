"""A limit on the rate of events, so that a flash or a fault does not fill what comes after."""

import numpy as np

from evlora.recordings.events import EventStream


def limit_event_rate(
    events: EventStream, *, rate_hz: float, interval_us: int = 1_000
) -> EventStream:
    """At most a given number of events in each interval: its first ones.

    Intervals begin at the multiples of `interval_us` on the recording's clock, and hold at most
    `rate_hz` × `interval_us` events, rounded down, but at least one. The shorter an interval, the
    more evenly it drops. Event rate controllers on sensors count in reference periods in the same
    way.

    Args:
        events: Any number of events.
        rate_hz: Events in a second.
        interval_us: Microseconds, at least 1.
    """
    return EventRateLimit(rate_hz, interval_us).push(events)


class EventRateLimit:
    """`limit_event_rate` for a stream in pieces: they give what the whole gives."""

    def __init__(self, rate_hz: float, interval_us: int) -> None:
        self._interval_us = interval_us
        self._most = max(1, int(rate_hz * interval_us / 1e6))
        self._interval, self._passed = 0, 0

    def push(self, events: EventStream) -> EventStream:
        """The events of a piece that the limit lets pass."""
        if not len(events):
            return events
        interval = events.t_us // self._interval_us
        begins = np.ones(len(events), np.bool_)
        begins[1:] = interval[1:] != interval[:-1]
        number = np.arange(len(events))
        place = number - np.maximum.accumulate(np.where(begins, number, 0))
        if interval[0] == self._interval:
            place[interval == self._interval] += self._passed
        self._interval, self._passed = int(interval[-1]), int(place[-1]) + 1
        return events.chosen(place < self._most)
