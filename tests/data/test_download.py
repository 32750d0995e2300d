"""The transport, against servers on the loopback interface; https requests travel over plain sockets."""

import http.client
import socket
import threading
import time
import urllib.request
from contextlib import suppress

import pytest

from tinygrad_nn.data import download
from tinygrad_nn.errors import DatasetError


@pytest.fixture
def serve(monkeypatch):
    """Start a server that hands each connection and the path asked for to a function; returns its address."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(
        urllib.request.HTTPSHandler,
        "https_open",
        lambda self, request: self.do_open(http.client.HTTPConnection, request),
    )
    stop = threading.Event()
    listeners, threads = [], []

    def start(answer):
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(0.02)

        def run():
            while not stop.is_set():
                with suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(5)
                        request = connection.recv(65536).decode("latin-1").split(" ")
                        answer(connection, request[1] if len(request) > 1 else "", stop)

        thread = threading.Thread(target=run)
        thread.start()
        listeners.append(listener)
        threads.append(thread)
        return f"https://127.0.0.1:{listener.getsockname()[1]}/"

    yield start
    stop.set()
    for thread in threads:
        thread.join()
    for listener in listeners:
        listener.close()


def sends(*pieces, every=0.0):
    """An answer of these pieces, one after the other."""

    def answer(connection, _, stop):
        for piece in pieces:
            connection.sendall(piece)
            if stop.wait(every):
                return

    return answer


def response(body, status="200 OK", headers=""):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def test_a_body_is_returned_as_it_is(serve):
    body = bytes(range(256)) * 1000
    assert download.fetch(serve(sends(response(body))), limit=len(body)) == body


def test_a_chunked_body_is_joined(serve):
    url = serve(
        sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    )
    assert download.fetch(url, limit=5) == b"abcde"


@pytest.mark.case("H167")
def test_a_missing_page_is_an_error_and_its_html_is_not_data(serve):
    with pytest.raises(DatasetError, match="404"):
        download.fetch(serve(sends(response(b"<html>not here</html>", "404 Not Found"))), limit=100)


@pytest.mark.case("H167")
def test_a_redirect_within_https_is_followed(serve):
    def answer(connection, path, _):
        moved = response(b"", "302 Found", "Location: /there\r\n")
        connection.sendall(response(b"found") if path == "/there" else moved)

    assert download.fetch(serve(answer) + "here", limit=5) == b"found"


@pytest.mark.case("H167")
@pytest.mark.parametrize("scheme", ["http", "ftp", "file"])
def test_a_redirect_away_from_https_is_refused(serve, scheme):
    asked = []

    def answer(connection, path, _):
        asked.append(path)
        target = f"Location: {scheme}://127.0.0.1:{connection.getsockname()[1]}/there\r\n"
        connection.sendall(response(b"", "302 Found", target))

    with pytest.raises(DatasetError, match=f"{scheme}://"):
        download.fetch(serve(answer) + "here", limit=5)
    assert asked == ["/here"]


@pytest.mark.case("H167")
def test_redirects_in_a_circle_end(serve):
    with pytest.raises(DatasetError, match="302"):
        download.fetch(serve(sends(response(b"", "302 Found", "Location: /\r\n"))), limit=5)


@pytest.mark.case("H167")
def test_a_body_above_the_limit_is_refused_even_if_it_never_ends(serve):
    def answer(connection, _, stop):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not stop.is_set():
            connection.sendall(bytes(65536))

    with pytest.raises(DatasetError, match="more than the 1000 bytes"):
        download.fetch(serve(answer), limit=1000)


HEADERS = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n"


@pytest.mark.case("H167")
@pytest.mark.parametrize("before", [b"", HEADERS, HEADERS + b"\r\n"], ids=["status", "headers", "body"])
def test_a_slow_loris_is_given_up_at_the_deadline(serve, monkeypatch, before):
    monkeypatch.setattr(download, "DEADLINE", 0.15)
    drops = b"HTTP/1.1 200 OK" if not before else b"X" * 500
    url = serve(sends(before, *(bytes([drop]) for drop in drops), every=0.05))
    start = time.monotonic()
    with pytest.raises(DatasetError, match=r"not complete after 0.15 seconds|too early"):
        download.fetch(url, limit=1000)
    assert time.monotonic() - start < 2


@pytest.mark.case("H167")
def test_a_slow_body_is_no_longer_read_after_the_deadline(serve, monkeypatch):
    monkeypatch.setattr(download, "DEADLINE", 0.2)
    url = serve(sends(HEADERS + b"\r\n", *[b"X"] * 500, every=0.05))
    before = threading.active_count()
    with pytest.raises(DatasetError):
        download.fetch(url, limit=1000)
    end = time.monotonic() + 2
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.02)
    assert threading.active_count() == before


@pytest.mark.case("H167")
def test_a_silent_server_is_given_up(serve, monkeypatch):
    monkeypatch.setattr(download, "SILENCE", 0.2)
    with pytest.raises(DatasetError, match="timed out"):
        download.fetch(serve(sends(HEADERS, b"\r\nX", every=5)), limit=1000)


@pytest.mark.case("H167")
@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"", "closed connection without response"),
        (b"220 mail server\r\n\r\n", "220 mail server"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz", "IncompleteRead"),
    ],
    ids=["nothing", "mail", "chunk"],
)
def test_a_server_that_does_not_speak_http_is_an_error(serve, answer, complaint):
    with pytest.raises(DatasetError, match=complaint):
        download.fetch(serve(sends(answer)), limit=1000)


@pytest.mark.case("H167")
def test_a_server_without_tls_is_an_error(serve, monkeypatch):
    url = serve(sends(response(b"plain")))
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(DatasetError, match=r"(?i)ssl|eof|reset"):
        download.fetch(url, limit=5)


@pytest.mark.case("H167")
def test_a_server_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DatasetError, match="refused"):
        download.fetch(f"https://127.0.0.1:{port}/", limit=5)


@pytest.mark.case("H167")
def test_no_name_service_is_an_error(monkeypatch):
    def getaddrinfo(*_, **__):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(DatasetError, match="name resolution"):
        download.fetch("https://mirror.invalid/", limit=5)


@pytest.mark.case("H167")
def test_a_name_service_that_hangs_is_given_up_at_the_deadline(monkeypatch):
    hang = threading.Event()
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "DEADLINE", 0.2)
    monkeypatch.setattr(download, "_open", lambda url: hang.wait(5))
    with pytest.raises(DatasetError, match="not complete"):
        download.fetch("https://mirror.invalid/", limit=5)
    hang.set()
