"""A real headless Chromium for tests, driven through chromedriver; skipped, visibly, where there is none."""

import base64
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# Windows in which pages are looked at, in pixels.
DESK, SMALL, PHONE = (1400, 900), (800, 600), (390, 844)

KEYS = {"ArrowRight": "\ue014", "ArrowLeft": "\ue012", "Home": "\ue011", "End": "\ue010", "Escape": "\ue00c"}
KEYS |= {"Enter": "\ue007", "Tab": "\ue004", "Space": " ", "ArrowUp": "\ue013", "ArrowDown": "\ue015"}


class Browser:
    """One window: open a page, press keys, ask the page, and see what it logged and requested."""

    def __init__(self, address: str, profile: Path) -> None:
        arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
            "--window-size=1280,760",
            f"--user-data-dir={profile}",
        ]
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments, "binary": shutil.which("chromium")},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        self._address = address
        self._size: tuple[int, int] | None = None
        answer = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{answer['sessionId']}"

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self._address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path: Path) -> None:
        """Show a file; see `visit`."""
        self.visit(path.as_uri())

    def visit(self, address: str) -> None:
        """Show a page anew; what the one before logged and requested is forgotten."""
        self.open_blank()
        self.console()
        self.requests()
        self._send("POST", f"{self._session}/url", {"url": address})

    def open_blank(self) -> None:
        self._send("POST", f"{self._session}/url", {"url": "about:blank"})

    def run(self, script: str, *args: Any) -> Any:
        """Run a JavaScript function body in the page and return its result."""
        return self._send("POST", f"{self._session}/execute/sync", {"script": script, "args": args})

    def press(self, *keys: str) -> None:
        strokes = []
        for key in keys:
            value = KEYS.get(key, key)
            strokes += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        self._send(
            "POST",
            f"{self._session}/actions",
            {"actions": [{"type": "key", "id": "keys", "actions": strokes}]},
        )

    def _command(self, name: str, **parameters: Any) -> Any:
        body = {"cmd": name, "params": parameters}
        return self._send("POST", f"{self._session}/goog/cdp/execute", body)

    def resize(self, width: int, height: int) -> None:
        """Give the page so many pixels; it is told, and has answered."""
        if (width, height) == self._size:
            return
        self._size = width, height
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._command("Emulation.setDeviceMetricsOverride", **size)
        # Events of a new size come with the next picture.
        self.wait_for("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def show_as(self, medium: str) -> None:
        """Show the page as it is on a "screen", or in "print"."""
        self._command("Emulation.setEmulatedMedia", media=medium)

    def wait_for(self, script: str) -> Any:
        """Run a JavaScript expression that gives a promise and return what it comes to."""
        body = {
            "script": f"const done = arguments[0]; ({script}).then(done, error => done(String(error)));",
            "args": [],
        }
        return self._send("POST", f"{self._session}/execute/async", body)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._send("GET", f"{self._session}/screenshot")))

    def console(self) -> list[str]:
        """Return what was logged since the last call."""
        return [
            entry["message"] for entry in self._send("POST", f"{self._session}/se/log", {"type": "browser"})
        ]

    def requests(self) -> list[str]:
        """Return the addresses that were requested since the last call."""
        entries = self._send("POST", f"{self._session}/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in entries]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def close(self) -> None:
        self._send("DELETE", self._session)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start chromedriver and a window with an empty profile, and end both."""
    if not (shutil.which("chromedriver") and shutil.which("chromium")):
        pytest.skip("chromium and chromedriver are not installed: apt install chromium chromium-driver")
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert driver.stdout is not None
        started = next(line for line in driver.stdout if "successfully on port" in line)
        window = Browser(f"http://127.0.0.1:{started.rstrip().rstrip('.').rsplit(' ', 1)[1]}", profile)
        try:
            yield window
        finally:
            window.close()
    finally:
        driver.terminate()
        driver.wait()
        if driver.stdout is not None:
            driver.stdout.close()
