"""Cases of which a few run in every test run, and all in `make test-slow` and CI."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def slow_but(
    cases: Iterable[Any], *, quick: Callable[[Any], bool], named: bool = False
) -> list[Any]:
    """Values for `parametrize`; all that are not quick carry the marker slow.

    Args:
        cases: Values, or tuples of the values of several arguments.
        quick: Whether this case runs in every test run.
        named: Whether cases are pairs of a name, which becomes the test's, and a value.
    """
    parameters: list[Any] = []
    for case in cases:
        marks = () if quick(case) else pytest.mark.slow
        if named:
            name, value = case
            parameters.append(pytest.param(value, id=name, marks=marks))
        elif isinstance(case, tuple):
            parameters.append(pytest.param(*case, marks=marks))
        else:
            parameters.append(pytest.param(case, marks=marks))
    return parameters
