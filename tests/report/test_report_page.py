"""The page: nothing from outside acts in it, nothing is fetched, and it is whole or not there."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from evlora.errors import EvloraError, RunError
from evlora.escaping import in_figure
from evlora.evaluation import Confusion
from evlora.report import sections, writing
from evlora.report.findings import Findings, read_subject
from evlora.report.page import Section, page, paragraph, table
from evlora.report.text import embedded_json, escaped
from evlora.report.writing import place_for, write_findings, write_report

HOSTILE = "</script><img src=http://x.test/a onerror=alert(1)>\"'&\u202eabc\x1b[31m"
VOID = {"meta", "link", "img", "input", "br"}


class Outline(HTMLParser):
    """The elements of a page; raises nothing, notes what does not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.titles: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href", "action")]
        self.handlers += [key for key, _ in attrs if key.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)


@pytest.fixture(scope="session")
def whole_page(findings: Findings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page whose labels and names are hostile."""
    assert findings.measured is not None
    classes = tuple(f"{HOSTILE} {number}" for number in range(40))
    whole = findings.measured.evaluation
    per_class = dict(zip(classes, [1.0] * len(classes), strict=True))
    confusion = Confusion(np.arange(40), (np.arange(40) + 1) % 40, classes=40)
    answers = [
        replace(one, label=classes[0], ranked=[(classes[1], 0.5)])
        for one in findings.measured.answers
    ]
    measured = replace(
        findings.measured,
        scored=replace(findings.measured.scored, classes=classes),
        evaluation=replace(whole, per_class=per_class, confusion=confusion),
        answers=answers,
        dataset=HOSTILE,
    )
    subject = replace(findings.subject, name=HOSTILE)
    hostile = replace(findings, measured=measured, subject=subject)
    return write_findings(hostile, tmp_path_factory.mktemp("page") / "report.html")


def test_text_from_outside_is_only_text(whole_page: Path) -> None:
    outline = Outline(whole_page.read_text(encoding="utf-8"))
    assert outline.faults == []
    assert outline.open == []
    assert outline.handlers == []
    assert all(re.match(r"#part-\d+$|data:", address) for address in outline.addresses)
    for title in ("Clips", "Confusion", "Classes", "Calibration", "Features", "Relevance", "Cost"):
        assert title in outline.titles
    assert "\u202e" not in whole_page.read_text(encoding="utf-8")


def test_the_policy_of_the_page_allows_its_own_script_alone(whole_page: Path) -> None:
    text = whole_page.read_text(encoding="utf-8")
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "default-src 'none'" in text


def test_a_value_inside_a_script_reads_back_and_ends_no_element() -> None:
    text = embedded_json({"labels": [HOSTILE]})
    assert "<" not in text
    assert json.loads(text) == {"labels": [HOSTILE]}


def test_escaped_text_shows_characters_that_turn_or_hide_others() -> None:
    assert escaped("a\u202eb<") == "a\\u202eb&lt;"
    assert escaped(escaped("<")) == "&lt;"
    assert escaped("é 数 \u0915\u094d\u200d\u0937") == "é 数 \u0915\u094d\u200d\u0937"


@pytest.mark.parametrize("length", [5, 10, 26])
def test_a_long_label_keeps_both_ends(length: int) -> None:
    text = in_figure("abcdefghijklmnopqrstuvwxyz0123456789", length)
    assert len(text) == length
    assert text.startswith("a")
    assert text.endswith("9")


def test_sections_stand_in_the_order_given_and_are_linked() -> None:
    parts = [Section("One & all", paragraph("x")), Section("Two", table(("a",), [("<b>",)]))]
    outline = Outline(page("t", paragraph(""), parts))
    assert outline.titles == ["One & all", "Two"]
    assert [a for a in outline.addresses if a.startswith("#")] == ["#part-1", "#part-2"]


def test_a_page_that_cannot_be_finished_leaves_the_former_one(
    findings: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.html"
    target.write_text("former")

    def fail(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(sections, "draw_features", fail)
    monkeypatch.setattr(sections, "OF_MEASURED", (sections._features,))
    for place in (target, tmp_path / "folder"):
        with pytest.raises(OSError, match="no space"):
            write_findings(findings, place)
    assert target.read_text() == "former"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.slow
def test_a_folder_gets_the_page_and_its_pictures_and_is_replaced_by_a_later_one(
    findings: Findings, tmp_path: Path
) -> None:
    assert findings.measured is not None
    less = replace(
        findings.measured,
        answers=findings.measured.answers[:2],
        relevance=findings.measured.relevance[:1],
    )
    findings = replace(findings, measured=less)
    path = write_findings(findings, tmp_path / "out")
    assert path == tmp_path / "out" / "report.html"
    names = {picture.name for picture in (tmp_path / "out" / "pictures").iterdir()}
    assert {"panel.png", "confusion.png", "features.png", "relevance0.gif"} <= names
    former = path.read_text(encoding="utf-8")
    assert write_findings(findings, tmp_path / "out").read_text(encoding="utf-8") == former


def test_other_peoples_folders_are_refused_before_anything_is_measured(
    untrained_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").touch()
    subject = read_subject(untrained_bundle)
    with pytest.raises(EvloraError, match="found other things"):
        place_for(subject, tmp_path)
    with pytest.raises(EvloraError, match="found a file"):
        place_for(subject, tmp_path / "photo.jpg")
    with pytest.raises(RunError, match=r"--out report\.html"):
        place_for(subject, None)


def test_a_bundle_without_its_run_needs_a_dataset(untrained_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected a dataset to measure on"):
        write_report(untrained_bundle, out=tmp_path / "report.html")
    assert writing.PAGE not in {entry.name for entry in tmp_path.iterdir()}
