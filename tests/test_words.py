"""The words that evlora's English does without, and what stands in their place."""

import re
from pathlib import Path

import pytest

ROOTS = ("src", "tests", "docs", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "recipes")
"""What is read."""

SUFFIXES = (".md", ".yaml", ".py", ".html", ".js")

WORDS = {
    r"foret(ells?|elling|old)": "reconstruct, predict",
    r"tells|told|says": "reports, shows, lists, gives",
    r"(comes?|came|coming) along": "ships with evlora, bundled",
    r"(left|leaves?|leaving) (out|alone)": "skipped, unchanged, excluded",
    r"thinn(ed|ing)": "pruned",
    r"so many": "the number",
    r"likewise": "the same way",
    r"for (itself|themselves)": "separately",
    r"done again": "retried",
    r"where nothing is said": "by default",
    r"(go|goes|going|gone|went) on with": "resumed",
    r"hears?|heard|hearing": "used, reached",
    r"lends?|lent": "shared",
    r"pictures? of (the |its )?events?|events? pictures?": "event images",
}
"""A word that is not used → what is."""

ANY = re.compile(rf"(?<![a-z])({'|'.join(WORDS)})(?![a-z])", re.IGNORECASE)
"""Any of them; most files have none."""

NAMES = ("thin_answers", "thinned_training", "thinned_answers", "leave_out")
"""Keys, rows and values of recipes and layouts, which keep their names."""


def files(project_root: Path) -> list[Path]:
    roots = [project_root / root for root in ROOTS]
    inside = [file for root in roots for file in sorted(root.rglob("*")) if root.is_dir()]
    found = [
        path
        for path in [*roots, *inside]
        if path.is_file() and path.suffix in SUFFIXES and path != Path(__file__)
    ]
    assert len(found) > len(ROOTS)
    return found


def prose(text: str) -> str:
    """The text without kept names, a name's words apart, and a sentence on one line."""
    text = re.sub(rf"\b({'|'.join(NAMES)})\b", "", text)
    return re.sub(r"[\s_#*]+", " ", text)


def found_in(text: str) -> list[str]:
    text = prose(text)
    if not ANY.search(text):
        return []
    return [
        f"…{text[max(0, match.start() - 30) : match.end() + 20]}… → {instead}"
        for word, instead in WORDS.items()
        for match in re.finditer(rf"(?<![a-z])({word})(?![a-z])", text, re.IGNORECASE)
    ]


def test_every_word_is_one_that_is_used(project_root: Path) -> None:
    hits = {
        str(file.relative_to(project_root)): found
        for file in files(project_root)
        if (found := found_in(file.read_text(encoding="utf-8")))
    }
    listed = "\n".join(f"{file}: {hit}" for file, found in hits.items() for hit in found)
    assert not hits, f"{sum(map(len, hits.values()))} words that STYLE does without:\n{listed}"


@pytest.mark.parametrize(
    "text",
    ["# what is left\n# out here", "the **event\npictures**", "is_left_out = True", "It tells."],
)
def test_a_word_is_found_across_lines_and_in_names(text: str) -> None:
    assert len(found_in(text)) == 1


@pytest.mark.parametrize(
    "text", ["model.thin_answers: true", "missing=leave_out", "a thing within"]
)
def test_names_of_keys_and_parts_of_words_are_no_words(text: str) -> None:
    assert not found_in(text)
