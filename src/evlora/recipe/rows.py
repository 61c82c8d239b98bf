"""Rows of a recipe's `comparison`: which keys of the recipe each of them changes."""

from collections.abc import Mapping
from typing import Any

from evlora.messages import suggestion

LIKE = "like"
"""The key by which a row names another one, whose keys it starts from."""


def keys_of_row(
    name: str, rows: Mapping[str, Mapping[str, Any]], begun: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The keys that a row changes: those of the row that it is like, and its own over them.

    Args:
        name: The row.
        rows: All rows as they are written.
        begun: The rows that led to this one.

    Raises:
        ValueError: `like` names no row, or leads back to the row itself.
    """
    own = dict(rows[name])
    if LIKE not in own:
        return own
    other = str(own.pop(LIKE))
    chain = (*begun, name)
    if other in chain:
        raise ValueError(f"{name}: {LIKE}: expected another row, got {' → '.join((*chain, other))}")
    if other not in rows:
        raise ValueError(f"{name}: {LIKE}: no row is called {other!r}; {suggestion(other, rows)}")
    kept = {
        key: value
        for key, value in keys_of_row(other, rows, chain).items()
        if not any(f"{key}.".startswith(f"{changed}.") for changed in own)
    }
    return {**kept, **own}
