"""How many requests a service takes at once; the next one is refused at once."""

from collections.abc import Generator
from contextlib import contextmanager

from evlora.limits import raising
from evlora.serving.refusals import Refusal


class Admission:
    """Counts what is inside.

    Args:
        most: How many may be.
        limit: The name of the limit.
        what: What is counted, for the message.
    """

    def __init__(self, most: int, *, limit: str, what: str) -> None:
        self.most = most
        self.inside = 0
        self._limit, self._what = limit, what

    @contextmanager
    def enter(self) -> Generator[None]:
        """Inside, one more is counted.

        Raises:
            Refusal: There are as many as may be.
        """
        if self.inside >= self.most:
            raise Refusal.for_now(
                429,
                f"expected at most {self.most} {self._what} at once, all places are taken; try "
                f"again in a moment, or {raising(self._limit)}",
            )
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
