"""Tables and answers as files: what an option may name, and how CSV and Parquet are written."""

import csv
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evlora.errors import RunError
from evlora.escaping import cell
from evlora.files import writing_file

Kinds = Mapping[str, type[str] | type[float] | type[int] | type[bool]]
"""What the columns of a table hold, beside None."""


def require_file(option: str, path: Path | None, suffixes: Sequence[str]) -> None:
    """Check, before anything is computed, that an option names a file that can be written.

    Args:
        option: Its name, for the message.
        path: What was given.
        suffixes: Of the formats that there are.

    Raises:
        RunError: The suffix is of none of them, or what writes it is not installed.
    """
    if path is None:
        return
    if path.suffix not in suffixes:
        raise RunError(f"{option}: expected a file of {', '.join(suffixes)}, got {path}")
    if path.is_dir():
        raise RunError(f"{option}: expected a file, got the folder {path}; name a file in it")
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        others = " or ".join(suffix for suffix in suffixes if suffix != ".parquet")
        raise RunError(
            f"{option}: {path}: parquet is written by pyarrow, which is not installed: "
            f'pip install "evlora[parquet]", or name a {others}'
        )


def write_whole(option: str, path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file as a whole or not at all.

    Args:
        option: Names the file, for the message.
        path: The file.
        write: Writes it under another name.

    Raises:
        RunError: It cannot be written.
    """
    try:
        with writing_file(path) as temporary:
            write(temporary)
    except OSError as error:
        reason = error.strerror or error
        raise RunError(
            f"{option}: {path} cannot be written: {reason}; name another file"
        ) from error


def write_table(
    columns: Mapping[str, Sequence[Any]], path: Path, *, suffix: str, kinds: Kinds
) -> None:
    """Write a table.

    Args:
        columns: The cells of each column; None for an empty one.
        path: The file.
        suffix: Picks the format: .csv or .parquet.
        kinds: Of each column.
    """
    if suffix == ".parquet":
        _write_parquet(columns, path, kinds)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        rows = zip(*columns.values(), strict=True)
        writer.writerows([cell(value) for value in row] for row in rows)


def _write_parquet(columns: Mapping[str, Sequence[Any]], path: Path, kinds: Kinds) -> None:
    import pyarrow  # pyright: ignore[reportMissingImports]
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    names = {str: "string", float: "float64", int: "int64", bool: "bool"}
    schema = pyarrow.schema(
        [(name, pyarrow.type_for_alias(names[kinds[name]])) for name in columns]
    )
    parquet.write_table(pyarrow.table(dict(columns), schema=schema), path)
