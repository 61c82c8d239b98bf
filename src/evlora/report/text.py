"""Text from outside, such as labels and paths, as a page may show it."""

import html
import json

from evlora.escaping import printable


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(value: object) -> Html:
    """A value as HTML: of anything but `Html`, its text with nothing in it that a page acts on.

    Characters that show nothing, or turn the direction of what follows, are shown by number.

    Args:
        value: What is to be shown.
    """
    return value if isinstance(value, Html) else Html(html.escape(printable(value)))


def embedded_json(value: object) -> Html:
    """A value as JSON that may stand inside a script element.

    Args:
        value: Plain values.
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return Html(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
