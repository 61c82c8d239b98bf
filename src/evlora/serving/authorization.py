"""The token that a service may ask for, compared in constant time."""

import hmac

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OPEN_PATHS = ("/health",)
"""Answered to anyone."""
WANTED = "expected `Authorization: Bearer TOKEN` with this service's token; ask who runs it"


def is_token(given: object, token: str) -> bool:
    """Whether a client gave the token; how long that takes shows nothing of it."""
    return isinstance(given, str) and hmac.compare_digest(
        given.encode("utf-8", "surrogateescape"), token.encode()
    )


class Authorization:
    """Lets through requests that have the token, and files of the page, which hold no secret.

    A WebSocket states the token in its first message, since browsers send no headers there.

    Args:
        app: What answers.
        token: The token.
        open_paths: Further paths that are answered to anyone.
    """

    def __init__(self, app: ASGIApp, token: str, open_paths: frozenset[str]) -> None:
        self._app, self._token = app, token
        self._open = open_paths | set(OPEN_PATHS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or refuse it."""
        if scope["type"] != "http" or scope["path"] in self._open or self._has_token(scope):
            await self._app(scope, receive, send)
            return
        refusal = JSONResponse(
            {"error": WANTED}, status_code=401, headers={"WWW-Authenticate": "Bearer"}
        )
        await refusal(scope, receive, send)

    def _has_token(self, scope: Scope) -> bool:
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(values) != 1:
            return False
        kind, _, given = values[0].decode("latin-1").partition(" ")
        return kind.lower() == "bearer" and is_token(given.strip(), self._token)
