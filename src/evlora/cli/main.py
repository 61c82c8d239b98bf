"""The command's entry: its verbs, and what a user sees when something is wrong."""

import errno
import os
import sys
import warnings
from typing import Annotated

import typer
from typer.models import CommandInfo

from evlora import __version__
from evlora.cli import (
    comparing,
    converting,
    datasets,
    evaluating,
    exporting,
    known,
    learning,
    overview,
    playing,
    profiling,
    publishing,
    recordings,
    reporting,
    robustness,
    searching,
    serving,
)
from evlora.cli.ending import TERMINATED, Terminated, ending_on_sigterm
from evlora.cli.printing import echo
from evlora.cli.verb import Verb
from evlora.errors import EvloraError, RecordingWarning
from evlora.garbage import keep_imports
from evlora.ranks import AllRanksError, is_first_rank

INTERRUPTED = 130
CURES = {
    errno.ENOSPC: "make room on this disk, or write to another one",
    errno.EDQUOT: "make room on this disk, or write to another one",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "choose a path that you may read and write",
    errno.EPERM: "choose a path that you may read and write",
    errno.EIO: "the disk may be damaged; try another one",
}
"""What to do about an error of the system, which is no defect of evlora."""
RANK_ERRORS = ("DistBackendError", "DistNetworkError", "DistStoreError")
"""What torch raises where processes of a run lose each other; gloo raises a RuntimeError."""
CANNOT_BE_REACHED = (
    "has ended or cannot be reached; what it printed, above or in its own log, is the cause; train "
    "with --resume continues once that is mended"
)
CONTINUES = "the same command continues where it was"
AFTER_INTERRUPTION = {
    "train": "the same command with --resume continues",
    "compare": CONTINUES,
    "demo": CONTINUES,
    "pack": CONTINUES,
    "predict": "the same command with --out resumes where it was",
    "robustness": CONTINUES,
    "prepare": "the same command continues with what was converted, and lists the rest anew",
    "convert": "files that were written are whole; run it again",
}
"""What to do after Ctrl-C, by the verb."""
FIRST_HOUR = ("demo", "inspect", "prepare", "train", "evaluate", "predict")
"""Verbs in the order in which one needs them; help lists them before the others."""


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
        echo(f"evlora {__version__}")
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


def _place_in_help(command: CommandInfo) -> int:
    name = command.callback.__name__ if command.callback else ""
    return FIRST_HOUR.index(name) if name in FIRST_HOUR else len(FIRST_HOUR)


for group in (
    *(learning, profiling, evaluating, robustness, reporting, comparing, searching),
    *(overview, known, datasets, recordings, playing, converting, publishing, exporting, serving),
):
    group.register(app)
for command in app.registered_commands:
    command.cls = Verb
app.registered_commands.sort(key=_place_in_help)


def run() -> None:
    """Run the command line: exit code 0 when done, 2 for a user's mistake, 130 when interrupted."""
    arguments = [_with_home(word) for word in sys.argv[1:]]
    keep_imports()
    is_debugging = "--debug" in arguments
    if is_debugging:
        arguments.remove("--debug")
    else:
        _show_only_our_warnings()
    try:
        with ending_on_sigterm():
            _call(arguments)
    except EvloraError as error:
        if is_debugging:
            raise
        if isinstance(error, AllRanksError) and not is_first_rank():
            sys.exit(0)  # another code would make Lightning kill the one that reports it
        echo(f"error: {_message(error)}", err=True, of_any_rank=True)
        sys.exit(2)
    except (MemoryError, RecursionError, UnicodeError, RuntimeError) as error:
        reason = _of_inputs_or_ranks(error)
        if is_debugging or reason is None:
            raise
        echo(f"error: {reason}", err=True, of_any_rank=True)
        sys.exit(2)
    except OSError as error:
        if is_debugging or error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        cure = CURES.get(error.errno, "check the path")
        echo(f"error: {where}{error.strerror}; {cure}", err=True, of_any_rank=True)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as ended:
        signalled = _signalled(ended)
        if signalled is None:
            raise
        is_sigterm = isinstance(signalled, Terminated)
        how = "stopped by SIGTERM" if is_sigterm else "interrupted"
        echo(f"{how}; {_what_to_do_next(arguments)}", err=True)
        sys.exit(TERMINATED if is_sigterm else INTERRUPTED)


def _call(arguments: list[str]) -> None:
    """Run a verb. A mistake in the words is one of all processes, and the first one reports it."""
    if is_first_rank():
        app(args=arguments)
        return
    try:
        sys.exit(app(args=arguments, standalone_mode=False))
    except Exception as error:
        if hasattr(error, "show"):  # typer's own, for words that it does not understand
            sys.exit(0)
        raise


def _of_inputs_or_ranks(error: Exception) -> str | None:
    """What to report of an error that other libraries raise for a user's input; else None."""
    text = " ".join(str(error).split())
    match error:
        case MemoryError():
            return f"there is not enough memory: {text or 'none was left'}; give less at once"
        case RecursionError():
            return "an input is nested too deeply to be read; look what it is"
        case UnicodeError():
            return f"a name or a text is not UTF-8: {text}; rename the file, or save it as UTF-8"
        case _:
            is_of_ranks = type(error).__name__ in RANK_ERRORS or "gloo" in text.lower()
            reason = f"another process of this run {CANNOT_BE_REACHED}: {text}"
            return reason if is_of_ranks else None


def _signalled(ended: BaseException) -> KeyboardInterrupt | None:
    """The Ctrl-C or SIGTERM of which typer makes an exit, without a word; None if it is another."""
    if isinstance(ended, KeyboardInterrupt):
        return ended
    cause = None if ended.__context__ is None else ended.__context__.__cause__
    return cause if isinstance(cause, KeyboardInterrupt) else None


def _with_home(argument: str) -> str:
    """An option such as --out=~/x with the home folder, which a shell leaves as it is."""
    name, equals, value = argument.partition("=")
    is_path = bool(equals) and name.startswith("--") and (value == "~" or value.startswith("~/"))
    return f"{name}={os.path.expanduser(value)}" if is_path else argument  # noqa: PTH111


def _what_to_do_next(arguments: list[str]) -> str:
    """What to do after Ctrl-C, by the verb; each writes whole files or none."""
    verb = next((word for word in arguments if not word.startswith("-")), "")
    return AFTER_INTERRUPTION.get(verb, "nothing was left half-written; run it again")


def _message(error: EvloraError) -> str:
    # torch hands on the error of a loader's worker with the worker's traceback before its message.
    kind = type(error)
    return str(error).rpartition(f"{kind.__module__}.{kind.__name__}: ")[2]


def _show_only_our_warnings() -> None:
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", RecordingWarning)

    def show(message: Warning | str, category: type[Warning], *_: object) -> None:
        echo(f"warning: {message}", err=True, of_any_rank=True)

    warnings.showwarning = show  # pyright: ignore[reportAttributeAccessIssue]
