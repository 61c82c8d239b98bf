"""Nested tuples of tensors as flat lists, which is what autograd takes, and back."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

from torch import Tensor

T = TypeVar("T", bound=tuple[object, ...])


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


def _collect(value: tuple[object, ...], leaves: list[Tensor | None]) -> None:
    for part in value:
        if part is None or isinstance(part, Tensor):
            leaves.append(part)
        elif isinstance(part, tuple):
            _collect(cast(tuple[object, ...], part), leaves)


def _filled(value: tuple[object, ...], others: Iterator[Any]) -> tuple[object, ...]:
    parts = [
        next(others)
        if part is None or isinstance(part, Tensor)
        else _filled(cast(tuple[object, ...], part), others)
        if isinstance(part, tuple)
        else part
        for part in value
    ]
    return tuple.__new__(type(value), parts)  # of named tuples too, without their slower own one
