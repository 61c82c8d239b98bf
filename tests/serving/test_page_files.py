"""The page's files: nothing from elsewhere, nothing inline, all that they name is there."""

import json
import re
from pathlib import Path

import pytest

from evlora.recordings import open_recording
from evlora.recordings.readers import FORMATS

MOST_BYTES_OF_A_SAMPLE = 300_000
SVG_NAMESPACE = "http://www.w3.org/2000/svg"
AS_HTML = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(")
"""By which a text could become HTML or a script."""


@pytest.fixture(scope="module")
def page(project_root: Path) -> Path:
    return project_root / "src" / "evlora" / "serving" / "page"


def texts(page: Path) -> dict[str, str]:
    found = {
        str(path.relative_to(page)): path.read_text(encoding="utf-8")
        for path in page.rglob("*")
        if path.suffix in (".html", ".css", ".js", ".svg", ".json")
    }
    assert {"index.html", "style.css", "main.js", "icon.svg", "samples/samples.json"} <= set(found)
    return found


def test_no_file_names_another_host(page: Path) -> None:
    for name, text in texts(page).items():
        addresses = re.findall(
            r"(?:\w+:)?//[\w.-]+\.\w+[^\s\"')]*", text.replace(SVG_NAMESPACE, "")
        )
        assert addresses == [], name


def test_the_policy_allows_nothing_inline_and_nothing_is(page: Path) -> None:
    index = texts(page)["index.html"]
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', index)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy[1]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", index)
    assert re.findall(r"<script[^>]*>([^<]*)</script>", index) == [""]


def test_no_text_becomes_html(page: Path) -> None:
    for name, text in texts(page).items():
        assert [way for way in AS_HTML if way in text] == [], name


def test_all_that_is_named_is_there(page: Path) -> None:
    written = texts(page)
    index = written["index.html"]
    named = {*re.findall(r'(?:src|href)="([^"#]+)"', index)} - {"openapi.json", "docs"}
    for name, text in written.items():
        if name.endswith(".js"):
            named |= {*re.findall(r'from "\./([^"]+)"', text)}
    assert {"main.js", "curve.js", "style.css"} <= named
    assert [name for name in sorted(named) if not (page / name).is_file()] == []


def test_every_element_that_a_script_asks_for_is_in_the_page(page: Path) -> None:
    written = texts(page)
    identifiers = re.findall(r'\sid="([^"]+)"', written["index.html"])
    assert len(set(identifiers)) == len(identifiers)
    pointed = re.findall(
        r'(?:for|aria-controls|aria-labelledby|aria-describedby)="([^"]+)"', written["index.html"]
    )
    scripts = "".join(text for name, text in written.items() if name.endswith(".js"))
    asked = re.findall(r'byId\("([^"]+)"\)', scripts)
    assert len(asked) > 50
    assert set(asked) | set(pointed) <= set(identifiers)


def test_every_field_has_a_name_for_a_screen_reader(page: Path) -> None:
    index = texts(page)["index.html"]
    labelled = {*re.findall(r'<label[^>]*\sfor="([^"]+)"', index)}
    inside = re.findall(r"<label(?:(?!</label>).)*?<(?:input|select)[^>]*?\sid=\"([^\"]+)\"", index)
    for tag in re.findall(r"<(?:input|select)[^>]*>", index):
        identifier = re.search(r'\sid="([^"]+)"', tag)
        assert identifier is not None, tag
        assert "aria-label" in tag or identifier[1] in {*labelled, *inside}, tag


def test_of_two_files_every_video_and_image_is_taken_for_the_frames(page: Path) -> None:
    listed = re.search(r"const FRAMES = \[(.*?)\]", texts(page)["recording.js"], re.DOTALL)
    assert listed is not None
    wanted = {one for row in FORMATS if row.name in ("video", "images") for one in row.suffixes}
    assert set(re.findall(r'"([^"]+)"', listed[1])) == wanted


def test_every_sample_is_a_small_recording_of_frames_and_events(page: Path) -> None:
    samples = json.loads((page / "samples" / "samples.json").read_text(encoding="utf-8"))
    assert len(samples) == 3
    named = {"samples.json"}
    for sample in samples:
        files = [sample["file"], *([sample["frames"]] if "frames" in sample else [])]
        named |= {*files, sample["picture"]}
        paths = [page / "samples" / name for name in files]
        assert sum(path.stat().st_size for path in paths) < MOST_BYTES_OF_A_SAMPLE
        recording = open_recording(*paths[:1], frames=paths[1] if len(paths) > 1 else None)
        assert recording.events is not None
        assert recording.frames is not None
        assert len(recording.events) > 1000
        assert len(recording.frames) == 8
    assert named == {path.name for path in (page / "samples").iterdir()}
