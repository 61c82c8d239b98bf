"""Clocks of few bits, which begin again at zero when they are full."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class WrappingClock:
    """Turns readings of a wrapping clock into times that go on; it remembers the last reading."""

    def __init__(self, period: int) -> None:
        """A clock that counts from 0 to period − 1."""
        self.period = period
        self._turns = 0
        self._last: int | None = None

    @property
    def turns(self) -> int:
        """How often it has begun again by the last reading."""
        return self._turns

    def unwrapped(self, readings: NDArray[Any]) -> NDArray[np.int64]:
        """The readings as times that go on, shape (N,).

        A fall by more than half of the period is a new turn, and a leap by more than half a
        reading from the turn before: one damaged reading does not move all that follow. Smaller
        falls are disorder, and stay.
        """
        times = readings.astype(np.int64)
        if not len(times):
            return times
        before = int(times[0]) if self._last is None else self._last
        self._last = int(times[-1])
        half = self.period // 2
        low, high = min(before, int(times.min())), max(before, int(times.max()))
        if high - low > half:  # else no step can be a turn
            steps = np.diff(times, prepend=before)
            turns = np.cumsum((steps < -half).astype(np.int64) - (steps > half)) + self._turns
            self._turns = int(turns[-1])
            times += turns * self.period
        elif self._turns:
            times += self._turns * self.period
        return times
