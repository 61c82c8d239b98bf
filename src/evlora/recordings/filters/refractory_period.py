"""The refractory period: after an event a pixel rests.

What a sensor does itself by its bias, with a longer period. tonic, evutils and
dv-processing name their filters so too; docs/filters.md lists where they differ.
"""

import numpy as np
from numpy.typing import NDArray

from evlora.recordings.events import EventStream
from evlora.recordings.filters.pixels import NEVER_US, ByPixel, Numbers, Sensor, pixels_of


def filter_refractory_period(events: EventStream, *, period_us: int = 1_000) -> EventStream:
    """The events that come at least `period_us` after the last one kept of the same pixel.

    As in a sensor, an event that is dropped does not prolong the rest. Polarities do not matter.

    Args:
        events: Any number of events.
        period_us: Microseconds, at least 1.
    """
    return RefractoryPeriod(period_us).push(events)


class RefractoryPeriod:
    """`filter_refractory_period` for a stream in pieces: they give what the whole gives."""

    def __init__(self, period_us: int) -> None:
        self._period_us = period_us
        self._sensor = Sensor()

    def push(self, events: EventStream) -> EventStream:
        """The events of a piece whose pixels are not at rest."""
        if self._sensor.begins_with(events):
            self._rests_until_us = np.full(events.width * events.height, NEVER_US)
        if not len(events):
            return events
        by_pixel = ByPixel(pixels_of(events))
        pixel, t_us = by_pixel.pixel, events.t_us[by_pixel.event]
        # Whatever the others are: what comes a period after any event of its pixel is kept.
        is_sure = np.ones(len(events), np.bool_)
        is_sure[1:] = t_us[1:] - t_us[:-1] >= self._period_us
        first, rested_us = by_pixel.begins, self._rests_until_us[pixel[by_pixel.begins]]
        is_sure[first] = t_us[first] >= rested_us
        is_resting = ~is_sure[first]

        def places_from(pixel: Numbers, since_us: Numbers) -> Numbers:
            event = np.searchsorted(events.t_us, since_us, side="left")
            return by_pixel.places_from(pixel, event)

        is_kept = is_sure.copy()
        is_followed = np.zeros(len(events), np.bool_)  # by an event of its pixel that is not sure
        is_followed[:-1] = ~is_sure[1:] & ~first[1:]
        places = np.concatenate(
            [
                np.flatnonzero(is_sure & is_followed),
                self._woken(is_kept, places_from(pixel[first][is_resting], rested_us[is_resting])),
            ]
        )
        while len(places):  # one step of all pixels that may have more events to keep
            following = places_from(pixel[places], t_us[places] + self._period_us)
            places = self._woken(is_kept, following)
        kept = np.flatnonzero(is_kept)
        # Where a pixel repeats, numpy keeps what is assigned last: its latest event.
        self._rests_until_us[pixel[kept]] = t_us[kept] + self._period_us
        return events.chosen(np.sort(by_pixel.event[kept]))

    @staticmethod
    def _woken(is_kept: NDArray[np.bool_], places: Numbers) -> Numbers:
        """Those of the places that exist and were not kept yet; they are kept from now on."""
        places = places[places >= 0]
        places = places[~is_kept[places]]
        is_kept[places] = True
        return places
