"""The page itself: sections of text, tables and pictures in one HTML file without outside assets.

All that is shown goes through `escaped`; a policy in the page forbids the browser to fetch
anything.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evlora.report.text import Html, escaped

HERE = Path(__file__).parent
KINDS = {".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg"}
"""Suffix of a picture → what a browser calls it."""
MOST_ROWS = 60
"""Of a table, that are shown at once; what is longer scrolls in a box of its own."""


class Section(NamedTuple):
    """A part of the page."""

    title: str
    content: Html


class Cell(NamedTuple):
    """A cell whose text is not what its column is sorted by."""

    text: object
    value: float


def joined(*parts: object) -> Html:
    """Several values behind each other."""
    return Html("".join(map(escaped, parts)))


def element(name: str, content: object = "", **attributes: object) -> Html:
    """An element of HTML.

    Args:
        name: Of the element.
        content: What stands in it, escaped unless it is HTML.
        attributes: Their values are escaped; a name's `_` stands for `-`, one at its end for
            nothing.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
    )
    return Html(f"<{name}{given}>{escaped(content)}</{name}>")


def paragraph(text: object, *, is_faint: bool = False) -> Html:
    """A paragraph of text."""
    return element("p", text, class_="faint") if is_faint else element("p", text)


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, caption: str = "") -> Html:
    """A table that scrolls where it is wide, and whose columns can be sorted by their headers.

    Args:
        header: Names of the columns.
        rows: A cell for each of them: text, HTML, or `Cell`.
        caption: What stands above it.
    """
    words = [bool(rows) and isinstance(value, str) for value in (rows or [header])[0]]
    head = joined(
        *(
            element("th", name, scope="col", **_of_words(is_words))
            for name, is_words in zip(header, words, strict=True)
        )
    )
    head = element("tr", head)
    body = joined(*(element("tr", joined(*map(_cell, row, words))) for row in rows))
    above = element("caption", caption) if caption else ""
    whole = Html(f"<table data-sortable>{above}<thead>{head}</thead><tbody>{body}</tbody></table>")
    shape = "scroll tall" if len(rows) > MOST_ROWS else "scroll"
    return element("div", whole, class_=shape, tabindex=0, role="region", aria_label=caption)


def picture(path: Path, description: str, *, kind: str = "chart", caption: object = "") -> Html:
    """A picture inside the page.

    Args:
        path: Its file.
        description: What it shows, for those who do not see it.
        kind: `chart`, or `pixels` for a clip whose pixels are to be seen.
        caption: Text below it.
    """
    below = element("figcaption", caption) if caption else ""
    inside = element("div", image(path, description, kind=kind), class_="scroll", tabindex=0)
    return element("figure", joined(inside, below))


def image(path: Path, description: str, *, kind: str = "chart") -> Html:
    """The image alone; see `picture`."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    source = f"data:{KINDS[path.suffix]};base64,{data}"
    return Html(f'<img class="{kind}" alt="{escaped(description)}" src="{source}">')


def page(title: str, lead: Html, sections: Sequence[Section]) -> str:
    """The whole page as text.

    Args:
        title: What it is about.
        lead: What stands before the sections.
        sections: In their order.
    """
    style = (HERE / "page.css").read_text(encoding="utf-8")
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    links = joined(
        *(
            element("li", element("a", section.title, href=f"#part-{number}"))
            for number, section in enumerate(sections, start=1)
        )
    )
    parts = joined(
        *(
            element(
                "section", joined(element("h2", section.title), section.content), id=f"part-{n}"
            )
            for n, section in enumerate(sections, start=1)
        )
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{escaped(title)}</title>
<style>{style}</style></head><body>
<header><h1>{escaped(title)}</h1>{lead}</header>
<nav aria-label="parts of this page"><ul>{links}</ul></nav>
<main>{parts}</main>
<script>{script}</script>
</body></html>
"""


def _cell(value: object, is_words: bool) -> Html:
    if isinstance(value, Cell):
        return element("td", value.text, data_value=value.value)
    if is_words:  # as wide as it needs, up to a width that a screen has room for
        return element("td", element("div", value), class_="words")
    return element("td", value)


def _of_words(is_words: bool) -> dict[str, str]:
    """What marks the header of a column of text rather than numbers."""
    return {"class_": "words"} if is_words else {}
