"""The verb that answers others: serve."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from evlora.cli.arguments import AnswerPrecision, Device, Weights
from evlora.errors import RunError

NEEDED = ("fastapi", "uvicorn", "websockets", "python_multipart", "prometheus_client")
"""What the extra `serve` installs."""
LAST_PORT = 65535


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(serve)


def serve(
    bundles: Annotated[
        list[str],
        typer.Argument(
            metavar="BUNDLE",
            help="Bundles, or exported NAME.onnx; NAME=BUNDLE gives one another name.",
        ),
    ],
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, help="The port; 0 is a free one.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(help="A file with the token that clients must give, else EVLORA_TOKEN."),
    ] = None,
    open_: Annotated[
        bool, typer.Option("--open", help="Let anyone in at an address that others can reach.")
    ] = False,
    decoders: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that decode uploads; one for each core by default."),
    ] = None,
    uploads: Annotated[
        Path | None, typer.Option(help="Where uploads lie until they are answered.")
    ] = None,
    weights: Weights = None,
    device: Device = "auto",
    precision: AnswerPrecision = "fp32",
) -> None:
    """Answer over HTTP and WebSocket, with a page."""
    if port > LAST_PORT:
        raise RunError(f"--port: expected at most {LAST_PORT}, got {port}")
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise RunError(
            f'serve needs {" and ".join(missing)}, not installed; pip install "evlora[serve]"'
        )
    from evlora.devices import device_named
    from evlora.processes import cores
    from evlora.serving.running import serve as run

    run(
        bundles,
        host=host,
        port=port,
        token_file=token_file,
        is_open=open_,
        decoders=decoders or cores(),
        uploads=uploads,
        weights=weights,
        device=device_named(device),
        precision=precision,
    )
