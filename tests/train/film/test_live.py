"""The live page: served on this machine alone, while training goes on."""

import json
import sys
import urllib.error
import urllib.request
from types import ModuleType, SimpleNamespace

import pytest

from tests.support.training import trained
from tinygrad_nn.train import Callback, Film


def answer(address, **headers):
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=20) as found:
        return found.status, found.read().decode()


def test_a_live_page_follows_the_training_and_is_served_to_this_machine_alone(capsys):
    film, seen = Film(every=2, live=True), []

    class Looks(Callback):
        def on_step(self, run):
            if run.batch in (1, 5):
                seen.append(answer(f"{address(capsys, film)}film.json?have=")[1])

    try:
        trained(epochs=1, callbacks=[Looks(), film])
        place = film._server.address
        assert place.startswith("http://127.0.0.1:")
        status, text = answer(place)
        assert (status, "connect-src 'self'" in text, 'data-live="live"' in text) == (200, True, True)
        first, second = map(json.loads, seen)
        assert [content["films"][0]["steps"] for content in (first, second)] == [[0], [0, 2, 4]]
        last = json.loads(answer(f"{place}film.json?have=")[1])
        assert (last["films"][0]["steps"][-1], last["ended"]) == (7, True)
        assert answer(f"{place}film.json?have={last['state']}") == (204, "")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            answer(place, Host="elsewhere.example")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            answer(f"{place}etc/passwd")
    finally:
        film.close()
    with pytest.raises(urllib.error.URLError):
        answer(place)


def test_in_a_notebook_a_live_page_is_shown_instead_of_its_address(capsys, monkeypatch):
    shown = []
    notebook, display = ModuleType("IPython"), ModuleType("IPython.display")
    notebook.get_ipython = lambda: SimpleNamespace(kernel=object())
    display.IFrame, display.display = lambda *args: args, shown.append
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    film = Film(live=True)
    trained(epochs=1, callbacks=[film])
    try:
        assert shown == [(film._server.address, "100%", 760)]
        assert capsys.readouterr().out == ""
    finally:
        film.close()


def address(capsys, film):
    """Return where the page is, as it was printed."""
    printed = capsys.readouterr().out
    assert printed in (f"film: {film._server.address}\n", "")
    return film._server.address
