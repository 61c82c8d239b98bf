"""The view of `predict --live` in a terminal: labels as bars, rate, latency, what was dropped.

It is drawn in place, at most `DRAWN_HZ` times a second, however many answers there are.
"""

import statistics
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from evlora.escaping import in_line

if TYPE_CHECKING:
    from evlora.clips.playback import LiveAnswer

DRAWN_HZ = 20
BAR_COLUMNS, LABEL_COLUMNS = 40, 28
PARTS = " ▏▎▍▌▋▊▉"
"""Eighths of a column."""
SPARKS = "▁▂▃▄▅▆▇█"
RATES_SHOWN = 40
"""Moments whose event rates are drawn."""
SLOW_MS = 100.0
"""A latency above is shown as a warning."""


class LiveView:
    """A context manager; entered, it gives the function that takes each answer."""

    def __init__(self, title: str, labels: Sequence[str], console: Console | None = None) -> None:
        self._title = in_line(title)
        self._width = min(max(len(in_line(label)) for label in labels), LABEL_COLUMNS)
        self._live = Live(console=console or Console(), auto_refresh=False)
        self._rates: deque[float] = deque(maxlen=RATES_SHOWN)
        self._latencies_ms: deque[float] = deque(maxlen=RATES_SHOWN)
        self._answers = self._dropped = 0
        self._drawn_at = -1.0
        self._latest: LiveAnswer | None = None

    def __enter__(self) -> "LiveView":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._latest is not None:
            self._draw(self._latest)  # the last answer stays in sight
        self._live.stop()

    def __call__(self, answer: "LiveAnswer") -> None:
        """Take an answer, and show it unless one was shown a moment ago."""
        self._answers += 1
        self._dropped += answer.dropped
        self._latencies_ms.append(answer.latency_ms)
        if answer.rate_hz is not None:
            self._rates.append(answer.rate_hz)
        self._latest = answer
        if time.monotonic() - self._drawn_at >= 1 / DRAWN_HZ:
            self._draw(answer)

    def _draw(self, answer: "LiveAnswer") -> None:
        self._drawn_at = time.monotonic()
        self._live.update(self.picture(answer), refresh=True)

    def picture(self, answer: "LiveAnswer") -> Group:
        """The view as it is drawn for an answer."""
        head = Text(self._title, style="bold", no_wrap=True, overflow="ellipsis")
        head.append(f"   {answer.elapsed_us / 1e6:.2f} s", style="dim")
        bars = [
            self._bar(label, share, is_first=place == 0)
            for place, (label, share) in enumerate(answer.ranked)
        ]
        return Group(head, *bars, self._foot(answer))

    def _bar(self, label: str, share: float, *, is_first: bool) -> Text:
        name = in_line(label)
        if len(name) > self._width:
            name = name[: self._width - 1] + "…"
        eighths = round(8 * BAR_COLUMNS * share)
        bar = "█" * (eighths // 8) + PARTS[eighths % 8].strip()
        style = "bold green" if is_first else "cyan"
        line = Text(f"{name:<{self._width}}  ", style="bold" if is_first else "", no_wrap=True)
        line.append(f"{bar:<{BAR_COLUMNS}}", style=style)
        line.append(f" {share:6.1%}")
        return line

    def _foot(self, answer: "LiveAnswer") -> Text:
        latency_ms = statistics.median(self._latencies_ms)
        foot = Text(no_wrap=True, style="dim")
        if self._rates:
            foot.append(f"events {_per_second(self._rates[-1]):>9} ")
            foot.append(_sparks(self._rates), style="magenta")
            foot.append("   ")
        foot.append(f"latency {latency_ms:.0f} ms", style="yellow" if latency_ms > SLOW_MS else "")
        foot.append(f"   moments {answer.moments}   answers {self._answers}   ")
        foot.append(f"dropped {self._dropped}", style="yellow" if self._dropped else "")
        return foot


def _per_second(rate_hz: float) -> str:
    for unit, name in ((1e6, "M/s"), (1e3, "k/s")):
        if rate_hz >= unit:
            return f"{rate_hz / unit:.2f} {name}"
    return f"{rate_hz:.0f} /s"


def _sparks(rates_hz: Sequence[float]) -> str:
    highest = max(*rates_hz, 1.0)
    return "".join(SPARKS[min(int(8 * rate / highest), 7)] for rate in rates_hz)
