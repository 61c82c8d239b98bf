"""The rows of tables that people save, and what is wrong with one as a message."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from evlora.errors import DatasetError
from evlora.untrusted import read_text


def rows_of(path: Path, *, delimiter: str | None = None) -> Iterator[list[str]]:
    """The rows of a table in UTF-8.

    Args:
        path: The table.
        delimiter: What separates the cells; by default the one of comma, semicolon and tab that
            the first line has most of.

    Raises:
        DatasetError: It cannot be read, or a cell is longer than csv takes, as behind a quotation
            mark that is never closed.
    """
    text = read_text(path, DatasetError, encoding="utf-8-sig")
    first = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text), delimiter=delimiter or max(",;\t", key=first.count))
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise DatasetError(
                f"{path} line {rows.line_num}: expected cells of at most "
                f"{csv.field_size_limit():,} characters in lines of text: {error}; look for a "
                "quotation mark that is not closed"
            ) from error
        yield row
