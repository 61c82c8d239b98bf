"""The code blocks of a page, and how a test runs them."""

import re
import shlex
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from evlora.cli.main import run

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """One block: its language, and what stands in it."""

    kind: str
    text: str


def code_blocks(page: Path, *kinds: str) -> list[Block]:
    """The blocks of a page in these languages, from top to bottom."""
    found = [Block(*match) for match in BLOCK.findall(page.read_text(encoding="utf-8"))]
    return [block for block in found if block.kind in kinds]


def commands(block: Block) -> list[list[str]]:
    """The words of each command of a shell block."""
    whole = block.text.replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in whole.splitlines()]
    return [words for words in lines if words]


def run_python(block: Block, page: Path, names: dict[str, Any]) -> None:
    """Run a block with these names, which its own are added to."""
    exec(compile(block.text, page.name, "exec"), names)


def run_evlora(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command of evlora, which must end well."""
    assert words[0] == "evlora"
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code in (0, None), words
