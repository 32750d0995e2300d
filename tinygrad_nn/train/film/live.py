"""The page of a film while it is made, served on this machine alone."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from tinygrad_nn.languages import Language
from tinygrad_nn.train.film import page
from tinygrad_nn.train.film.recording import Recording
from tinygrad_nn.viz.document import encoded

HOST = "127.0.0.1"


class Recorded(Protocol):
    """What is served: a film, which begins a new recording with each training."""

    recording: Recording
    lang: Language


class Server:
    """Serves the page of a film in a thread, from the moment that training starts until the program ends."""

    def __init__(self, film: Recorded, port: int) -> None:
        self._film, self._port = film, port
        self._server: ThreadingHTTPServer | None = None
        self.ended = False

    @property
    def address(self) -> str | None:
        """Where the page is; None before training starts."""
        return None if self._server is None else f"http://{HOST}:{self._server.server_address[1]}/"

    def start(self) -> None:
        """Serve, and say where; once for all trainings."""
        self.ended = False
        if self._server is None:
            self._server = ThreadingHTTPServer((HOST, self._port), self._handler())
            self._server.daemon_threads = True
            threading.Thread(target=self._server.serve_forever, name="film", daemon=True).start()
        if not _in_notebook(self.address):
            print(f"film: {self.address}", flush=True)

    def stop(self) -> None:
        """Serve no longer."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Return status, type and content for a path: the page, or the data that are new to it."""
        film, parts = self._film, urlsplit(path)
        recording = film.recording
        if parts.path == "/":
            text = page.page([recording], film.lang, live=True)
            return 200, "text/html; charset=utf-8", text.encode()
        if parts.path == "/film.json":
            have = parse_qs(parts.query).get("have", ["-1"])[0]
            state = f"{len(recording.frames)}.{recording.frames[-1].step if recording.frames else 0}.{int(self.ended)}"
            if have == state:
                return 204, "application/json", b""
            content = page.data([recording], film.lang, page.LIVE_FRAMES)
            return (
                200,
                "application/json",
                encoded({**content, "state": state, "ended": self.ended}).encode(),
            )
        return 404, "text/plain", b"there is / and nothing else"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                # A page of somewhere else whose name has been turned to this address gets nothing.
                if self.headers.get("Host", "").rsplit(":", 1)[0] not in (HOST, "localhost"):
                    status, kind, content = 403, "text/plain", b"this is served to this machine alone"
                else:
                    status, kind, content = server.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name of its base
                """Say nothing: the program's output is its own."""

        return Handler


def _in_notebook(address: str | None) -> bool:
    """Show the page in the notebook that this runs in; False outside of one."""
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    if running is None or not hasattr(running, "kernel"):
        return False
    display = import_module("IPython.display")
    display.display(display.IFrame(address, "100%", 760))
    return True
