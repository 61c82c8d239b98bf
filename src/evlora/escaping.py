"""How text from outside is shown: on a terminal, in a table for spreadsheets, in Markdown.

Labels, names of files, fields of headers and messages that quote them are anyone's text. Where
they are shown, what a program would obey is shown instead.
"""

import re

OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but for tab and the end of a line
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that turn the direction of writing
    "\u2028\u2029\ufeff\ud800-\udfff]"  # other ends of lines, and bytes that were no text
)
LINE_ENDS = re.compile(r"[\t\n]")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""How a cell begins that a spreadsheet would compute, and how one that was escaped does."""
MARKUP = re.compile(r"([\\`*\[\]<>|&!])")
"""Characters that Markdown, or the HTML in it, gives a meaning."""
LONGEST_IN_FIGURE = 80


def printable(text: object) -> str:
    r"""Text of several lines for a terminal, or for JSON: controls become what JSON writes.

    An escape character becomes the six characters `\u001b`.
    """
    return OBEYED.sub(_written_out, str(text))


def in_line(text: object) -> str:
    r"""Text for one cell or one line of a terminal: ends of lines are written out as well."""
    return LINE_ENDS.sub(_written_out, printable(text))


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


def in_figure(text: object) -> str:
    """Text for a matplotlib figure: no mathematics in it, and not longer than a figure is wide."""
    line = in_line(text)
    cut = line if len(line) <= LONGEST_IN_FIGURE else f"{line[: LONGEST_IN_FIGURE - 1]}…"
    return cut.replace("$", r"\$")


def _written_out(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
