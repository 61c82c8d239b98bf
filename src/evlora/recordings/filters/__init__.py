"""Filters of events, and of recordings: pure functions, and chains of them by name.

docs/filters.md explains them, and compares them with those of other tools.
"""

from evlora.recordings.filters.background_activity import (
    BackgroundActivity,
    filter_background_activity,
)
from evlora.recordings.filters.calibration import Calibration, read_calibration
from evlora.recordings.filters.event_rate import EventRateLimit, limit_event_rate
from evlora.recordings.filters.hot_pixels import find_hot_pixels, mask_pixels
from evlora.recordings.filters.refractory_period import RefractoryPeriod, filter_refractory_period
from evlora.recordings.filters.table import (
    FILTERS,
    FilterChain,
    filtered,
    flip_polarity,
    parse_filter,
)
from evlora.recordings.filters.undistortion import undistort

__all__ = [
    "FILTERS",
    "BackgroundActivity",
    "Calibration",
    "EventRateLimit",
    "FilterChain",
    "RefractoryPeriod",
    "filter_background_activity",
    "filter_refractory_period",
    "filtered",
    "find_hot_pixels",
    "flip_polarity",
    "limit_event_rate",
    "mask_pixels",
    "parse_filter",
    "read_calibration",
    "undistort",
]
