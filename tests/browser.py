"""A real headless browser for tests, driven over Chromium's own debugging protocol."""

import base64
import itertools
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS = 60


def find_browser() -> str | None:
    """A browser of Chromium's family on this machine."""
    return next((path for name in EXECUTABLES if (path := shutil.which(name))), None)


class Page:
    """One page in the browser, with everything that it complained of and asked for."""

    def __init__(self, socket: Any, session: str) -> None:
        self._socket, self._session, self._numbers = socket, session, itertools.count(100)
        self._loaded = False
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def show(self, place: Path | str, width: int, height: int = 900) -> None:
        """Open a file, or an address, in a window of this size and wait until it is loaded."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        self._loaded = False
        self.call("Page.navigate", url=place.as_uri() if isinstance(place, Path) else place)
        while not self._loaded:
            self._receive()

    def value(self, expression: str) -> Any:
        """What a JavaScript expression says, as JSON."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = SECONDS) -> Any:
        """Wait until a JavaScript expression says something true; what it says."""
        deadline = time.monotonic() + seconds
        while not (value := self.value(expression)):
            assert time.monotonic() < deadline, (expression, self.value("document.body.innerText"))
            time.sleep(0.1)
        return value

    def choose_files(self, selector: str, files: list[Path]) -> None:
        """Put files into a field for files, as the dialogue of the browser would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def screenshot(self, file: Path) -> None:
        """The whole page, not only what the window shows, as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(answer["data"]))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its answer."""
        number = next(self._numbers)
        command = {"id": number, "sessionId": self._session, "method": method, "params": parameters}
        self._socket.send(json.dumps(command))
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, (method, message["error"])
                return message["result"]

    def _receive(self) -> dict[str, Any]:
        message = json.loads(self._socket.recv(timeout=SECONDS))
        parameters = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.complaints.append(str(parameters["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning"):
                self.complaints.append(str(parameters["args"]))
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                self.complaints.append(parameters["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
        return message


@contextmanager
def open_browser(profile: Path) -> Iterator[Page]:
    """A browser with an empty page; its profile lies in a folder of the test."""
    executable = find_browser()
    assert executable is not None
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    places = ["--remote-debugging-port=0", f"--user-data-dir={profile}"]
    process = subprocess.Popen([executable, *options, *places, "about:blank"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        told = (re.search(r"DevTools listening on (ws://\S+)", line) for line in process.stderr)
        address = next(match[1] for match in told if match)
        with connect(address, max_size=None) as socket:
            yield _attached(socket)
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


def _attached(socket: Any) -> Page:
    def call(number: int, method: str, **parameters: Any) -> dict[str, Any]:
        socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (message := json.loads(socket.recv(timeout=SECONDS))).get("id") != number:
            pass
        return message["result"]

    target = call(1, "Target.createTarget", url="about:blank")["targetId"]
    page = Page(socket, call(2, "Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
    for domain in ("Page", "Runtime", "Log", "Network"):
        page.call(f"{domain}.enable")
    return page
