"""A headless Chromium that is driven over its DevTools protocol, with what it logs and requests."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from websockets.sync.client import ClientConnection, connect

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
START_S = 60
WAIT_S = 60


class Page:
    """One page of the browser.

    Attributes:
        problems: Errors and warnings of the console, and exceptions, in words.
        requests: The address of everything that the page asked for.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = 0
        self.problems: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv(timeout=WAIT_S))
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def open(self, address: str) -> None:
        """Go to an address."""
        self.command("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript, awaited where it is a promise."""
        done = self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, f"{expression}: {done['exceptionDetails']}"
        return done["result"].get("value")

    def wait_for(self, expression: str, *, seconds: float = WAIT_S) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.evaluate(f"Boolean({expression})"):
                return
            time.sleep(0.05)
        seen = self.evaluate("document.body?.innerText")
        raise AssertionError(f"not true after {seconds} s: {expression}; the page reads\n{seen}")

    def text(self, selector: str) -> str:
        """The text that an element shows."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def click(self, selector: str) -> None:
        """Click an element."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def drop(self, selector: str, paths: Sequence[Path]) -> None:
        """Drop files on an element, as a hand would."""
        script = f"""(() => {{
            const place = document.querySelector({json.dumps(selector)});
            place.scrollIntoView({{ block: "center" }});
            const {{ x, y, width, height }} = place.getBoundingClientRect();
            return [x + width / 2, y + height / 2];
        }})()"""
        x, y = self.evaluate(script)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.command("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def press(self, key: str, *, code: str = "", text: str = "") -> None:
        """Press a key and let it go."""
        number = {"ArrowLeft": 37, "ArrowRight": 39, " ": 32, "Tab": 9, "Enter": 13}.get(key, 0)
        both = {"key": key, "code": code or key, "windowsVirtualKeyCode": number}
        self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **both)
        self.command("Input.dispatchKeyEvent", type="keyUp", **both)

    def resize(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Show the page at this size, light or dark."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        done = self.command("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(done["data"]))

    def _note(self, event: dict[str, Any]) -> None:
        about = event["params"]
        match event["method"]:
            case "Runtime.exceptionThrown":
                details = about["exceptionDetails"]
                self.problems.append(details.get("exception", details).get("description", ""))
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning"):
                self.problems.append(json.dumps(about["args"]))
            case "Log.entryAdded" if about["entry"]["level"] in ("error", "warning"):
                entry = about["entry"]
                self.problems.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}")
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(about["url"])


@contextmanager
def open_browser(folder: Path, *flags: str) -> Iterator[Page]:
    """A browser with an empty page, closed at the end.

    Args:
        folder: Takes its profile.
        flags: More of its command line.
    """
    assert BROWSER is not None
    profile = folder / "profile"
    command = [
        *(BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *("--remote-debugging-port=0", f"--user-data-dir={profile}", *flags, "about:blank"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_address_of_a_page(profile), max_size=None) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _address_of_a_page(profile: Path) -> str:
    port = profile / "DevToolsActivePort"
    end = time.monotonic() + START_S
    while not (port.exists() and "\n" in port.read_text()):
        assert time.monotonic() < end, "the browser did not start"
        time.sleep(0.05)
    number = port.read_text().splitlines()[0]
    request = Request(f"http://127.0.0.1:{number}/json/new?about:blank", method="PUT")
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)["webSocketDebuggerUrl"]
