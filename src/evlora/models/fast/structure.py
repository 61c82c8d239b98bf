"""Nested tuples of tensors as flat lists, which is what autograd takes, and back."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

from torch import Tensor

T = TypeVar("T")


def flattened(value: T) -> tuple[list[Tensor | None], Callable[[Sequence[Any]], T]]:
    """The tensors in nested (named) tuples, and how others are put in their places.

    Args:
        value: Tuples of tensors, None, and anything else, which stays where it is.

    Returns:
        The tensors and Nones in order, and a function that gives the same tuples with other things
        in their places: gradients, say, or whether there is one.
    """
    leaves: list[Tensor | None] = []
    _collect(value, leaves)

    def rebuilt(others: Sequence[Any]) -> T:
        return cast(T, _filled(value, iter(others)))

    return leaves, rebuilt


def _collect(value: object, leaves: list[Tensor | None]) -> None:
    if value is None or isinstance(value, Tensor):
        leaves.append(value)
    elif isinstance(value, tuple):
        for part in cast(tuple[object, ...], value):
            _collect(part, leaves)


def _filled(value: object, others: Iterator[Any]) -> object:
    if value is None or isinstance(value, Tensor):
        return next(others)
    if isinstance(value, tuple):
        parts = [_filled(part, others) for part in cast(tuple[object, ...], value)]
        return cast(Any, type(value))(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value
