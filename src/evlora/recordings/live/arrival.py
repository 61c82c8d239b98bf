"""How old what arrives is, by its own time: the camera's clock against this machine's."""

import math

PERIOD_S = 30.0
"""How long the quickest arrival counts, at least; twice as long at most. Two quartz clocks drift
apart by about 50 µs a second, 3 ms in this time."""


class ArrivalClock:
    """When, on this machine's clock, a time of the camera's clock was.

    The two clocks have no common zero. What arrived with the least delay is taken to have had
    none, so that an age counts from the quickest arrival of the last half minute or minute:
    transport that is always slow does not show, and whatever piles up does.
    """

    def __init__(self) -> None:
        self._offsets_s = [math.inf, math.inf]
        """The least of the period before, and of this one."""
        self._begun = -math.inf

    def seen(self, t_us: int, now: float) -> None:
        """Something with this time arrived now."""
        if now - self._begun > PERIOD_S:
            self._offsets_s = [self._offsets_s[1], math.inf]
            self._begun = now
        self._offsets_s[1] = min(self._offsets_s[1], now - t_us / 1e6)

    def due(self, t_us: int) -> float:
        """When that was; something was seen before."""
        return t_us / 1e6 + min(self._offsets_s)

    def forget(self) -> None:
        """Begin again: the camera's clock was set."""
        self._offsets_s, self._begun = [math.inf, math.inf], -math.inf
