"""How the verbs print: plain tables that can be read in a log as well."""

import shutil
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import typer

from evlora.escaping import in_line, printable
from evlora.ranks import is_first_rank

LINE_EVERY_S = 60
"""Seconds between two lines about long work in a log."""


def echo(text: object = "", *, err: bool = False, of_any_rank: bool = False) -> None:
    """Print text whose labels, names and messages may be anyone's: controls are shown, not obeyed.

    Of several processes that run one command the first one prints.

    Args:
        text: Lines, or JSON, which stays JSON.
        err: Whether it goes to standard error.
        of_any_rank: Whether each process prints it.
    """
    if of_any_rank or is_first_rank():
        typer.echo(printable(text), err=err)


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, is_of_texts: bool = False
) -> None:
    """Print rows under a header.

    The first column stands to the left, and so do the others of a table of texts; numbers stand to
    the right.
    """
    lines = [list(header), *([in_line(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for number, line in enumerate(lines):
        cells = [
            cell.ljust(width) if is_of_texts or column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        echo("  ".join(cells).rstrip())
        if number == 0:
            echo("  ".join("─" * width for width in widths))


def listing(rows: Sequence[tuple[str, str]]) -> None:
    """Print names and what each one is, a line each, cut at the width of the terminal."""
    width = shutil.get_terminal_size().columns
    column = max(len(name) for name, _ in rows)
    for name, text in rows:
        echo(in_line(f"{name:<{column}}  {text}")[:width].rstrip())


@contextmanager
def counting_bar(what: str) -> Generator[Callable[[int, int], None]]:
    """A bar on standard error, updated with the number done and the total; gone at the end.

    It shows how many a second as well. In a log, where there is no bar, long work leaves a line a
    minute.
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}")
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), rate)
    console = Console(stderr=True)
    with Progress(
        *(*columns, TimeRemainingColumn()),
        console=console,
        transient=True,
        disable=not (console.is_terminal and is_first_rank()),
        redirect_stdout=sys.stdout.isatty(),  # into a file results go past the bar
    ) as bar:
        task = bar.add_task(what, total=None, rate="")
        begun = shown = time.monotonic()
        first: int | None = None

        def show(done: int, total: int) -> None:
            nonlocal first, shown
            first = done if first is None else first  # an earlier run has done these
            now = time.monotonic()
            rate = f"{(done - first) / max(now - begun, 0.1):,.0f}/s"
            bar.update(task, completed=done, total=total, rate=rate)
            if not console.is_terminal and now - shown > LINE_EVERY_S:
                shown = now
                echo(f"{what}: {done:,} of {total:,}, {rate}", err=True)

        yield show


def megabytes(size: float) -> str:
    """A size in bytes as MB of 10⁶ bytes."""
    return f"{size / 1e6:,.1f}"


def duration(seconds: float) -> str:
    """A duration in seconds, minutes or hours."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
