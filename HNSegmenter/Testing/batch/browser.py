"""A real browser (headless Chromium), steered by its driver's W3C WebDriver protocol."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from Testing.machine import free_port, require_program, wait_for
from Testing.service.fixtures import listens

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # its key in WebDriver's JSON
ENTER, SPACE = "\ue007", " "
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1300,1000"]


class Browser:
    """One window."""

    def __init__(self, port: int):
        self._base = f"http://127.0.0.1:{port}"
        options = {"goog:chromeOptions": {"args": ARGUMENTS}, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": options}})
        self._base += f"/session/{made['sessionId']}"

    def open(self, page: Path) -> None:
        self._ask("POST", "/url", {"url": page.absolute().as_uri()})

    def run(self, script: str):
        """The value that a script returns; its console.log goes to complaints()."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": []})

    def click(self, selector: str) -> None:
        self._ask("POST", f"/element/{self._find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        """Real key presses on the element."""
        self._ask("POST", f"/element/{self._find(selector)}/value", {"text": text})

    def complaints(self) -> list[str]:
        """What the browser wrote into its console since the last time."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})]

    def close(self) -> None:
        self._ask("DELETE", "")

    def _find(self, selector: str) -> str:
        return self._ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def _ask(self, method: str, path: str, values: dict | None = None):
        data = None if values is None else json.dumps(values).encode()
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=120) as answer:
            return json.load(answer)["value"]


@contextmanager
def browser() -> Iterator[Browser]:
    port = free_port()
    process = subprocess.Popen(
        [require_program("chromedriver"), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: listens(port), 60)
        window = Browser(port)
        try:
            yield window
        finally:
            window.close()
    finally:
        process.terminate()
        process.wait(30)
