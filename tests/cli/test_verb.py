"""The help of every verb: capitals for arguments, one name for one thing, 80 columns."""

import re
from collections import defaultdict

import pytest
from command import Command

from evlora.cli.main import app

VERBS = [
    command.callback.__name__.replace("_", "-")
    for command in app.registered_commands
    if command.callback is not None
]
WIDTH = 80


@pytest.fixture(autouse=True)
def _narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))


def sections(shown: str) -> dict[str, dict[str, str]]:
    """Arguments and options of a verb's help, each with what it is for."""
    found: dict[str, dict[str, str]] = {}
    for heading in ("Arguments", "Options"):
        block = shown.partition(f"{heading}:\n")[2].partition("\n\n")[0]
        entries = re.split(r"\n  (?=\S)", f"\n{block}")[1:]
        found[heading] = {
            name: " ".join(text.split())
            for name, text in (re.split(r" {2,}|\n +", entry, maxsplit=1) for entry in entries)
        }
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_arguments_in_capitals_and_fits_80_columns(verb: str, evlora: Command) -> None:
    shown = evlora(verb, "--help").stdout
    usage = shown.partition("\n\n")[0].partition(f" {verb} ")[2].split()
    assert usage
    assert [word for word in usage if word != word.upper()] == []
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert not re.search(r"[<{}]", shown)  # types and braces as typer has them
    for name in sections(shown)["Arguments"]:
        assert name == name.upper()
        assert {*re.findall(r"\w+", name)} <= {*re.findall(r"\w+", " ".join(usage))}


def test_one_thing_has_one_name_in_all_verbs(evlora: Command) -> None:
    named: dict[tuple[str, str], set[str]] = defaultdict(set)
    for verb in VERBS:
        for heading, entries in sections(evlora(verb, "--help").stdout).items():
            for name, text in entries.items():
                named[heading, text.partition("  [")[0]].add(name)
    assert len(named) > 50
    assert not {text: names for text, names in named.items() if len(names) > 1}


def test_a_missing_argument_is_named_as_in_the_help(evlora: Command) -> None:
    assert "RECIPE" in evlora("train").stderr


def test_arguments_that_evaluate_checks_in_its_own_words_stand_as_required(evlora: Command) -> None:
    shown = evlora("evaluate", "--help").stdout
    assert shown.partition("\n")[0].endswith(" evaluate [OPTIONS] BUNDLE... DATASET")
    arguments = sections(shown)["Arguments"]
    assert all(text.endswith("[required]") for text in arguments.values())
