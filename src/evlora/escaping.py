"""How text from outside is shown: on a terminal, in a table for spreadsheets, in Markdown.

Labels, names of files, fields of headers and messages that quote them are anyone's text. Where
they are shown, what a program would obey is shown instead.
"""

import json
import re
import unicodedata

SHOWN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
"""Unicode's categories of characters that show nothing, or change how others are shown."""
KEPT = "\n\t\u200c\u200d"
"""Of those the ones that text of several lines, or of some languages, needs."""
LINE_ENDS = re.compile(r"[\t\n]")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""How a cell begins that a spreadsheet would compute, and how one that was escaped does."""
MARKUP = re.compile(r"([\\`*\[\]<>|&!])")
"""Characters that Markdown, or the HTML in it, gives a meaning."""
LONGEST_IN_FIGURE = 80


def printable(text: object) -> str:
    r"""Text of several lines for a terminal, a page or JSON: controls become what JSON writes.

    An escape character becomes the six characters `\u001b`.
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        _written_out(one) if unicodedata.category(one) in SHOWN and one not in KEPT else one
        for one in text
    )


def in_line(text: object) -> str:
    r"""Text for one cell or one line of a terminal: ends of lines are written out as well."""
    return LINE_ENDS.sub(lambda found: _written_out(found[0]), printable(text))


def cell(value: object) -> object:
    """A cell of a table that a spreadsheet may open: text that looks like a formula gets a `'`."""
    is_formula = isinstance(value, str) and value.startswith(FORMULA)
    return f"'{value}" if is_formula else value


def of_cell(text: str) -> str:
    """The text that `cell` was given."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def markdown(text: object) -> str:
    """Text for a page in Markdown, where it is read as it stands."""
    return MARKUP.sub(r"\\\1", in_line(text))


def in_figure(text: object, longest: int = LONGEST_IN_FIGURE) -> str:
    """Text for a matplotlib figure: in one line, with no mathematics in it.

    Args:
        text: From outside.
        longest: Most characters; the middle of a longer text is cut, since names differ at ends.
    """
    line = " ".join(in_line(text).split())
    if len(line) > longest:
        end = longest // 3
        line = f"{line[: longest - end - 1]}…{line[len(line) - end :]}"
    return line.replace("$", r"\$")


def _written_out(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else json.dumps(character)[1:-1]
