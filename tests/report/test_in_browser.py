"""The page in a real browser without a network: no error, no request, and its script at work."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from evlora.report.findings import Findings
from evlora.report.writing import write_findings

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium; apt-get install chromium"),
]


class Visit(NamedTuple):
    """What a browser made of a page."""

    document: str
    console: list[str]
    requests: list[str]


def visit(path: Path, folder: Path, *, width: int = 1200) -> Visit:
    """Open a page in a browser that finds no host, and wait for its script."""
    assert BROWSER is not None
    log = folder / "net.json"
    done = subprocess.run(
        [
            *(
                BROWSER,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--enable-logging=stderr",
            ),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=4000"),
            *(f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}"),
            *(f"--window-size={width},900", "--dump-dom", path.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    addresses = set(re.findall(r'"url":"(https?://[^"]+)"', log.read_text(encoding="utf-8")))
    return Visit(done.stdout, console, sorted(addresses - own_requests(folder)))


def own_requests(folder: Path) -> set[str]:
    """The addresses that the browser asks for by itself, whatever page is open."""
    known = folder / "own.json"
    if not known.exists():
        known.write_text("[]", encoding="utf-8")
        empty = folder / "empty.html"
        empty.write_text('<!doctype html><link rel="icon" href="data:,"><p>x')
        known.write_text(json.dumps(visit(empty, folder).requests), encoding="utf-8")
    return set(json.loads(known.read_text(encoding="utf-8")))


@pytest.mark.timeout(300)
def test_the_page_logs_no_error_and_asks_for_nothing(findings: Findings, tmp_path: Path) -> None:
    path = write_findings(findings, tmp_path / "report.html")
    seen = visit(path, tmp_path)
    assert seen.console == []
    assert [address for address in seen.requests if "test" in address] == []
    assert "moment 1 of 3" in seen.document
    assert '<button type="button">wrong</button>' in seen.document
    canvas = re.search(r"<canvas[^>]*>", seen.document)
    assert canvas is not None
    assert 'width="' in canvas[0]  # the script has drawn it


@pytest.mark.timeout(300)
def test_the_browser_would_report_an_error_and_a_request(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><img src='http://outside.test/a.png'><script>nothing.at.all</script>"
    )
    seen = visit(bad, tmp_path)
    assert any("nothing is not defined" in line for line in seen.console)
    assert "http://outside.test/a.png" in seen.requests
