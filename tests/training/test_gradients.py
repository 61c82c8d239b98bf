"""Parts that get a gradient although they are frozen, or none although they are trained."""

import pytest
import torch
from torch.nn import Parameter, ParameterDict

from evlora.errors import RunError
from evlora.training.gradients import GradientGuard


def parameters() -> ParameterDict:
    return ParameterDict(
        {
            "frozen": Parameter(torch.zeros(2), requires_grad=False),
            "head": Parameter(torch.zeros(2)),
            "adapter": Parameter(torch.zeros(2)),
        }
    )


def test_a_gradient_of_a_frozen_part_ends_the_run() -> None:
    given = parameters()
    guard = GradientGuard(given)
    given["frozen"].grad = torch.ones(2)
    with pytest.raises(RunError, match=r"1 frozen tensors have one \(frozen\)"):
        guard.look()


def test_what_no_step_of_an_epoch_reaches_is_named() -> None:
    given = parameters()
    guard = GradientGuard(given)
    given["head"].grad = torch.ones(2)
    guard.look()
    given["head"].grad = None  # as in a batch without a modality
    guard.look()
    line = guard.unreached()
    assert line is not None
    assert "1 trained tensors got no gradient in a whole epoch (adapter)" in line
    given["adapter"].grad = torch.zeros(2)
    guard.look()
    assert guard.unreached() is None
