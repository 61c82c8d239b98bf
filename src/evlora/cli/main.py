"""The command's entry: its verbs, and what a user sees when something is wrong."""

import sys
import warnings

import typer

from evlora.errors import EvloraError, RecordingWarning

app = typer.Typer(
    name="evlora",
    help="Fine-tune vision foundation models for RGB + event cameras, images and video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)


def _show_only_our_warnings() -> None:
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", RecordingWarning)

    def show(message: Warning | str, category: type[Warning], *_: object) -> None:
        typer.echo(f"warning: {message}", err=True)

    warnings.showwarning = show  # pyright: ignore[reportAttributeAccessIssue]
