"""What a service does not do for a request, with the status and the sentence that answer it."""

from collections.abc import Mapping
from typing import Literal

Kind = Literal["unreadable", "unknown_format", "too_large", "slow", "crashed", "killed"]

STATUS: dict[Kind, int] = {
    "unreadable": 422,
    "unknown_format": 415,
    "too_large": 413,
    "slow": 422,
    "crashed": 422,
    "killed": 503,
}
"""Why a decoder gave no clip → what HTTP calls it. A decoder that somebody killed, the system
for want of memory included, is no fault that the file is known to have."""
AGAIN_AFTER_S = 1
"""When a client that was refused for the load may ask again."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of the service
    """A request that is answered with a status and one sentence."""

    def __init__(
        self, status: int, reason: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})

    @classmethod
    def for_now(cls, status: int, reason: str) -> "Refusal":
        """A refusal that another moment would not meet."""
        return cls(status, reason, headers={"Retry-After": str(AGAIN_AFTER_S)})
