"""Fetching a file over https from a server that may be absent, slow, mistaken or hostile."""

import threading
import time
from concurrent.futures import Future
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tinygrad_nn.errors import DatasetError

SILENCE = 20.0
"""Seconds without a byte after which a server is given up."""

DEADLINE = 180.0
"""Seconds after which a transfer is given up however lively it is."""


class _HttpsRedirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if urlsplit(newurl).scheme != "https":
            raise HTTPError(req.full_url, code, f"a redirect to {newurl}, not https", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(url: str, limit: int) -> bytes:
    """Return what an https address serves within DEADLINE, unverified.

    Raises:
        DatasetError: with the reason, which may be more than `limit` bytes.
    """
    body: Future[bytes] = Future()

    def work() -> None:
        try:
            body.set_result(_read(url, limit))
        except BaseException as fault:
            body.set_exception(fault)

    # Name lookup, handshake and headers that drip in know no deadline: they can only be left behind.
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(DEADLINE)
    if worker.is_alive():
        raise DatasetError(f"not complete after {DEADLINE:g} seconds")
    try:
        return body.result()
    except (OSError, HTTPException, ValueError) as fault:
        raise DatasetError(str(fault) or type(fault).__name__) from fault


def _read(url: str, limit: int) -> bytes:
    end = time.monotonic() + DEADLINE
    body = bytearray()
    with _open(url) as response:
        # read1 returns what one receive brought; read would wait for a slow sender to fill its buffer.
        while piece := response.read1(1 << 16):
            body += piece
            if len(body) > limit:
                raise ValueError(f"more than the {limit} bytes expected")
            if time.monotonic() >= end:
                raise ValueError(f"not complete after {DEADLINE:g} seconds")
    return bytes(body)


def _open(url: str) -> HTTPResponse:
    try:
        response: HTTPResponse = build_opener(_HttpsRedirects).open(url, timeout=SILENCE)
    except HTTPError as fault:
        # It holds the connection.
        fault.close()
        raise
    return response
