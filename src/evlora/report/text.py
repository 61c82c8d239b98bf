"""Text from outside, such as labels and paths, as a page and its pictures may show it."""

import html
import json
import unicodedata

SHOWN_CONTROLS = ("Cc", "Cf", "Co", "Cn", "Cs")
"""Unicode's categories of characters that show nothing, or change how others are shown."""
KEPT = "\n\t\u200c\u200d"
"""Of those the ones that text of some languages needs."""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(value: object) -> Html:
    """A value as HTML: of anything but `Html`, its text with nothing in it that a page acts on.

    Characters that show nothing, or turn the direction of what follows, are shown by number.

    Args:
        value: What is to be shown.
    """
    return value if isinstance(value, Html) else Html(html.escape(visible_text(str(value))))


def embedded_json(value: object) -> Html:
    """A value as JSON that may stand inside a script element.

    Args:
        value: Plain values.
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return Html(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def visible_text(text: str) -> str:
    """Text whose invisible characters are shown by number.

    Args:
        text: From outside.
    """
    return "".join(
        f"\\u{ord(one):04x}"
        if one not in KEPT and unicodedata.category(one) in SHOWN_CONTROLS
        else one
        for one in text
    )


def shortened(text: str, length: int) -> str:
    """Text in one line of a picture, its middle cut where it is long.

    Args:
        text: From outside.
        length: Most characters.
    """
    text = " ".join(visible_text(text).split())
    if len(text) > length:
        end = length // 3
        text = f"{text[: length - end - 1]}…{text[len(text) - end :]}"
    return text.replace("$", r"\$")  # to matplotlib a dollar begins mathematics
