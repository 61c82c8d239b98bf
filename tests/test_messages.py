"""Names, unknown names and wrong values in messages."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Discriminator, Field, NonNegativeFloat, PositiveInt, Tag, ValidationError

from evlora.config import Config
from evlora.messages import explain, itemized, listed, reason_of, shown, suggestion


class Part(Config):
    epochs: PositiveInt = 1
    share: float = 0.5


class Small(Config):
    kind: Literal["small"] = "small"
    depth: int = 1


class Large(Config):
    kind: Literal["large"] = "large"
    width: int = 1


def kind_of(value: Any) -> str | None:
    return value.get("kind", "small") if isinstance(value, dict) else getattr(value, "kind", None)


class Whole(Config):
    part: Part = Part()
    either: Annotated[
        Annotated[Small, Tag("small")] | Annotated[Large, Tag("large")], Discriminator(kind_of)
    ] = Small()
    devices: PositiveInt | Literal["auto"] = "auto"
    weight: NonNegativeFloat | None = None
    flag: bool = False
    names: tuple[str, ...] = ()
    rows: dict[str, dict[str, int]] = Field(default_factory=dict)


def explanation(tree: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(tree)
    return explain(caught.value, Whole)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "none"),
        (["a"], "a"),
        (["a", "b", "c"], "a, b, c"),
        ("abcdef", "a, b, c and 3 more"),
    ],
)
def test_many_names_are_counted(names: list[str], expected: str) -> None:
    assert listed(names) == expected


def test_many_faults_stand_on_lines_and_are_counted() -> None:
    assert itemized(["one", "two"]) == "\n  one\n  two"
    assert itemized(["one", "two", "three"], at_most=1) == "\n  one\n  … and 2 more"


def test_a_long_value_is_cut() -> None:
    assert shown("x" * 5) == "'xxxxx'"
    assert len(shown("x" * 1000)) == 80


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    known = [*(f"ablations/rank_{rank}" for rank in range(50)), "nmnist_paired"]
    answer = suggestion("NMNIST_pared", known, listing="evlora train --list")
    assert answer == "did you mean nmnist_paired?; evlora train --list lists all"
    far = suggestion("zzz", known, listing="evlora train --list")
    assert far.startswith("there are: ablations/rank_0, ")
    assert far.endswith(" and 39 more; evlora train --list lists all")
    assert suggestion("zzz", ["velora", "lora"]) == "there are: velora, lora"


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"part": {"epochs": 0}}, "part.epochs: expected a number above 0, got 0"),
        ({"part": {"epochs": "many"}}, "part.epochs: expected a whole number, got 'many'"),
        ({"part": {"epochs": 1.5}}, "part.epochs: expected a whole number, got 1.5"),
        ({"part": {"epoch": 1}}, "part.epoch: unknown key; did you mean epochs?"),
        ({"part": {"zzzzz": 1}}, "part.zzzzz: unknown key; there are: epochs, share"),
        ({"part": 3}, "part: expected keys and values, got 3"),
        ({"part": {"share": "half"}}, "part.share: expected a number, got 'half'"),
        ({"devices": "all"}, "devices: expected a whole number or 'auto', got 'all'"),
        ({"weight": -1}, "weight: expected a number of at least 0.0, got -1"),
        ({"flag": "perhaps"}, "flag: expected true or false, got 'perhaps'"),
        ({"names": 3}, "names: expected a list, got 3"),
        ({"rows": {"a": {"b": "c"}}}, "rows.a.b: expected a whole number, got 'c'"),
        (
            {"either": {"kind": "large", "depth": 2}},
            "either.depth: unknown key; did you mean width?",
        ),
        (
            {"part": {"epochs": 0}, "names": 3},
            "part.epochs: expected a number above 0, got 0; names: expected a list, got 3",
        ),
    ],
)
def test_a_wrong_value_is_explained_by_the_key_that_one_types(tree: Any, expected: str) -> None:
    assert explanation(tree) == expected


@pytest.mark.parametrize("wrong", [None, "text", -1, 1.5, [1], {"a": 1}])
@pytest.mark.parametrize("key", list(Whole.model_fields))
def test_no_explanation_has_the_words_of_the_library(key: str, wrong: object) -> None:
    try:
        Whole.model_validate({key: wrong})
    except ValidationError as error:
        text = explain(error, Whole)
        assert text.startswith(key)
        for word in ("Input should", "pydantic", "http", "constrained", "literal["):
            assert word not in text


def test_the_reason_of_an_error_is_one_line_without_pydantics_words() -> None:
    with pytest.raises(ValidationError) as raised:
        Part.model_validate({"epochs": "many"})
    assert reason_of(raised.value) == "epochs: expected a whole number, got 'many'"
    assert reason_of(ValueError("no\n  number")) == "no number"
