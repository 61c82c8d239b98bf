"""The shape alphabet."""

import pytest
import torch

from evlora.errors import ShapeError
from evlora.tensors import require_shape


def test_the_sizes_come_back_by_letter() -> None:
    assert require_shape(torch.zeros(2, 3, 4), "B 3 D", name="x") == {"B": 2, "D": 4}


@pytest.mark.parametrize("shape", ["B 3", "B 4 D", "B 3 D N"])
def test_another_shape_is_refused_with_what_came(shape: str) -> None:
    with pytest.raises(ShapeError, match=r"x: expected shape .*, got \(2, 3, 4\)"):
        require_shape(torch.zeros(2, 3, 4), shape, name="x")


def test_a_known_size_is_held() -> None:
    with pytest.raises(ShapeError, match=r"expected shape \(B=5, 3, D\)"):
        require_shape(torch.zeros(2, 3, 4), "B 3 D", name="x", B=5)
