"""A service as a process: its socket, its signals, and how it ends."""

import ipaddress
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware

from evlora.answering import Precision
from evlora.errors import RunError
from evlora.limits import limits
from evlora.serving.app import create_app
from evlora.serving.decoders import DecoderProcess, Decoders
from evlora.serving.recognizers import open_shelf
from evlora.untrusted import read_text

TOKEN_VARIABLE = "EVLORA_TOKEN"  # noqa: S105 - the name of the variable
LEAST_TOKEN_CHARS = 16
CONNECTIONS_PER_REQUEST = 4
"""Connections that may be open for each request that is worked on; those beyond get 503."""
HOSTS_OF_LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]


def serve(
    places: Sequence[str | Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: Path | None = None,
    is_open: bool = False,
    decoders: int = 2,
    uploads: Path | None = None,
    weights: Path | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
    stop_s: int = 30,
) -> None:
    """Serve recognizers until the process gets a signal to end; what it works on then is finished.

    Args:
        places: See `open_shelf`.
        host: The address to listen at.
        port: The port; 0 takes one that is free.
        token_file: A file with the token that clients must give; EVLORA_TOKEN by default.
        is_open: Whether anyone may ask at an address that others can reach.
        decoders: Processes that decode uploads.
        uploads: Where uploads lie until they are answered.
        weights: The backbone's weight file.
        device: Where bundles run.
        precision: See `for_answers`.
        stop_s: How long requests may take to finish when the service ends.

    Raises:
        RunError: Others can reach the address and there is no token, or the port is taken.
        EvloraError: A bundle cannot be loaded.
    """
    token = _token(token_file)
    is_private = is_loopback(host)
    if not is_private and token is None and not is_open:
        raise RunError(
            f"--host {host}: expected a token, since others can reach this address; give "
            f"--token-file or {TOKEN_VARIABLE}, or let anyone in with --open"
        )
    if uploads is not None and not uploads.is_dir():
        raise RunError(f"--uploads: expected a folder, found none at {uploads}; make it first")
    shelf = open_shelf(places, weights=weights, device=device, precision=precision)
    pool = Decoders(decoders, DecoderProcess)
    app = create_app(shelf, pool, token=token, uploads=uploads)
    if is_private:  # a page of another host must not ask under a name that leads here
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS_OF_LOOPBACK)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="info",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=limits().live_message_bytes,
        limit_concurrency=CONNECTIONS_PER_REQUEST * limits().requests_at_once,
        timeout_graceful_shutdown=stop_s,
    )
    server = uvicorn.Server(config)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which uvicorn ends when all is put away
    server.run()
    if not server.started:
        raise RunError(
            f"{host}:{port}: the service could not start there; its log, above, has the reason: "
            "choose another --port"
        )


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _token(file: Path | None) -> str | None:
    """The token, from a file or the environment; never from the words of a command, which all see.

    It does not remain in the environment, which decoders inherit.

    Raises:
        RunError: It is too short to be a secret.
    """
    token = (
        os.environ.pop(TOKEN_VARIABLE, None)
        if file is None
        else read_text(file, RunError, most_bytes=4096)
    )
    if token is None:
        return None
    if len(token.strip()) < LEAST_TOKEN_CHARS:
        raise RunError(
            f"token: expected at least {LEAST_TOKEN_CHARS} characters, got {len(token.strip())}; "
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token.strip()
