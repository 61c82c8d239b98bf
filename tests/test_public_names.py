"""Everything that `dir(evlora)` lists explains itself in `help`."""

import inspect
import pydoc
import re
from pathlib import Path
from typing import Any

import pytest

import evlora

NAMES = [name for name in dir(evlora) if not name.startswith("_")]


def functions_of(thing: Any) -> dict[str, Any]:
    """The function, or the public methods that a class of evlora defines itself."""
    if inspect.isfunction(thing):
        return {thing.__name__: thing}
    found = {name: getattr(one, "__func__", one) for name, one in vars(thing).items()}
    return {
        name: one
        for name, one in found.items()
        if inspect.isfunction(one) and not name.startswith("_") and one.__module__ != "pydantic"
    }


def test_all_public_names_are_listed() -> None:
    assert sorted(evlora.__all__) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_explains_itself(name: str) -> None:
    thing = getattr(evlora, name)
    assert thing.__doc__, f"{name} has no docstring of its own"
    text = pydoc.plain(pydoc.render_doc(thing))
    first = inspect.getdoc(thing)
    assert first is not None
    assert first.split("\n")[0] in text
    for method, function in functions_of(thing).items():
        described = inspect.getdoc(function)
        assert described, f"{name}.{method} has no docstring"
        parameters = [p for p in inspect.signature(function).parameters if p not in {"self", "cls"}]
        missing = [p for p in parameters if not re.search(rf"\b{p}\b", described)]
        assert not missing, f"{name}.{method}: {missing} are not described"


@pytest.mark.parametrize("name", [n for n in NAMES if inspect.isfunction(getattr(evlora, n))])
def test_a_public_function_states_arguments_result_and_errors(name: str) -> None:
    function = getattr(evlora, name)
    text = inspect.getdoc(function) or ""
    for parameter in inspect.signature(function).parameters:
        assert re.search(rf"^    {parameter}: \S", text, re.MULTILINE), f"{parameter} is missing"
    assert "\nRaises:\n" in text
    if function.__annotations__["return"] not in (None, "None"):
        assert "\nReturns:\n" in text


def test_the_reference_has_every_public_name(project_root: Path) -> None:
    page = (project_root / "docs" / "api.md").read_text(encoding="utf-8")
    errors = {n for n in NAMES if n.endswith(("Error", "Warning"))}
    missing = [n for n in NAMES if n not in errors and f"::: evlora.{n}\n" not in page]
    assert not missing


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("EventStream", ["shape (N,)", "microseconds", "pixels"]),
        ("FrameSequence", ["(H, W, 3)", "uint8", "microseconds"]),
        ("Recognizer", ["(B, T, 3, H, W)"]),
        ("StreamingRecognizer", ["(3, H, W)", "(K,)"]),
        ("open_recording", ["(T, H, W, 3)", "uint8", "microseconds"]),
        ("build", ["(B, T, 3, H, W)", "(B, K)"]),
        ("predict", ["(T, H, W, 3)", "uint8"]),
    ],
)
def test_help_shows_shapes_and_units(name: str, words: list[str]) -> None:
    text = pydoc.plain(pydoc.render_doc(getattr(evlora, name)))
    assert [word for word in words if word not in text] == []
