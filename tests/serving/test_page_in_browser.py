"""The page in a real browser against a real service: files, playing, a camera, no other host."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from browser import BROWSER, FAKE_CAMERA, Page, open_browser
from served import DecoderThread

from evlora.serving.app import create_app
from evlora.serving.decoders import Decoders
from evlora.serving.page_files import FOLDER
from evlora.serving.recognizers import open_shelf

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(BROWSER is None, reason="needs chromium; apt-get install chromium"),
]

SAMPLES = FOLDER / "samples"
TOKEN = "a token that nobody guesses"
ANSWERED = "!document.querySelector('#answer').hidden && document.querySelector('#progress').hidden"
FULL_CANVAS = """(selector) => {
    const canvas = document.querySelector(selector);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size > 1;
}"""


@contextmanager
def service(bundle: Path, **options: Any) -> Iterator[str]:
    """The address of a service of two names for one bundle."""
    shelf = open_shelf([f"first={bundle}", f"second={bundle}"])
    app = create_app(shelf, Decoders(1, DecoderThread), **options)
    config = uvicorn.Config(app, port=0, log_level="error", ws="websockets-sansio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join(timeout=30)


@pytest.fixture(scope="module")
def address(tiny_bundle: Path) -> Iterator[str]:
    with service(tiny_bundle) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_browser(tmp_path_factory.mktemp("browser"), *FAKE_CAMERA) as page:
        yield page


@pytest.fixture
def page(browser: Page, address: str) -> Iterator[Page]:
    """The page as it is when its recognizers and samples are listed."""
    browser.problems.clear()
    browser.requests.clear()
    browser.resize(1280)
    browser.open(address)
    browser.wait_for("document.querySelectorAll('#samples button').length === 3")
    yield browser
    browser.evaluate("0")  # what has been logged until now comes before this answer
    assert browser.problems == []
    own = (urlsplit(address).netloc, "")  # images of an answer are addresses without a host
    assert [one for one in browser.requests if urlsplit(one).netloc not in own] == []


def drop(page: Page, *paths: Path) -> None:
    page.drop("#drop", paths)
    page.wait_for(ANSWERED)


def moment(page: Page) -> str:
    return page.evaluate("document.querySelector('#time').getAttribute('aria-valuetext')")


def test_a_dropped_recording_shows_its_labels_and_plays(page: Page) -> None:
    drop(page, SAMPLES / "three-left.npz")
    labels = page.evaluate(
        "[...document.querySelectorAll('#labels .name')].map(x => x.textContent)"
    )
    shares = page.evaluate("[...document.querySelectorAll('#labels .value')].map(x => x.innerText)")
    assert len(labels) == 3
    assert page.text("#answer-title").startswith(labels[0])
    assert sum(float(share.strip("<%")) for share in shares) == pytest.approx(100, abs=0.3)
    assert page.text("#answer-file") == "three-left.npz · first"
    assert page.evaluate("document.querySelectorAll('#curve path.line').length") == 3
    for canvas in ("#stage figure:nth-child(1) canvas", "#stage figure:nth-child(2) canvas"):
        assert page.evaluate(f"({FULL_CANVAS})({canvas!r})")
    page.evaluate("window.seen = []")
    page.evaluate(
        "document.querySelector('#clock').constructor && new MutationObserver(() => seen.push("
        "document.querySelector('#clock').textContent)).observe(document.querySelector('#clock'), "
        "{ childList: true })"
    )
    page.press(" ", code="Space")
    page.wait_for("document.querySelector('#play').ariaLabel === 'Pause'")
    page.wait_for("document.querySelector('#play').ariaLabel === 'Play'")
    assert [text.split(" · ")[1] for text in page.evaluate("seen")] == ["1/2", "2/2"]
    page.press("ArrowLeft")
    assert moment(page).endswith("moment 1 of 2")
    page.press("ArrowRight")
    assert moment(page).endswith("moment 2 of 2")


def test_two_files_are_recognized_as_a_sample_and_dropped(page: Page) -> None:
    page.click("#samples li:nth-child(3) button")
    page.wait_for(ANSWERED)
    assert page.text("#answer-file") == "one-up.raw and one-up.mp4 · first"
    page.evaluate("document.querySelector('#answer-file').textContent = ''")
    drop(page, SAMPLES / "one-up.mp4", SAMPLES / "one-up.raw")  # in whichever order
    page.wait_for("document.querySelector('#answer-file').textContent")
    assert page.text("#answer-file") == "one-up.raw and one-up.mp4 · first"
    assert "EVT3" in page.evaluate("document.querySelector('#facts').textContent").upper()


def test_another_bundle_answers_to_the_same_recording(page: Page) -> None:
    drop(page, SAMPLES / "two-down.aedat4")
    page.evaluate(
        "(() => { const choice = document.querySelector('#bundle'); choice.value = 'second';"
        " choice.focus(); choice.dispatchEvent(new Event('change')); })()"
    )
    page.wait_for("document.querySelector('#answer-file').textContent.endsWith('second')")
    assert page.evaluate("document.activeElement.id") == "bundle"  # arrows go on choosing


def test_the_relevance_lies_over_the_pictures_while_it_is_switched_on(page: Page) -> None:
    over = "document.querySelector('#stage canvas').ariaLabel.includes('relevance')"
    drop(page, SAMPLES / "three-left.npz")
    assert not page.evaluate(over)
    page.press("r")
    page.wait_for(over)
    difference = "document.querySelector('#stage figure:nth-child(3)')"
    canvas = "#stage figure:nth-child(3) canvas"
    assert page.text("#stage figure:nth-child(3) figcaption") == "Difference from the moment before"
    assert page.evaluate(f"document.querySelector({canvas!r}).ariaLabel.includes('relevance')")
    assert page.evaluate(f"({FULL_CANVAS})({canvas!r})")
    page.press("ArrowLeft")
    assert page.evaluate(f"document.querySelector({canvas!r}).ariaLabel.endsWith('first moment')")
    page.press("r")
    page.wait_for(f"!{over}")
    assert page.evaluate(f"{difference}.hidden")


def test_a_wrong_file_is_explained_in_its_place_and_its_name_is_text(
    page: Page, tmp_path: Path
) -> None:
    wrong = tmp_path / "<img src=x>.raw"
    wrong.write_bytes(b"no events " * 100)
    page.drop("#drop", [wrong])
    page.wait_for("document.querySelector('#problem').innerText")
    sentence = page.text("#problem")
    assert sentence.startswith("<img src=x>.raw: ")
    assert len(sentence) > len("<img src=x>.raw: ") + 20
    assert not page.evaluate("document.querySelector('#problem img')")
    assert page.evaluate("document.querySelector('#answer').hidden")
    (logged,) = page.problems
    assert "/predict" in logged  # the browser itself logs a status of 4xx
    page.problems.clear()


def test_a_camera_is_answered_until_it_is_stopped(page: Page) -> None:
    page.click("#tab-live")
    page.click("#live-start")
    page.wait_for("document.querySelectorAll('#live-labels li').length === 3")
    page.wait_for("document.querySelectorAll('#live-curve path.line').length === 3")
    page.wait_for(f"({FULL_CANVAS})('#live-events')")
    assert "ms" in page.text("#live-facts")
    page.click("#live-stop")
    assert page.text("#live-status") == "Stopped."
    assert page.evaluate("document.querySelector('#video').srcObject.active") is False


def test_nothing_is_wider_than_a_phone(page: Page) -> None:
    page.resize(360, 780, dark=True)
    drop(page, SAMPLES / "three-left.npz")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.evaluate("document.querySelector('#tab-recording').focus()")
    page.press("ArrowRight")  # the tabs are chosen by keys
    assert page.evaluate("document.querySelector('#panel-live').hidden") is False
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_a_service_with_a_token_is_asked_with_it(browser: Page, tiny_bundle: Path) -> None:
    answer = (
        "((token) => { document.querySelector('#token-value').value = token;"
        " document.querySelector('#token form').requestSubmit(); })"
    )
    with service(tiny_bundle, token=TOKEN) as address:
        browser.open(address)
        browser.wait_for("document.querySelector('#token')?.open")
        browser.evaluate(f"{answer}('another one')")
        browser.wait_for("document.querySelector('#token-note').innerText.includes('expected')")
        browser.wait_for("document.querySelector('#token').open")
        browser.evaluate(f"{answer}({TOKEN!r})")
        browser.wait_for("document.querySelectorAll('#samples button').length === 3")
        drop(browser, SAMPLES / "three-left.npz")
        browser.click("#tab-live")
        browser.click("#live-start")
        browser.wait_for("document.querySelectorAll('#live-labels li').length === 3")
        browser.click("#live-stop")
