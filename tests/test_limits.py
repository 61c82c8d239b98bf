import pytest

from evlora.errors import EvloraError
from evlora.limits import Limits, limits, raising, require_bounded_options


def test_limits_are_the_documented_ones_by_default(monkeypatch):
    monkeypatch.delenv("EVLORA_LIMITS", raising=False)

    assert limits() == Limits()


@pytest.mark.parametrize("text", ["rank=2e3 labels=7", "rank=2000,labels=7"])
def test_the_environment_changes_limits_by_name(monkeypatch, text):
    monkeypatch.setenv("EVLORA_LIMITS", text)

    assert (limits().rank, limits().labels, limits().option) == (2000, 7, Limits().option)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("picture=3", "no limit is called 'picture'; did you mean picture_px"),
        ("rank", "rank: expected a number of 1 or more, got ''"),
        ("rank=many", "got 'many'"),
        ("rank=0", "got '0'"),
        ("rank=nan", "got 'nan'"),
        ("rank=1e99", "got '1e99'"),
    ],
)
def test_what_is_no_limit_is_refused(monkeypatch, text, reason):
    monkeypatch.setenv("EVLORA_LIMITS", text)

    with pytest.raises(EvloraError, match=reason):
        limits()


def test_a_packed_file_may_grow_by_its_size_or_by_a_fixed_amount():
    small = Limits(unpacked_bytes=1000, unpacked_ratio=10)

    assert (small.unpacked(1), small.unpacked(500)) == (1000, 5000)


def test_a_message_states_how_to_raise_a_limit():
    assert "EVLORA_LIMITS=rank=NUMBER" in raising("rank")


def test_numbers_inside_of_an_option_are_bounded_too():
    require_bounded_options({"rank_pattern": {"mlp.fc1": 8}, "seed": 2**40})

    with pytest.raises(ValueError, match=r"rank_pattern: expected a number of at most 16,384"):
        require_bounded_options({"rank_pattern": {"attention.key": 10**9}})
