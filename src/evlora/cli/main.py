"""The command's entry: its verbs, and what a user sees when something is wrong."""

import errno
import sys
import warnings
from typing import Annotated

import typer

from evlora import __version__
from evlora.cli import comparing, converting, datasets, learning, publishing, recordings
from evlora.errors import EvloraError, RecordingWarning
from evlora.ranks import AllRanksError, is_first_rank

INTERRUPTED = 130
DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO}
"""Errors of the system that are no defect of evlora: a disk that is full or read-only."""

app = typer.Typer(
    name="evlora",
    help="Fine-tune vision foundation models for RGB + event cameras, images and video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"evlora {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Raise errors with their traceback.")
    ] = False,
) -> None:
    """Fine-tune vision foundation models for RGB + event cameras, images and video."""
    del version, debug  # `run` looks for --debug itself: it may stand anywhere


for group in (learning, comparing, datasets, recordings, converting, publishing):
    group.register(app)


def run() -> None:
    """Run the command line: exit code 0 when done, 2 for a user's mistake, 130 when interrupted."""
    arguments = sys.argv[1:]
    is_debugging = "--debug" in arguments
    if is_debugging:
        arguments.remove("--debug")
    else:
        _show_only_our_warnings()
    try:
        app(args=arguments)
    except EvloraError as error:
        if is_debugging:
            raise
        if isinstance(error, AllRanksError) and not is_first_rank():
            sys.exit(0)  # another code would make Lightning kill the one that reports it
        typer.echo(f"error: {_message(error)}", err=True)
        sys.exit(2)
    except OSError as error:
        if is_debugging or error.errno not in DISK_FAULTS:
            raise
        typer.echo(f"error: {error.filename or 'writing'}: {error.strerror}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as ended:
        if isinstance(ended, SystemExit) and ended.code != INTERRUPTED:  # typer's form of Ctrl-C
            raise
        if is_first_rank():
            typer.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)


def _message(error: EvloraError) -> str:
    # torch hands on the error of a loader's worker with the worker's traceback before its message.
    kind = type(error)
    return str(error).rpartition(f"{kind.__module__}.{kind.__name__}: ")[2]


def _show_only_our_warnings() -> None:
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", RecordingWarning)

    def show(message: Warning | str, category: type[Warning], *_: object) -> None:
        typer.echo(f"warning: {message}", err=True)

    warnings.showwarning = show  # pyright: ignore[reportAttributeAccessIssue]
