"""The verb that shows what is known of published datasets: datasets."""

import json
from typing import Annotated, Any

import typer

from evlora.cli.arguments import AsJson
from evlora.cli.printing import echo, table

WIDEST_CELL = 34


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(datasets)


def datasets(
    name: Annotated[
        str | None, typer.Argument(help="A dataset or its layout, to show all of it.")
    ] = None,
    as_json: AsJson = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the documentation's page of all datasets.")
    ] = False,
) -> None:
    """Show what is known of published datasets, with sources."""
    from evlora.datasets.known import described, known_datasets, page

    if as_markdown:
        echo(page().rstrip("\n"))
    elif as_json:
        names = [name] if name is not None else list(known_datasets().datasets)
        found = [described(one) for one in names]
        echo(json.dumps(found[0] if name is not None else found, ensure_ascii=False))
    elif name is not None:
        _show(described(name))
    else:
        header = ("dataset", "classes", "samples", "modalities", "layout", "split=")
        rows = [
            (
                title,
                *(_short(one.stated(fact)) for fact in ("classes", "samples", "modalities")),
                one.layout or "",
                _short(", ".join(one.splits)),
            )
            for title, one in known_datasets().datasets.items()
        ]
        table(header, rows, is_of_texts=True)
        echo("evlora datasets NAME shows size, licence, figures and the source of each")


def _show(one: dict[str, Any]) -> None:
    reads = f"evlora prepare {one['layout']} SOURCE OUT" if one["layout"] else "no layout reads it"
    echo(f"{one['dataset']}: {reads}")
    if one["splits"]:
        echo(f"split=: {', '.join(one['splits'])}")
    for key, fact in one["facts"].items():
        echo(f"{key}: {fact['value']}  [{fact['source']}]")
    for figure in one["figures"]:
        what = f"{figure['top1']:.2f} % {figure['method']}: {figure['protocol']}"
        echo(f"reported: {what}  [{figure['source']}]")
    for note in one["notes"]:
        echo(f"note: {note['value']}  [{note['source']}]")


def _short(text: str) -> str:
    first = text.split(" (", maxsplit=1)[0].split(", with", maxsplit=1)[0]
    return first if len(first) <= WIDEST_CELL else f"{first[: WIDEST_CELL - 1]}…"
