"""The names of the catalogue, read from its two tables: their modules import peft.

A mistyped name is answered within the second by this, and no list has to be kept beside the tables.
"""

import ast
from functools import cache
from pathlib import Path

from evlora.errors import AdapterError
from evlora.messages import suggestion
from evlora.models.adapters.from_peft.refused import REFUSED

TABLES = {"METHODS": "methods.py", "ROWS": "from_peft/rows.py"}
"""Table → its file; the second one ends the first."""


@cache
def method_names() -> tuple[str, ...]:
    """The names of all methods, in the order of the catalogue."""
    return tuple(name for table, file in TABLES.items() for name in _keys_of(table, file))


def require_method(name: str) -> None:
    """Check that the catalogue has a method of this name.

    Raises:
        AdapterError: It has none, or peft has one that does not suit a vision transformer.
    """
    if name in REFUSED:
        raise AdapterError(
            f"adapter.method: {name} of peft does not suit a vision transformer: {REFUSED[name]}; "
            "choose another (evlora compare --list)"
        )
    if name not in method_names():
        raise AdapterError(
            f"adapter.method: no adapter is called {name!r}; {suggestion(name, method_names())}"
        )


def _keys_of(table: str, file: str) -> list[str]:
    """The keys that are written out in a table of a module."""
    tree = ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8"))
    (found,) = (
        one.value
        for one in tree.body
        if isinstance(one, ast.AnnAssign) and ast.unparse(one.target) == table
    )
    assert isinstance(found, ast.Dict)
    return [str(key.value) for key in found.keys if isinstance(key, ast.Constant)]
