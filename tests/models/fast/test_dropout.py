"""Dropout by a list of the dropped entries."""

import pytest
import torch

from evlora.models.fast.dropout import dropped_entries, entries_dropped, entries_kept

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.001, 0.01, 0.3])
def test_every_entry_is_dropped_as_often_as_every_other(rate: float) -> None:
    torch.manual_seed(0)
    count, draws = 50, 20_000
    dropped = torch.cat(
        [dropped_entries(count, rate=rate, device=CPU) for _ in range(draws)]
    ).bincount(minlength=count)
    spread = (rate * (1 - rate) / draws) ** 0.5
    assert (dropped / draws - rate).abs().max() < 5 * spread


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    rate, count = 0.2, 400_000
    mask = torch.zeros(count).index_fill_(
        0, dropped_entries(count, rate=rate, device=CPU).long(), 1
    )
    both = (mask[:-1] * mask[1:]).mean()
    assert abs(float(both) - rate**2) < 5 * (rate**2 / count) ** 0.5


def test_no_entry_is_named_twice_and_none_outside() -> None:
    torch.manual_seed(0)
    for _ in range(200):
        dropped = dropped_entries(7, rate=0.3, device=CPU)
        assert (dropped.diff() > 0).all()
        assert ((dropped >= 0) & (dropped < 7)).all()


def test_entries_come_back() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    dropped = torch.tensor([1, 4], dtype=torch.int32)
    with entries_dropped(x, dropped):
        assert x.tolist() == [[0, 0, 2], [3, 0, 5]]
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
    with entries_kept(x, dropped):
        x.add_(10)
    assert x.tolist() == [[10, 1, 12], [13, 4, 15]]
